"""Servers that run on this machine, as they are now, and what they carried under load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from afterfit.core.digest import short
from afterfit.core.metric import Metric, find, in_percent
from afterfit.records.autoscale import AutoscaleRecord
from afterfit.records.codec import Stored
from afterfit.records.loadtest import LoadtestRecord
from afterfit.report import number
from afterfit.report.page import Block, Cell, Table, Tone
from afterfit.report.parts import key_values, note, table, when
from afterfit.serve.observe import Answers, ModelReport, RoleReport, ShadowReport
from afterfit.web.pages.common import nothing, status_cell
from afterfit.web.parts import Part, View, ago, link
from afterfit.web.site import Server, Site

MOST = 50
BUSY_S = 0.1


@dataclass(frozen=True)
class Endpoints(View):
    """The servers that run here, asked ``at`` seconds since 1970."""

    at: float
    servers: tuple[Server, ...]

    area: ClassVar[str] = "/endpoints"
    every: ClassVar[int] = 3

    @property
    def title(self) -> str:
        """The heading."""
        return "Endpoints"

    @property
    def subtitle(self) -> str:
        """How many there are."""
        return f"{number.plural(len(self.servers), 'server')} on this machine"

    @property
    def parts(self) -> tuple[Part, ...]:
        """One part a server."""
        if not self.servers:
            empty = (
                "No server of this workspace runs here: afterfit serve NAME@champion starts one."
            )
            return (Part("none", "Running servers", nothing(empty)),)
        return tuple(
            Part(f"server-{place}", server.name, tuple(self._server(server)))
            for place, server in enumerate(self.servers)
        )

    def _server(self, server: Server) -> Iterator[Block]:
        report = server.report
        if report is None:
            yield note(f"It does not answer: {server.problem}", "bad")
            yield key_values(("Address", server.url), ("Process", server.pid))
            return
        ready = sum(worker.ready for worker in report.workers)
        tone: Tone = "good" if ready == len(report.workers) else "warn"
        yield key_values(
            ("Address", report.url),
            ("Processes ready", Cell(f"{ready} of {len(report.workers)}", tone)),
            ("Generation", f"{report.generation}, {ago(self.at - report.changed)}"),
            ("Restarts", f"{report.restarts}, of them for a hung model {report.hangs}"),
        )
        for model in report.models:
            yield from _model(model)
        busy = [
            [
                worker.kind,
                str(worker.pid),
                Cell("ready", "good") if worker.ready else Cell("not ready", "warn"),
                number.seconds(worker.busy_seconds) if worker.busy_seconds >= BUSY_S else None,
            ]
            for worker in report.workers
        ]
        columns = ("Process", "PID", "State", "In a call for")
        yield table(columns, busy, caption="Processes", numeric=(1, 3))


def _model(model: ModelReport) -> Iterator[Block]:
    if not model.loaded:
        yield note(f"{model.name} is unloaded")
        return
    rows = [_role(model.name, role) for role in model.roles]
    columns = ("Role", "Version", "Asked share", "Observed share (95 %)", "Requests", "Failed",
               "Median", "p99 (95 %)")  # fmt: skip
    sticky = f"The canary is sticky by {model.key}." if model.key else ""
    yield table(columns, rows, caption=model.name, numeric=range(2, 8), note=sticky)
    if model.answers:
        yield _answers(model.answers)
    if model.shadows:
        yield _shadows(model.shadows)
    for role in model.roles:
        if role.stood_in:
            told = ", ".join(f"{count} {reason}" for reason, count in role.stood_in.items())
            yield note(f"The stand-in answered for the {role.role}: {told} (requests).", "warn")


def _role(name: str, role: RoleReport) -> list[object]:
    latency = {metric.name: metric for metric in role.latency}
    known = role.version > 0
    version = link(role.version, "models", name, role.version) if known else short(role.digest)
    return [
        role.role,
        version,
        None if role.asked is None else in_percent(role.asked, 1),
        _share(role.observed),
        role.requests,
        Cell(number.count(role.failed), "bad") if role.failed else 0,
        number.metric_text(latency.get("p50")),
        number.metric_text(latency.get("p99")),
    ]


def _share(metric: Metric | None) -> str | None:
    if metric is None or metric.value is None or metric.low is None or metric.high is None:
        return None
    bounds = f"[{100 * metric.low:.3g}, {100 * metric.high:.3g}]"
    return f"{in_percent(metric.value, 1)} {bounds}"


def _answers(answers: tuple[Answers, ...]) -> Table:
    rows = [
        [
            each.of,
            number.metric_text(each.primary),
            number.metric_text(each.canary),
            number.metric_text(each.difference),
            each.difference.n,
        ]
        for each in answers
    ]
    columns = ("Answer", "Primary (95 %)", "Canary (95 %)", "Canary less primary (95 %)", "Rows")
    return table(columns, rows, caption="What canary and primary answer", numeric=range(1, 5))


def _shadows(shadows: tuple[ShadowReport, ...]) -> Table:
    rows = [
        [
            each.version or short(each.digest),
            each.against,
            _share(each.flips),
            number.metric_text(each.absolute),
            each.rows,
            each.dropped,
            Cell(number.count(each.failed), "bad") if each.failed else 0,
        ]
        for each in shadows
    ]
    columns = ("Shadow", "Beside", "Other class (95 %)", "Mean difference (95 %)", "Rows",
               "Dropped", "Failed")  # fmt: skip
    return table(columns, rows, caption="Shadows", numeric=range(2, 7))


@dataclass(frozen=True)
class LoadLine:
    """One load test: what was asked, what came, and what is certain of it (latency in ms)."""

    digest: str
    subject: str
    created: str
    status: str
    schedule: str
    slo: str
    requests: int
    errors: int
    rate: float
    p99_ms: Metric | None
    sustained_rps: Metric | None
    certified: bool
    issues: int


@dataclass(frozen=True)
class ScaleLine:
    """One simulation of an autoscaler: the policy that was chosen and its replicas."""

    digest: str
    created: str
    name: str
    number: int
    slo: str
    chosen: str
    peak_rps: float
    replica_rps: float


@dataclass(frozen=True)
class Loads(View):
    """The newest load tests and simulations of autoscalers."""

    tests: tuple[LoadLine, ...]
    scales: tuple[ScaleLine, ...]

    area: ClassVar[str] = "/loads"
    every: ClassVar[int] = 15

    @property
    def title(self) -> str:
        """The heading."""
        return "Load"

    @property
    def subtitle(self) -> str:
        """How many there are."""
        scaled = number.plural(len(self.scales), "simulation")
        return f"{number.plural(len(self.tests), 'load test')}, {scaled} of an autoscaler"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Both lists."""
        no_test = nothing("No load test yet: afterfit loadtest NAME@champion")
        no_scale = nothing("No simulation yet: afterfit autoscale NAME@champion --trace TRACE")
        return (
            Part("tests", "Load tests", (self._tests(),) if self.tests else no_test),
            Part("scales", "Autoscaling", (self._scales(),) if self.scales else no_scale),
        )

    def _tests(self) -> Table:
        rows = [
            [
                link(when(t.created), "records", t.digest),
                status_cell(t.status),
                t.schedule,
                t.slo or None,
                t.requests,
                Cell(number.count(t.errors), "bad") if t.errors else 0,
                number.metric_text(t.p99_ms),
                number.metric_text(t.sustained_rps)
                if t.sustained_rps
                else f"{number.plain(t.rate)} sent",
                Cell("certified", "good") if t.certified else None,
            ]
            for t in self.tests
        ]
        columns = ("Made", "Status", "Schedule", "Objective", "Requests", "Errors", "Latency p99",
                   "Requests/s", "Certificate")  # fmt: skip
        return table(columns, rows, numeric=range(4, 8))

    def _scales(self) -> Table:
        rows = [
            [
                link(when(s.created), "records", s.digest),
                link(f"{s.name}@{s.number}", "models", s.name, s.number) if s.name else None,
                s.slo,
                Cell(s.chosen, "good") if s.chosen else Cell("none holds", "bad"),
                s.peak_rps,
                s.replica_rps,
            ]
            for s in self.scales
        ]
        columns = ("Made", "Of", "Objective", "Policy", "Peak, requests/s", "Replica, requests/s")
        return table(columns, rows, numeric=(4, 5))


def endpoints(site: Site) -> Endpoints:
    """Return the page of servers."""
    return Endpoints(site.clock(), site.servers())


def loads(site: Site) -> Loads:
    """Return the page of load tests and autoscalers."""
    tests = site.read(site.rows("loadtest"), MOST)
    scales = site.read(site.rows("autoscale"), MOST)
    return Loads(
        tuple(line for stored in tests for line in _test(stored)),
        tuple(line for stored in scales for line in _scale(stored)),
    )


def _test(stored: Stored) -> Iterator[LoadLine]:
    body = stored.body
    if isinstance(body, LoadtestRecord):
        yield LoadLine(
            digest=stored.digest,
            subject=body.subject,
            created=stored.envelope.created,
            status=body.status,
            schedule=body.schedule,
            slo=body.slo,
            requests=body.requests,
            errors=body.errors,
            rate=body.rate,
            p99_ms=find(body.metrics, "latency_p99_ms"),
            sustained_rps=body.sustained_rps,
            certified=body.certificate is not None,
            issues=len(body.issues),
        )


def _scale(stored: Stored) -> Iterator[ScaleLine]:
    body = stored.body
    if isinstance(body, AutoscaleRecord):
        policy = body.policy(body.chosen)
        yield ScaleLine(
            digest=stored.digest,
            created=stored.envelope.created,
            name=body.name,
            number=body.number,
            slo=body.slo,
            chosen=policy.title if policy else "",
            peak_rps=body.trace.peak,
            replica_rps=body.replica.rate,
        )
