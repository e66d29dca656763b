"""``afterfit autoscale``: how many replicas, when, and the settings of the autoscaler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Group, Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import EXIT_GATE_FAILED, Answer
from afterfit.errors import UsageError
from afterfit.loadtest.autoscale.config import AutoscaleConfig
from afterfit.loadtest.autoscale.emit.write import TARGETS, Names, written
from afterfit.records.autoscale import AutoscaleRecord
from afterfit.report import html, text
from afterfit.report.build import record_page
from afterfit.store.files import write_bytes
from afterfit.workspace.autoscaling import Told, Traffic, autoscale_version


@Parameter(name="*", group=Group("One replica", sort_key=2))
@dataclass(frozen=True)
class Replica:
    """What is known of one replica, where no load test of the version tells it."""

    replica_rps: Annotated[
        float | None, Parameter(help="Requests/s that one replica holds within the objective.")
    ] = None
    service_ms: Annotated[
        float | None, Parameter(help="Mean time of a request on a quiet server.")
    ] = None
    service_cv: Annotated[
        float | None, Parameter(help="How much it varies: deviation over mean; 1 without it.")
    ] = None
    concurrency: Annotated[
        int | None, Parameter(help="Requests that a replica answers at once.")
    ] = None
    queue: Annotated[int | None, Parameter(help="Requests that wait in a replica at most.")] = None
    cold_start: Annotated[
        float | None,
        Parameter(help="Seconds from the decision to a replica's first answer."),
    ] = None


@Parameter(name="*", group=Group("The fleet", sort_key=3))
@dataclass(frozen=True)
class Fleet:
    """What the fleet has to bear, and what it may cost."""

    max: Annotated[int | None, Parameter(help="Replicas that there can be at most.")] = None
    survive: Annotated[
        Literal["none", "replica", "zone"], Parameter(help="The loss that must do no harm.")
    ] = "replica"
    zones: Annotated[int, Parameter(help="Zones that replicas are spread over.")] = 3
    budget: Annotated[float, Parameter(help="Share of minutes that may break the objective.")] = (
        0.001
    )
    to_zero: Annotated[
        bool, Parameter(negative="", help="KEDA, Knative and Ray may stop the last replica.")
    ] = False
    replica_usd_h: Annotated[float | None, Parameter(help="USD that a replica-hour costs.")] = None
    policies: Annotated[str, Parameter(help="Which to simulate, with commas; else all.")] = ""
    runs: Annotated[int, Parameter(help="Runs of each with other chance; 0: by size.")] = 0
    seed: int = 0

    def config(self) -> AutoscaleConfig:
        """Return it as the step takes it; raises UsageError naming the option."""
        names = tuple(word.strip() for word in self.policies.split(",") if word.strip())
        given = {
            "policies": names, "runs": self.runs, "seed": self.seed, "most": self.max,
            "survive": self.survive, "zones": self.zones, "budget": self.budget,
            "to_zero": self.to_zero, "usd_h": self.replica_usd_h,
        }  # fmt: skip
        try:
            return msgspec.convert(given, AutoscaleConfig)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$.")
            option = {"most": "max", "usd_h": "replica-usd-h"}.get(where[:-1], where[:-1])
            option = f"--{option.replace('_', '-')}"
            raise UsageError(
                "an option cannot be that", where=option, why=what,
                fix="afterfit autoscale --help",
            ) from None  # fmt: skip


@Parameter(name="*", group=Group("Traffic", sort_key=1))
@dataclass(frozen=True)
class Demand:
    """The traffic, and what it may ask for."""

    trace: Annotated[
        str,
        Parameter(
            help="CSV or Parquet file, or diurnal, weekly, black-friday, flash-crowd, growth."
        ),
    ] = "diurnal"
    peak: Annotated[float | None, Parameter(help="Requests/s of the trace's peak.")] = None
    scale: Annotated[float, Parameter(help="Multiplies every rate of the trace.")] = 1.0
    event: Annotated[
        list[str] | None,
        Parameter(negative="", help='A known event: "2026-11-27T08:00 x10 2h", in UTC.'),
    ] = None
    slo: Annotated[str, Parameter(help='The objective: "p99<50ms".')] = ""

    def traffic(self) -> Traffic:
        """Return the traffic as the step takes it."""
        events = tuple(self.event or ())
        return Traffic(trace=self.trace, peak=self.peak, scale=self.scale, events=events)


@Parameter(name="*", group=Group("Files", sort_key=4))
@dataclass(frozen=True)
class Files:
    """What is written, and what it calls things."""

    destination: Annotated[
        str, Parameter(name=["--for"], help=f"Settings to write: {','.join(TARGETS)}.")
    ] = ""
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="Folder to write them to.")
    ] = None
    namespace: Annotated[str, Parameter(help="Namespace of what is written.")] = "default"
    prometheus: Annotated[str, Parameter(help="Where KEDA finds Prometheus.")] = (
        "http://prometheus.monitoring:9090"
    )

    def write(self, record: AutoscaleRecord) -> list[str]:
        """Return the paths of the files that were written."""
        names = Names.of(record, namespace=self.namespace, prometheus=self.prometheus)
        folder = self.output or Path(f"{names.name}-autoscale")
        made = written(record, _targets(self.destination), names)
        for name, content in made.items():
            write_bytes(folder / name, content.encode())
        return [str(folder / name) for name in made]


def autoscale(
    ref: str = "",
    *,
    demand: Demand = Demand(),
    replica: Replica = Replica(),
    fleet: Fleet = Fleet(),
    files: Files = Files(),
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Simulate autoscalers over your traffic, and write the settings of the one you use.

    Each policy is sized for the trace from what one replica holds, simulated as its controller
    decides, and judged; the cheapest that holds the objective is recommended. Exit 1 where none
    does.

    Parameters
    ----------
    ref
        A version, such as churn@champion, whose load test is read; without it tell the numbers.

    """
    told = Told(
        rate=replica.replica_rps, service_ms=replica.service_ms, cv=replica.service_cv,
        concurrency=replica.concurrency, queue=replica.queue, cold_start_s=replica.cold_start,
    )  # fmt: skip
    _targets(files.destination)
    with opened(common, create=not ref) as space:
        stored, record = autoscale_version(
            space, ref, demand.slo, demand.traffic(), told, fleet.config()
        )
        page = record_page(stored)
        path = space.reports / f"autoscale-{stored.digest[:12]}.html"
        write_bytes(path, html.render(page).encode())
        paths = files.write(record)
        warnings = space.warnings
    lines = "".join(f"\nWritten: {each}" for each in paths)
    return Answer(
        {**msgspec.to_builtins(stored), "report": str(path), "files": paths},
        f"{text.render(page)}{lines}\nPage: {path}",
        exit=0 if record.chosen else EXIT_GATE_FAILED,
        warnings=warnings,
    )


def _targets(text_: str) -> tuple[str, ...]:
    names = tuple(word.strip() for word in text_.split(",") if word.strip())
    for name in names:
        if name not in TARGETS:
            raise UsageError(
                f"nothing can be written for {name!r}", where="--for",
                why=f"there are {', '.join(TARGETS)}", fix=f"--for {','.join(TARGETS)}",
            )  # fmt: skip
    return names
