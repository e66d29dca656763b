"""How many replicas the traffic of a version needs, from its load test or from numbers told."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.digest import sha256_file
from afterfit.core.metric import find
from afterfit.core.trace import Trace, event_of, preset, with_event
from afterfit.errors import NotFoundError, UsageError
from afterfit.loadtest.autoscale.config import AutoscaleConfig, Measured
from afterfit.loadtest.autoscale.recorded import recorded
from afterfit.loadtest.autoscale.run import Subject, autoscale
from afterfit.loadtest.recording import read_recording
from afterfit.loadtest.scaling import occupied_s
from afterfit.loadtest.slo import Slo, slo_of
from afterfit.records.autoscale import AutoscaleRecord
from afterfit.records.codec import Stored
from afterfit.records.loadtest import LoadtestRecord

if TYPE_CHECKING:
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

WAIT = 0.5
"""Without a limit of the server's own as many requests wait as are answered within so many s."""
LEAST_QUEUE = 16
EXPONENTIAL = 1.0
MEDIAN, TAIL, TAIL_Z = 0.5, 0.99, 2.3263478740408408


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What was told of one replica; None is left to its load test, or to what follows.

    ``rate`` in requests/s, ``service_ms`` and ``cv`` of a quiet server, ``cold_start_s`` from the
    decision to the first answer.
    """

    rate: float | None = None
    service_ms: float | None = None
    cv: float | None = None
    concurrency: int | None = None
    queue: int | None = None
    cold_start_s: float | None = None

    def check(self) -> None:
        """Do nothing for numbers that can be; raises UsageError naming the option."""
        options = {"rate": "--replica-rps", "service_ms": "--service-ms", "cv": "--service-cv",
                   "concurrency": "--concurrency", "queue": "--queue",
                   "cold_start_s": "--cold-start"}  # fmt: skip
        for name, option in options.items():
            value = getattr(self, name)
            least_allowed = name in ("cv", "queue", "cold_start_s")
            fine = value is None or (math.isfinite(value) and (value > 0 or
                                     (least_allowed and value == 0)))  # fmt: skip
            if not fine:
                above = "0 or more" if least_allowed else "above 0"
                raise UsageError(
                    f"{option} is {value:g}", where=option, why=f"it has to be {above}",
                    fix=f"{option} {'0' if least_allowed else '1'}, or what was measured",
                )  # fmt: skip


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic that was asked about: a file or a shape, scaled, with known events."""

    trace: str = "diurnal"
    peak: float | None = None
    scale: float = 1.0
    events: tuple[str, ...] = ()

    def check(self) -> None:
        """Do nothing for a peak and a scale that can be; raises UsageError naming the option."""
        for option, value in (("--peak", self.peak), ("--scale", self.scale)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{option} is {value:g}", where=option, why="it is above 0",
                                 fix=f"{option} 400")  # fmt: skip

    def read(self) -> tuple[Trace, dict[str, str]]:
        """Return the trace and the digest of its file; raises UsageError or InputError."""
        path = Path(self.trace)
        digests = {}
        self.check()
        if path.is_file():
            trace, digests = recorded(read_recording(path)), {"trace": sha256_file(path)}
        elif path.suffix or "/" in self.trace:
            raise NotFoundError(
                "no such trace", where=self.trace, fix="look at the path, or --trace diurnal"
            )
        else:
            trace = preset(self.trace)
            if self.peak is None:
                raise UsageError(
                    "a shape needs its peak", where=f"--trace {self.trace}",
                    why="it has no rates of its own", fix=f"--trace {self.trace} --peak 400",
                )  # fmt: skip
        if self.peak is not None:
            trace = trace.with_peak(self.peak)
        if self.scale != 1:
            trace = trace.times(self.scale)
        for text in self.events:
            trace = with_event(trace, event_of(text))
        return trace, digests


def autoscale_version(
    space: Workspace, ref: str, slo: str, traffic: Traffic, told: Told, config: AutoscaleConfig
) -> tuple[Stored, AutoscaleRecord]:
    """Return the record of what each policy comes to for a version, or for numbers without one.

    ``ref`` may be empty where the rate, the service time and ``slo`` are told. Raises UsageError
    where something is missing or contradicts itself, NotFoundError for a version that is not there.
    """
    started = time.monotonic()
    told.check()
    version = space.registry.resolve(ref) if ref else None
    test = load_test_of(space, version, slo_of(slo) if slo else None) if version else None
    objective = _objective(slo, test)
    trace, digests = traffic.read()
    measured = _measured(told, test, objective)
    if test is not None:
        digests["loadtest"] = test.digest
    of = Subject(inputs=digests)
    if version is not None:
        of = Subject(
            name=version.name, number=version.number, digest=version.digest, inputs=digests
        )
    if told.cold_start_s is None:
        space.warnings.append(
            f"the cold start of {measured.cold_start_s:.3g} s that its load test timed is that of "
            "the process: add what pod and image take, with --cold-start"
        )
    record = autoscale(measured, objective, trace, config, of=of, progress=space.progress)
    args = {"traffic": msgspec.to_builtins(traffic), "told": msgspec.to_builtins(told)}
    record = msgspec.structs.replace(record, args=args)
    return space.keep(record, started=started), record


def load_test_of(
    space: Workspace, version: Version, slo: Slo | None = None
) -> LoadtestRecord | None:
    """Return the newest load test of the version: of ``slo`` first, then one with a rate."""
    found = [
        stored.body
        for stored in space.records.list(step="loadtest", subject=version.digest)
        if isinstance(stored.body, LoadtestRecord)
    ]

    def lacks(test: LoadtestRecord) -> tuple[bool, bool, bool]:
        other = slo is not None and not (test.slo and slo_of(test.slo) == slo)
        return other, test.sustained_rps is None, test.certificate is None

    return min(found, key=lacks, default=None)


def _objective(slo: str, test: LoadtestRecord | None) -> Slo:
    if slo:
        return slo_of(slo)
    if test is not None and test.slo:
        return slo_of(test.slo)
    raise UsageError(
        "there is no objective to size for",
        why="neither --slo nor a load test with an objective says what is slow",
        fix='--slo "p99<50ms"',
    )


def _measured(told: Told, test: LoadtestRecord | None, slo: Slo) -> Measured:
    found = None if test is None else test.sustained_rps
    if found is not None and found.value is None:
        found = None
    if found is not None and test is not None and test.slo and slo_of(test.slo) != slo:
        found = None
    measured_rate = None if found is None else found.value
    rate = measured_rate if told.rate is None else told.rate
    if rate is None:
        raise UsageError(
            "it is not known how much one replica holds",
            where=f"{slo}",
            why="no load test of this version searched for the greatest rate with this objective",
            fix=f'afterfit loadtest NAME@champion --slo "{slo}"   # or --replica-rps RATE',
        )
    service, cv = service_of(told, test)
    settings = {} if test is None else test.settings
    at_once = told.concurrency or settings.get("workers") or math.floor(rate * service / 1e3) + 1
    workers = max(1, settings.get("workers", 1))
    queue = told.queue if told.queue is not None else settings.get("queue_rows", 0) * workers
    if not queue and told.queue is None:
        queue = max(LEAST_QUEUE, round(rate * WAIT))
    start = cold_start_of(told, test)
    if start is None:
        raise UsageError(
            "it is not known how long a replica takes to start",
            why="the time from the decision to the first answer decides most of it",
            fix="--cold-start 8, the seconds of pod, image, model and first request",
        )
    measured = told.rate is None and found is not None
    low = found.low if measured and found else None
    high = found.high if measured and found else None
    return Measured(
        rate=rate, low=low or None, high=high if low else None, service_ms=service,
        cv=cv, concurrency=at_once, queue=queue, cold_start_s=start,
        source="its load test" if measured else "told, not measured",
    )  # fmt: skip


def cold_start_of(told: Told, test: LoadtestRecord | None) -> float | None:
    """Return what was told, or what the load test timed: the process without node and image."""
    timed = None if test is None else find(test.metrics, "cold_start_s")
    return timed.value if timed and told.cold_start_s is None else told.cold_start_s


def service_of(told: Told, test: LoadtestRecord | None) -> tuple[float, float]:
    """Return mean (ms) and coefficient of variation of the service time of a quiet server.

    From a load test the mean is the CPU time of a request, where it was seen: on the network and
    while it wakes up a worker is free for others. Otherwise mean and coefficient are those of the
    lognormal with the median and the 99th percentile at the lowest rate that was tried.
    """
    mean, cv = told.service_ms, told.cv
    busy_s = None if test is None else occupied_s(test.steps)
    if mean is None and busy_s is not None:
        mean = busy_s * 1e3
    if test is not None and (mean is None or cv is None):
        steps = sorted((step for step in test.steps if step.service_ms), key=lambda s: s.rate)
        points = dict(steps[0].service_ms) if steps else dict(test.quantiles)
        median, tail = points.get(MEDIAN), points.get(TAIL)
        if median and tail:
            sigma = max(0.0, math.log(tail / median) / TAIL_Z)
            mean = mean if mean is not None else median * math.exp(sigma**2 / 2)
            cv = cv if cv is not None else math.sqrt(math.expm1(sigma**2))
    if mean is None:
        raise UsageError(
            "it is not known how long one request takes",
            fix="--service-ms 2.1, the mean of a server with nothing else to do",
        )
    return mean, EXPONENTIAL if cv is None else cv
