"""``afterfit loadtest``: what a server carries, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
from cyclopts import Group, Parameter

from afterfit.cli import interrupt
from afterfit.cli.common import Common, given_of, opened
from afterfit.cli.durations import seconds_of
from afterfit.cli.load_results import Results, demands_of, kept_for_ci
from afterfit.cli.output import EXIT_GATE_FAILED, EXIT_INTERRUPTED, Answer
from afterfit.cli.requests import ELSEWHERE, Elsewhere
from afterfit.cli.sources import Tables, require_used
from afterfit.core.dataset import Dataset
from afterfit.core.sections import LoadtestSection
from afterfit.errors import UsageError
from afterfit.loadtest.config import LoadConfig
from afterfit.loadtest.generator import Means
from afterfit.loadtest.recording import read_recording
from afterfit.loadtest.slo import slo_of
from afterfit.loadtest.target import Ask
from afterfit.loadtest.trace import trace_of
from afterfit.records.codec import Stored
from afterfit.report import html
from afterfit.report.build import record_page
from afterfit.report.text import render
from afterfit.store.files import write_bytes
from afterfit.store.tables import read_dataset
from afterfit.workspace import Workspace
from afterfit.workspace.load_export import Script, export_loadtest
from afterfit.workspace.loading import Against
from afterfit.workspace.loading import Elsewhere as Reach

__all__ = ["Load", "is_endpoint", "loaded"]

AIM = Group("What is to be shown", sort_key=2)
TRAFFIC = Group("Traffic", sort_key=3)
SETTINGS = Group("Settings, long runs, starts", sort_key=4)


@Parameter(name="*")
@dataclass(frozen=True)
class Load:
    """What is asked of an endpoint under load."""

    slo: Annotated[str | None, Parameter(group=AIM, help='The objective, such as "p99<50ms".')] = (
        None
    )
    at: Annotated[
        float | None,
        Parameter(group=AIM, help="Certify this rate (requests/s); exit 1 where it fails."),
    ] = None
    schedule: Annotated[
        str | None,
        Parameter(
            group=TRAFFIC,
            help="Follow it, and search nothing: poisson:400, ramp:10:400, closed:8 …",
        ),
    ] = None
    traffic: Annotated[
        Path | None,
        Parameter(group=TRAFFIC, help="Follow the traffic of a file: times, or time and rate."),
    ] = None
    times: Annotated[float | None, Parameter(group=TRAFFIC, help="So many times that traffic.")] = (
        None
    )
    users: Annotated[
        int | None, Parameter(group=TRAFFIC, help="Users who wait for their answers.")
    ] = None
    think: Annotated[
        str | None, Parameter(group=TRAFFIC, help="How long each thinks, such as 200ms.")
    ] = None
    seconds: Annotated[float | None, Parameter(group=TRAFFIC, help="Seconds of each run; 5.")] = (
        None
    )
    budget: Annotated[str | None, Parameter(group=AIM, help="Time of the search; 3m.")] = None
    certify: Annotated[str | None, Parameter(group=AIM, help="Time of the certificate; 1m.")] = None
    confidence: Annotated[float | None, Parameter(group=AIM, help="Of the certificate; 0.99.")] = (
        None
    )
    grid: Annotated[
        bool | None,
        Parameter(group=SETTINGS, negative="", help="Try workers, threads and batches first."),
    ] = None
    optimum: Annotated[
        Literal["latency", "throughput", "cost"] | None,
        Parameter(group=SETTINGS, name="--for", help="What settings are chosen for; throughput."),
    ] = None
    soak: Annotated[
        str | None, Parameter(group=SETTINGS, help="Run on for so long, such as 10m.")
    ] = None
    soak_share: Annotated[
        float | None, Parameter(group=SETTINGS, help="Of the rate that was found; 0.6.")
    ] = None
    faults: Annotated[
        list[Literal["kill", "swap", "slow"]] | None,
        Parameter(
            group=SETTINGS, negative="", consume_multiple=True, help="What goes wrong in the soak."
        ),
    ] = None
    cold_starts: Annotated[int | None, Parameter(group=SETTINGS, help="Time so many starts.")] = (
        None
    )
    expect: Annotated[
        float | None, Parameter(group=AIM, help="Say how many replicas carry so many requests/s.")
    ] = None
    rows: Annotated[int | None, Parameter(group=TRAFFIC, help="Rows in each request; 1.")] = None
    processes: Annotated[int | None, Parameter(group=TRAFFIC, help="Processes that send; 1.")] = (
        None
    )
    connections: Annotated[
        int | None, Parameter(group=TRAFFIC, help="Connections at most; 256.")
    ] = None
    timeout: Annotated[
        float | None, Parameter(group=TRAFFIC, help="Seconds for one answer; 10.")
    ] = None
    binary: Annotated[
        bool | None, Parameter(group=ELSEWHERE, negative="", help="Send tensors as raw bytes.")
    ] = None

    def given(self) -> list[str]:
        """Return the options that were given."""
        return ["--for" if option == "--optimum" else option for option in given_of(self)]


class Asked(TypedDict):
    """What an endpoint is asked beside the configuration, by its names in the workspace."""

    ask: Ask
    means: Means
    data: Dataset | None
    elsewhere: Reach


def is_endpoint(text: str) -> bool:
    """Return whether a text names what serves: a URL, a bundle's folder or a version.

    A file is a model, whatever it is called; module:function is one too.
    """
    if "://" in text or (Path(text) / "manifest.json").is_file():
        return True
    return not Path(text).exists() and ":" not in text and not Path(text).suffix


def loaded(
    endpoint: str,
    load: Load,
    elsewhere: Elsewhere,
    results: Results,
    tables: Tables,
    common: Common,
) -> Answer:
    """Return what an endpoint did under load; exit 1 where something that is demanded is not met.

    Ctrl-C leaves a record that is marked as partial, and exit 130.
    """
    results.checked()
    require_used(tables, endpoint, "--data", "--target", "--seed")
    with opened(common, tables.overrides(), create="://" in endpoint) as space:
        seed = space.config.line.seed
        config = _config(load, space.config.loadtest, seed)
        asked = Asked(
            ask=_ask(load, elsewhere, seed),
            means=_means(load),
            data=read_dataset(Path(tables.data), target=tables.target) if tables.data else None,
            elsewhere=Reach(
                headers=elsewhere.headers(), allow_remote=tuple(elsewhere.allow_remote or ())
            ),
        )
        if results.export is not None:
            return _exported(space, endpoint, results, config, asked)
        stored = space.loadtest_endpoint(endpoint, config, **asked, against=_against(results))
        if interrupt.seen():
            interrupt.finish()
        path = space.reports / f"loadtest-{stored.digest[:12]}.html"
        warnings = space.warnings
    return _answer(stored, load, results, path, warnings)


def _exported(
    space: Workspace, endpoint: str, results: Results, config: LoadConfig, asked: Asked
) -> Answer:
    tool = results.export or "k6"
    script = Script(tool, results.output or Path(f"loadtest-{tool}"))
    paths = export_loadtest(space, endpoint, script, config, **asked)
    run = {"k6": "k6 run", "locust": "locust --headless -f"}[tool]
    lines = [*(f"Written: {path}" for path in paths), f"Run it: {run} {paths[0]}"]
    rows = "made-up rows" if asked["data"] is None else "rows of the data"
    lines.append(f"{paths[1].name} has {rows}; keys are in neither file")
    return Answer({"files": [str(path) for path in paths]}, "\n".join(lines))


def _answer(
    stored: Stored, load: Load, results: Results, path: Path, warnings: list[str]
) -> Answer:
    page = record_page(stored)
    write_bytes(path, html.render(page).encode())
    demands = demands_of(stored, load.at, results)
    lines = [render(page), *(f"Not met: {d.name}: {d.told}" for d in demands if not d.met)]
    lines += [*kept_for_ci(stored, demands, results), f"Page: {path}"]
    code = 0 if all(demand.met for demand in demands) else EXIT_GATE_FAILED
    if interrupt.seen():
        code = EXIT_INTERRUPTED
        lines.append(f"It was interrupted; what was measured until then is record {stored.digest}")
    result = {**msgspec.to_builtins(stored), "report": str(path)}
    return Answer(result, "\n".join(lines), exit=code, warnings=warnings)


def _against(results: Results) -> Against | None:
    if results.baseline is None:
        return None
    return Against(baseline=results.baseline, anyway=bool(results.anyway))


def _config(load: Load, asked: LoadtestSection, seed: int) -> LoadConfig:
    slo = load.slo or asked.slo
    given: dict[str, Any] = {
        "slo": slo_of(slo) if slo else None,
        "schedule": _schedule(load),
        "at_rps": load.at,
        "seconds": load.seconds or _length(load.traffic) or asked.seconds,
        "budget_s": _seconds(load.budget, "--budget"),
        "certify_s": _seconds(load.certify, "--certify"),
        "confidence": load.confidence or asked.confidence,
        "grid": load.grid,
        "goal": load.optimum,
        "soak_s": _seconds(load.soak, "--soak"),
        "soak_share": load.soak_share,
        "faults": None if load.faults is None else tuple(load.faults),
        "cold_starts": load.cold_starts,
        "expected_rps": load.expect or (asked.expected_rps if slo else None),
        "seed": seed,
    }
    return LoadConfig(**{name: value for name, value in given.items() if value is not None})


def _schedule(load: Load) -> str | None:
    """Return the one schedule that was told, in whichever way; raises UsageError for several."""
    ways = {
        "--schedule": load.schedule,
        "--traffic": load.traffic and f"trace:{load.traffic}:{load.times or 1:g}",
        "--users": load.users and f"closed:{load.users}:{_think_ms(load):g}",
    }
    told = {name: str(way) for name, way in ways.items() if way}
    if len(told) > 1:
        raise UsageError(f"{' and '.join(told)}: only one can be followed", fix="leave one out")
    loose = {"--times": (load.times, load.traffic), "--think": (load.think, load.users)}
    for name, (value, needed) in loose.items():
        if value is not None and not needed:
            other, example = ("--traffic", "FILE") if name == "--times" else ("--users", "8")
            raise UsageError(f"{name} says nothing without {other}", fix=f"add {other} {example}")
    return next(iter(told.values()), None)


def _length(traffic: Path | None) -> float | None:
    """Return how long a trace is (s): without --seconds all of it is followed."""
    return None if traffic is None else trace_of(read_recording(traffic)).seconds


def _think_ms(load: Load) -> float:
    return 1e3 * (_seconds(load.think, "--think") or 0.0)


def _seconds(text: str | None, option: str) -> float | None:
    return None if text is None else seconds_of(text, option)


def _ask(load: Load, elsewhere: Elsewhere, seed: int) -> Ask:
    given: dict[str, Any] = {
        **elsewhere.asked(),
        "rows": load.rows,
        "binary": load.binary,
        "timeout_s": load.timeout,
        "seed": seed,
    }
    return Ask(**{name: value for name, value in given.items() if value is not None})


def _means(load: Load) -> Means:
    given: dict[str, Any] = {
        "processes": load.processes,
        "connections": load.connections,
        "timeout_s": load.timeout,
    }
    return Means(**{name: value for name, value in given.items() if value is not None})
