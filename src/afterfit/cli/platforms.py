"""``afterfit platforms``: where a version is best run, and why not elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import EXIT_GATE_FAILED, Answer
from afterfit.platforms.config import CRITERIA, PlatformsConfig
from afterfit.report import html, markdown, text
from afterfit.report.build import record_page
from afterfit.store.files import write_bytes
from afterfit.workspace.placing import ToldReplica, Traffic, place_version
from afterfit.workspace.placing_names import known_regions
from afterfit.workspace.required import asked_of, settings_of, weights_of_text

__all__ = ["platforms"]

Form = Literal["text", "markdown"]
FORMS = {"text": text.render, "markdown": markdown.render}


@Parameter(name="*")
@dataclass(frozen=True)
class Demand:
    """The traffic."""

    traffic: Annotated[
        str,
        Parameter(
            help="traffic.toml, a CSV or Parquet file, or diurnal, weekly, black-friday, "
            "flash-crowd, growth."
        ),
    ] = "weekly"
    peak: Annotated[float | None, Parameter(help="Requests/s of its peak.")] = None
    scale: Annotated[float, Parameter(help="Multiplies every rate of it.")] = 1.0
    event: Annotated[
        list[str] | None,
        Parameter(negative="", help='A known event: "2026-11-27T08:00 x10 2h", in UTC.'),
    ] = None

    def told(self) -> Traffic:
        """Return it as the step takes it."""
        events = tuple(self.event or ())
        return Traffic(trace=self.traffic, peak=self.peak, scale=self.scale, events=events)


@Parameter(name="*")
@dataclass(frozen=True)
class Replica:
    """What is known of one replica, where no load test of the version tells it."""

    replica_rps: Annotated[
        float | None, Parameter(help="Requests/s that one replica holds within the objective.")
    ] = None
    replica_low: Annotated[float | None, Parameter(help="Its lower bound.")] = None
    replica_high: Annotated[float | None, Parameter(help="Its upper bound.")] = None
    cores: Annotated[float | None, Parameter(help="vCPUs that it had.")] = None
    memory: Annotated[float | None, Parameter(help="Memory that it takes, in GiB.")] = None
    tier: Annotated[
        str, Parameter(help="What it multiplies with: avx2, avx512, vnni, amx, neon, i8mm.")
    ] = ""
    service_ms: Annotated[
        float | None, Parameter(help="Mean time of a request on a quiet server.")
    ] = None
    cold_start: Annotated[
        float | None, Parameter(help="Seconds from its start to its first answer.")
    ] = None
    machine: Annotated[
        str, Parameter(help="Where it was measured, such as aws/us-east-1/m7i.large.")
    ] = ""
    gpu: Annotated[str, Parameter(help="The GPU that it was measured on, such as t4.")] = ""

    def told(self) -> ToldReplica:
        """Return it as the step takes it."""
        return ToldReplica(
            rate=self.replica_rps, low=self.replica_low, high=self.replica_high, cores=self.cores,
            memory_gib=self.memory, tier=self.tier, service_ms=self.service_ms,
            cold_start_s=self.cold_start, machine=self.machine, gpu=self.gpu,
        )  # fmt: skip


@Parameter(name="*")
@dataclass(frozen=True)
class Wishes:
    """What an offer must have, and what counts."""

    require: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="What it must have, with commas: hipaa, own_keys, region=eu, residency=eu, "
            "gpu=16, budget=50, provider=aws, exclude=NAME, availability=99.9, commitment=3y.",
        ),
    ] = None
    weights: Annotated[
        str, Parameter(help=f"What counts, as cost=3,latency=2; of {', '.join(CRITERIA)}.")
    ] = ""
    confirm: Annotated[
        list[str] | None,
        Parameter(negative="", help="What you have confirmed of what is unknown."),
    ] = None
    exclude: Annotated[
        list[str] | None,
        Parameter(negative="", help="Services, providers, kinds or machines to leave out."),
    ] = None
    slo: Annotated[str, Parameter(help='The objective: "p99<50ms".')] = ""
    survive: Annotated[
        Literal["none", "replica", "zone"] | None,
        Parameter(help="The loss that must do no harm: a replica, unless told otherwise."),
    ] = None
    zones: Annotated[int | None, Parameter(help="Zones that machines are spread over: 2.")] = None
    request_bytes: Annotated[float | None, Parameter(help="Mean size of a request.")] = None
    response_bytes: Annotated[float | None, Parameter(help="Mean size of an answer.")] = None
    seed: Annotated[int | None, Parameter(help="Of the weightings that are drawn.")] = None

    def config(self, usual: PlatformsConfig) -> PlatformsConfig:
        """Return the settings, those of the command line winning; raises UsageError."""
        names = (name.strip() for each in self.exclude or () for name in each.split(","))
        excluded = [f"exclude={name}" for name in names if name]
        own = {
            "slo": self.slo or None, "survive": self.survive, "zones": self.zones,
            "weights": weights_of_text(self.weights) or None, "seed": self.seed,
            "request_bytes": self.request_bytes, "response_bytes": self.response_bytes,
        }  # fmt: skip
        return asked_of(
            usual,
            require=[*(self.require or ()), *excluded],
            confirmed=self.confirm or (),
            **{name: value for name, value in own.items() if value is not None},
        )


def platforms(
    ref: str = "",
    *,
    demand: Demand = Demand(),
    replica: Replica = Replica(),
    wishes: Wishes = Wishes(),
    probes: Annotated[
        list[Path] | None,
        Parameter(
            consume_multiple=True, negative="", help="Results of probes: files, or their folders."
        ),
    ] = None,
    format: Annotated[Form, Parameter(name="--format")] = "text",  # noqa: A002 - the option's name
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="Where the page is written.")
    ] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Say where a version is best run, what that costs, and why not elsewhere.

    Offers of the catalog, and prices that you imported, are held to your requirements, sized for
    the traffic from one measured replica, priced, and compared. Nothing is fetched and no account
    is needed. Exit 1 where no offer passes, 2 where something cannot be read.

    Parameters
    ----------
    ref
        A version, such as churn@champion, whose load test is read; without it tell the numbers.
    format
        text or markdown.

    """
    with opened(common, create=not ref) as space:
        traffic = demand.told()
        config = wishes.config(
            settings_of(space.config.platforms, traffic.file(known_regions(space)))
        )
        stored, record = place_version(space, ref, traffic, replica.told(), config, probes or ())
        page = record_page(stored)
        path = output or space.reports / f"platforms-{stored.digest[:12]}.html"
        write_bytes(path, html.render(page).encode())
        warnings = space.warnings
    return Answer(
        {**msgspec.to_builtins(stored), "report": str(path)},
        f"{FORMS[format](page)}\nPage: {path}",
        exit=EXIT_GATE_FAILED if record.decided == "none" else 0,
        warnings=warnings,
    )
