"""``traffic.toml``: the traffic, the objective and what a place must have, in one file.

::

    shape = "diurnal"                            # or file = "rates.csv"
    peak_rps = 400                               # or mean_rps = 180
    growth = 1.5                                 # all of it 1.5 times as high
    events = ["2026-11-27T08:00 x10 2h"]
    request_bytes = 2000
    response_bytes = 500

    [slo]
    objective = "p99<50ms"
    survive = "zone"
    zones = 3

    [requirements]
    residency = "eu"
    compliance = ["hipaa"]

    [weights]
    cost = 3
    security = 2
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from afterfit.core.slo import slo_of
from afterfit.core.strict import Problem, converted
from afterfit.core.trace import PRESETS, Trace, event_of, preset, with_event
from afterfit.errors import ConfigError, NotFoundError, UsageError
from afterfit.platforms.config import CRITERIA, PlatformsConfig, Requirements
from afterfit.platforms.constraints import conflicts
from afterfit.platforms.regions import PLACES

__all__ = ["LEAST_MS", "SloSection", "TrafficFile", "read_traffic"]

LEAST_MS = 0.01
"""No answer comes within less (ms): light takes 0.01 ms for three kilometres."""

ADD_UP = ("compliance", "integrations", "exclude")
"""Requirements of which each narrows the choice; of regions and providers one is enough."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Bytes = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class SloSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[slo]``: the objective, and the loss that must do no harm; None is left to the settings."""

    objective: str = ""
    survive: Literal["none", "replica", "zone"] | None = None
    zones: Annotated[int, msgspec.Meta(ge=1, le=6)] | None = None


class TrafficFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says. ``shape`` is a name of `afterfit.core.trace`, ``file`` a path of rates.

    ``peak_rps`` or ``mean_rps`` scale it (requests/s), ``growth`` multiplies all of it. Bytes are
    those of one request and of one answer, None where the settings say them.
    """

    shape: str = ""
    file: str = ""
    peak_rps: Positive | None = None
    mean_rps: Positive | None = None
    growth: Positive = 1.0
    events: tuple[str, ...] = ()
    request_bytes: Bytes | None = None
    response_bytes: Bytes | None = None
    slo: SloSection = SloSection()
    requirements: Requirements = Requirements()
    weights: dict[str, Annotated[float, msgspec.Meta(ge=0)]] = {}

    def traced(self, rates: Trace | None = None) -> Trace:
        """Return the traffic; ``rates`` are those of ``file``, read by whoever can.

        Raises UsageError for rates that are all 0, and for an event that does not lie in them.
        """
        trace = preset(self.shape) if rates is None else rates
        if not trace.peak > 0 or not math.isfinite(trace.requests):
            raise UsageError(
                "there is no traffic to size for", where=self.file or self.shape,
                why="its rates are 0, or no numbers", fix="give rates above 0",
            )  # fmt: skip
        if self.peak_rps is not None:
            trace = trace.with_peak(self.peak_rps)
        elif self.mean_rps is not None:
            trace = trace.times(self.mean_rps / float(trace.rates.mean()))
        for event in self.events:
            trace = with_event(trace, event_of(event))
        return trace.times(self.growth)

    def asked(self, config: PlatformsConfig) -> PlatformsConfig:
        """Return settings in which what the file says of them holds, and the others stay."""
        own: dict[str, Any] = {
            "weights": self.weights or None, "slo": self.slo.objective or None,
            "survive": self.slo.survive, "zones": self.slo.zones,
            "request_bytes": self.request_bytes, "response_bytes": self.response_bytes,
        }  # fmt: skip
        said = {name: value for name, value in own.items() if value is not None}
        both = _both(config.requirements, self.requirements)
        return msgspec.structs.replace(config, requirements=both, **said)


def _both(usual: Requirements, said: Requirements) -> Requirements:
    """Return the usual requirements and those of a file, which win; what adds up is added."""
    free = Requirements()
    found = {
        name: getattr(said, name)
        for name in Requirements.__struct_fields__
        if getattr(said, name) != getattr(free, name)
    }
    for name in ADD_UP:
        found[name] = tuple(dict.fromkeys((*getattr(usual, name), *getattr(said, name))))
    return msgspec.structs.replace(usual, **found)


def read_traffic(path: Path, *, regions: Collection[str] | None = None) -> TrafficFile:
    """Return what the file says; ``regions`` are those that can be asked for (the catalog's).

    Raises NotFoundError for no such file, ConfigError that lists every problem with its path.
    """
    tree = _tree(path)
    problems: list[Problem] = []
    found = converted(tree, TrafficFile, "$", problems)
    problems += [*_infinite(tree), *_traffic(tree), *_objective(tree.get("slo"))]
    asked = tree.get("requirements")
    if isinstance(asked, dict) and asked.get("regions"):
        problems += _strange(asked["regions"], _regions(regions))
    if found is not None and not problems:
        problems = _together(found)
    if problems or found is None:
        raise ConfigError(
            f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in the traffic",
            where=str(path),
            why="; ".join(f"{where}: {text}" for where, text in problems),
            fix=f"change {', '.join(dict.fromkeys(where for where, _ in problems))} in {path}",
        )
    return found  # type: ignore[no-any-return]  # what `converted` makes is of the kind asked for


def _tree(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise NotFoundError(
            "no such file", where=str(path), fix="give the path of a traffic.toml"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            "not valid TOML", where=str(path), why=str(error), fix=f"change {path} there"
        ) from None


def _infinite(tree: dict[str, Any], path: str = "$") -> Iterator[Problem]:
    """Yield the numbers that are infinite; those that are none are refused where they are read."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _infinite(value, f"{path}.{key}")
        elif isinstance(value, float) and math.isinf(value):
            yield f"{path}.{key}", "it is a finite number, not inf"


def _traffic(tree: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the traffic and its events."""
    named = [name for name in ("shape", "file") if tree.get(name)]
    if len(named) != 1:
        yield "$.shape", f"give shape or file, one of them; shapes are {', '.join(PRESETS)}"
    shape = tree.get("shape")
    if isinstance(shape, str) and shape and shape not in PRESETS:
        near = difflib.get_close_matches(shape, PRESETS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PRESETS)}"
        yield "$.shape", f"no shape is called {shape!r}: {hint}"
    scaled = [name for name in ("peak_rps", "mean_rps") if name in tree]
    if len(scaled) > 1:
        yield "$.mean_rps", "peak_rps says how high it is already: give one of them"
    if not scaled and tree.get("shape"):
        yield "$.peak_rps", "a shape has no size: give peak_rps or mean_rps, in requests/s"
    events = tree.get("events")
    for place, event in enumerate(events if isinstance(events, list) else ()):
        try:
            event_of(str(event))
        except UsageError as error:
            yield f"$.events[{place}]", f"{error.why}, such as 2026-11-27T08:00 x10 2h"


def _objective(section: Any) -> Iterator[Problem]:
    """Yield what is wrong with an objective that is a text as it should be."""
    text = section.get("objective") if isinstance(section, dict) else None
    if not isinstance(text, str) or not text:
        return
    where = "$.slo.objective"
    try:
        slo = slo_of(text, where=where)
    except UsageError as error:
        yield where, f"{error.why}, such as p99<50ms"
        return
    if slo.limit_ms < LEAST_MS:
        yield where, f"{slo.limit_ms:g} ms cannot be held: {LEAST_MS:g} ms is the least"


def _regions(regions: Collection[str] | None) -> set[str]:
    if regions is not None:
        return {*regions, *PLACES}
    from afterfit.platforms.catalog import builtin

    return {*(machine.region for machine in builtin().machines), *PLACES}


def _strange(asked: Any, known: set[str]) -> Iterator[Problem]:
    for place, region in enumerate(asked if isinstance(asked, list) else ()):
        if isinstance(region, str) and region not in known:
            near = difflib.get_close_matches(region, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            yield f"$.requirements.regions[{place}]", f"no region {region!r} in the catalog: {hint}"


def _together(found: TrafficFile) -> list[Problem]:
    """Return what is right by itself and not together."""
    known = ", ".join(CRITERIA)
    problems = [
        (f"$.weights.{name}", f"no criterion; there are {known}")
        for name in found.weights
        if name not in CRITERIA
    ]
    if found.weights and not any(found.weights.values()):
        problems.append(("$.weights", "all of them are 0: then nothing counts"))
    if found.slo.survive == "zone" and found.slo.zones == 1:
        problems.append(("$.slo.zones", "a zone can be lost only of two or more"))
    problems += [("$.requirements", text) for text in conflicts(found.requirements)]
    return problems
