"""The configuration: ``afterfit.toml`` (or ``[tool.afterfit]``), checked whole, with origins.

A value comes from the command line, else from the environment (``AFTERFIT_SECTION_KEY``), else
from the file, else from the default written here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from afterfit.core.config_template import TEMPLATE
from afterfit.core.gate import Gate, parse_gate
from afterfit.core.metric_names import require_known
from afterfit.core.sections import (
    AlarmsSection,
    ApprovalsSection,
    CardSection,
    CompareSection,
    CostSection,
    DataSection,
    FairnessSection,
    LineSection,
    LoadtestSection,
    ModelSection,
    MonitorSection,
    OodSection,
    OptimizeSection,
    PlatformsSection,
    RobustnessSection,
    ServeSection,
    TriggersSection,
)
from afterfit.core.strict import converted
from afterfit.errors import ConfigError, NotFoundError, UsageError
from afterfit.loadtest.slo import slo_of

FILE_NAME = "afterfit.toml"
DEFAULT_GATES = ("baseline_lift > 0",)
TABLES = frozenset(
    {"alarms.channels", "alarms.figures", "platforms.weights", "robustness.monotone"}
)
"""The settings whose value is a table of the user's own names, and so one value."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set; each section is a table of the file."""

    workspace: str = ".afterfit"
    gates: tuple[str, ...] = DEFAULT_GATES
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    line: LineSection = LineSection()
    cost: CostSection = CostSection()
    compare: CompareSection = CompareSection()
    card: CardSection = CardSection()
    fairness: FairnessSection = FairnessSection()
    optimize: OptimizeSection = OptimizeSection()
    ood: OodSection = OodSection()
    robustness: RobustnessSection = RobustnessSection()
    loadtest: LoadtestSection = LoadtestSection()
    platforms: PlatformsSection = PlatformsSection()
    serve: ServeSection = ServeSection()
    monitor: MonitorSection = MonitorSection()
    alarms: AlarmsSection = AlarmsSection()
    approvals: ApprovalsSection = ApprovalsSection()
    triggers: TriggersSection = TriggersSection()

    def parsed_gates(self) -> tuple[Gate, ...]:
        """Return the gates; raises ConfigError for one that is not a gate on a known metric."""
        return tuple(_known_gate(text, f"$.gates[{i}]") for i, text in enumerate(self.gates))

    def alarm_gates(self) -> tuple[Gate, ...]:
        """Return the gates and those of ``[alarms]``, for live rows; errors as ``parsed_gates``."""
        own = (
            _known_gate(text, f"$.alarms.gates[{i}]", self.alarms.figures)
            for i, text in enumerate(self.alarms.gates)
        )
        return tuple(dict.fromkeys((*self.parsed_gates(), *own)))


@dataclass(frozen=True)
class Loaded:
    """A configuration with the origin of each value by its dotted name."""

    config: Config
    origins: dict[str, str] = field(default_factory=dict)
    path: Path | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What somebody set, by its dotted name, as plain values."""
        return {name: value for name, value, origin in self.rows() if origin != "default"}

    def rows(self) -> Iterator[tuple[str, Any, str]]:
        """Yield (dotted name, value, origin) of every setting, in the order of the file."""
        for name, value in flatten(msgspec.to_builtins(self.config)):
            yield name, value, self.origins.get(name, "default")


def load_config(
    folder: Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Return the configuration that holds in ``folder`` (default: here).

    ``overrides`` maps dotted names to values given on the command line; None means not given.
    Raises ConfigError that lists every problem with its path.
    """
    reading = read_config(folder, overrides=overrides, environ=environ)
    if reading.problems or reading.config is None:
        raise _bad_configuration(reading)
    return Loaded(reading.config, reading.origins, reading.path)


class Reading(NamedTuple):
    """What is written where, right or wrong; ``problems`` are (path, what is wrong) pairs.

    ``values`` has every setting by its dotted name, also those that are none.
    """

    values: dict[str, Any]
    origins: dict[str, str]
    path: Path | None
    config: Config | None
    problems: list[tuple[str, str]]


def read_config(
    folder: Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Reading:
    """Return the configuration as `load_config` reads it, with its problems in place of an error.

    Raises ConfigError for a file that is no TOML.
    """
    path, tree = find_config(folder or Path.cwd())
    origins = {name: path.name if path else "" for name, _ in flatten(tree)}
    for name, value in _from_environment(os.environ if environ is None else environ):
        _set(tree, name, value)
        origins[name] = "environment"
    for name, value in (overrides or {}).items():
        if value is not None:
            _set(tree, name, msgspec.to_builtins(value))
            origins[name] = "command line"
    problems: list[tuple[str, str]] = []
    config = converted(tree, Config, "$", problems, _of_section)
    problems += _gate_problems(tree.get("gates"), "$.gates")
    alarms = tree.get("alarms")
    if isinstance(alarms, dict):
        figures = alarms.get("figures")
        names = figures if isinstance(figures, dict) else ()
        problems += _gate_problems(alarms.get("gates"), "$.alarms.gates", names)
    values = dict(flatten(msgspec.to_builtins(Config()))) | dict(flatten(tree))
    return Reading(values, origins, path, config, problems)


def _bad_configuration(reading: Reading) -> ConfigError:
    problems = reading.problems
    where, fix = place_of(reading, problems[0][0])
    return ConfigError(
        f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in the configuration",
        where=where,
        why="; ".join(f"{path}: {text}" for path, text in problems),
        fix=f"{fix}; every setting and its origin: afterfit config show",
    )


def place_of(reading: Reading, problem: str) -> tuple[str, str]:
    """Return where a setting (``$.serve.port``) was written, and what to do there."""
    name = re.sub(r"\[\d+\]$", "", problem.removeprefix("$."))
    origin = reading.origins.get(name, "")
    if origin == "environment":
        variable = "AFTERFIT_" + name.upper().replace(".", "_")
        return variable, f"unset {variable}, or give it another value"
    if origin == "command line":
        return "the command line", f"give another value for {name}"
    line = _line_of(reading.path, name) if reading.path else 0
    place = f"{reading.path}, line {line}" if line else str(reading.path or "")
    return place, f"change {name} in {place}"


def _line_of(path: Path, name: str) -> int:
    """Return the line that sets ``serve.port`` in a TOML file, 0 where it is written otherwise."""
    section, _, key = name.rpartition(".")
    prefix = "tool.afterfit" if path.name != FILE_NAME else ""
    wanted = ".".join(part for part in (prefix, section) if part)
    now = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := re.match(r"\s*\[([^\[\]]+)\]", line):
            now = match[1].strip()
            if now == ".".join(part for part in (wanted, key) if part):
                return number
        elif now == wanted and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return 0


def find_config(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """Return the nearest file that configures Afterfit, and its table; (None, {}) if none does."""
    for place in (folder, *folder.resolve().parents):
        path = place / FILE_NAME
        if path.is_file():
            return path, _read_toml(path)
        project = place / "pyproject.toml"
        if project.is_file():
            table = _read_toml(project).get("tool", {}).get("afterfit")
            if isinstance(table, dict):
                return project, table
    return None, {}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every leaf of a nested table."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and f"{prefix}{key}" not in TABLES:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def changed(config: Config) -> dict[str, Any]:
    """Return the settings that are not at their defaults, by dotted name."""
    usual = dict(flatten(msgspec.to_builtins(Config())))
    told = flatten(msgspec.to_builtins(config))
    return {name: value for name, value in told if value != usual[name]}


def template() -> str:
    """Return a commented ``afterfit.toml`` for ``afterfit init``."""
    return TEMPLATE


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError("no such file", where=str(path), fix="afterfit init") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            "not valid TOML",
            where=str(path),
            why=str(error),
            fix=f"change {path} there, or put it aside and write another: afterfit init",
        ) from None


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield settings of variables such as ``AFTERFIT_SERVE_PORT=9000``."""
    for name, _ in flatten(msgspec.to_builtins(Config())):
        text = environ.get("AFTERFIT_" + name.upper().replace(".", "_"))
        if text is not None:
            yield name, _plain(text)


def _plain(text: str) -> Any:
    """Return an environment value as TOML reads it; what TOML cannot read is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    for parent in parents:
        inner = tree.setdefault(parent, {})
        if not isinstance(inner, dict):
            return
        tree = inner
    tree[leaf] = value


_JUDGED = AlarmsSection | CostSection | TriggersSection


def _of_section(section: Any, path: str) -> list[tuple[str, str]]:
    """Return what is wrong with settings that are right one by one, and not together."""
    if isinstance(section, LoadtestSection) and section.slo:
        try:
            slo_of(section.slo, where=path)
        except UsageError as error:
            return [(f"{path}.slo", f"{error.message}: {error.why}, such as p99<50ms")]
    found = section.problem() if isinstance(section, _JUDGED) else None
    return [] if found is None else [(f"{path}.{found[0]}", found[1])]


def _gate_problems(gates: Any, path: str, figures: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Return what is wrong with the gates; a list of something else is told by the conversion."""
    problems = []
    texts = gates if isinstance(gates, list | tuple) else ()
    for index, text in enumerate(text for text in texts if isinstance(text, str)):
        try:
            _known_gate(text, f"{path}[{index}]", figures)
        except ConfigError as error:
            problems.append((error.where, f"{error.message}; {error.why}"))
    return problems


def _known_gate(text: str, where: str, figures: Iterable[str] = ()) -> Gate:
    gate = parse_gate(text, where=where)
    if gate.step or gate.metric not in figures:
        require_known(gate, where=where)
    return gate
