"""The size of a replica and of a fleet, from what was measured of a version."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.loadtest.compare import SEARCH
from afterfit.loadtest.slo import slo_of
from afterfit.package.sizes import SERVER_MIB, WORKER_MIB, Scaling, Sized, Sizes
from afterfit.records.autoscale import AutoscaleRecord, PolicyOutcome
from afterfit.records.loadtest import LoadStep, LoadtestRecord
from afterfit.workspace.age import max_age

if TYPE_CHECKING:
    from pathlib import Path

    from afterfit.records.codec import Stored
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

__all__ = ["sizes_of"]

MIB = 1 << 20
STEP_MIB = 32
"""Memory is asked for in steps of this many MiB."""
ROOM = 1.3
"""Memory beyond the most that was seen, for requests larger than those of the test."""
BUSY = 0.7
"""Without simulated autoscalers: the share of what a replica holds that is aimed at."""
COPIES = 2
"""A model in memory takes about this many times its files, as the server itself reckons."""
CERTIFIED = "L008"
"""The check of a load test that says why a rate is not certified."""
SLOWER = 10
"""A replica in a cluster may take so many times as long to start as on an idle machine."""


def sizes_of(space: Workspace, version: Version, folder: Path) -> Sizes:
    """Return the sizes for the bundle in ``folder``; without records those that are usual.

    The newest load test that searched for a rate says what a replica gets and holds, the newest
    simulation of autoscalers how many replicas there are and what they aim at.
    """
    found = _load_test(space, version)
    sizes = _unmeasured(folder) if found is None else _measured(*found)
    scaled = next(iter(space.records.list("autoscale", version.digest)), None)
    return sizes if scaled is None else _simulated(sizes, scaled)


def _load_test(space: Workspace, version: Version) -> tuple[Stored, LoadtestRecord] | None:
    """Return the load test that counts, of those not too old: the newest of the best kind.

    A rate that was searched and certified comes before one that was asked for and certified, as a
    gate does (the server may hold far more), and that before one without a certificate.
    """
    most, now = max_age("loadtest"), datetime.now(UTC)
    found: list[tuple[tuple[bool, bool], Stored, LoadtestRecord]] = []
    for stored in space.records.list("loadtest", version.digest):
        body = stored.body
        old = most is not None and now - datetime.fromisoformat(stored.envelope.created) > most
        if isinstance(body, LoadtestRecord) and _held(body) and not old:
            kind = (body.certificate is not None, body.schedule == SEARCH)
            found.append((kind, stored, body))
    # max keeps the first of equals, and the newest comes first.
    best = max(found, key=itemgetter(0), default=None)
    return None if best is None else best[1:]


def _held(test: LoadtestRecord) -> float:
    """Return the rate (requests/s) that one replica is sure to hold; 0 where none was searched."""
    if test.certificate is not None:
        return test.certificate.rate
    found = test.sustained_rps
    return 0.0 if found is None else found.low or found.value or 0.0


def _unmeasured(folder: Path) -> Sizes:
    files = Bundle(folder).manifest.files
    model = sum(file.size for file in files.values()) / MIB
    needed = _stepped(WORKER_MIB + COPIES * model)
    if needed <= SERVER_MIB:
        return Sizes()
    why = (
        f"not measured: {WORKER_MIB} MiB for the server and {COPIES} times the {model:.3g} MiB of "
        "the bundle's files"
    )
    usual = Sizes()
    return msgspec.structs.replace(
        usual, memory_request=Sized(needed, why),
        memory_limit=Sized(needed, usual.memory_limit.why),
    )  # fmt: skip


def _measured(stored: Stored, test: LoadtestRecord) -> Sizes:
    """Return what a load test says; the replica is the server that was measured."""
    usual, held, day = Sizes(), _held(test), stored.envelope.created[:10]
    workers = (test.chosen.workers if test.chosen else 0) or test.settings.get("workers", 1)
    threads = (test.chosen.intra_op if test.chosen else 0) or test.settings.get("threads", 1)
    workers, threads = max(1, workers), max(1, threads)
    cores = workers * threads
    of_test = f"as the load test of {day} had it, so that its rate holds here"
    memory, seen_why = _memory(test, day) or _reckoned(workers, usual)
    admitted = test.chosen.admission_rps if test.chosen else 0.0
    by_cpu, by_concurrency, most = _targets(test, held, cores, usual)
    return msgspec.structs.replace(
        usual,
        workers=Sized(workers, of_test),
        threads=Sized(threads, of_test),
        cpu_request=Sized(cores, f"{workers} workers with {threads} threads each: {of_test}"),
        cpu_limit=Sized(cores, "what is asked for: the load test had no more"),
        memory_request=Sized(memory, seen_why),
        memory_limit=Sized(memory, usual.memory_limit.why.removeprefix("not measured: ")),
        by_cpu=by_cpu,
        by_concurrency=by_concurrency,
        concurrency=most,
        rate=Sized(held, _rate_why(test, day)),
        admission=Sized(
            math.floor(admitted),
            "the rate that was shown to hold; what comes on top would make all wait"
            if admitted
            else "the load test tried no settings: nothing is turned away before a queue is full",
        ),
        start=_start(test, usual),
        measured=True,
        source=stored.digest,
    )


def _rate_why(test: LoadtestRecord, day: str) -> str:
    proof = test.certificate
    if proof is None:
        told = next((each.message for each in test.findings if each.code == CERTIFIED), "")
        what = f"the low bound of what short runs held, {told or 'not certified'}"
    else:
        at = (
            ""
            if test.schedule == SEARCH
            else " at the rate that was asked for, and no more was tried"
        )
        what = (
            f"holds{at}: certified at {proof.confidence:.0%}, "
            f"{proof.misses} of {proof.n} requests missed it"
        )
    return f"{test.slo} {what}; {day}, {test.env.cpu or 'a processor not named'}"


def _memory(test: LoadtestRecord, day: str) -> tuple[float, str] | None:
    seen = [step.seen.get("server_memory_bytes", 0.0) for step in test.steps]
    seen += [point.memory_bytes or 0.0 for point in test.grid]
    most = max(seen, default=0.0) / MIB
    if not most:
        return None
    why = (
        f"{most:.0f} MiB at most in the load test of {day}, and {ROOM - 1:.0%} for larger requests"
    )
    return _stepped(most * ROOM), why


def _reckoned(workers: int, usual: Sizes) -> tuple[float, str]:
    needed = max(usual.memory_request.value, workers * WORKER_MIB)
    return _stepped(needed), f"not measured: {WORKER_MIB} MiB for each of {workers} workers"


def _stepped(mib: float) -> float:
    return float(STEP_MIB * math.ceil(mib / STEP_MIB))


def _targets(
    test: LoadtestRecord, held: float, cores: int, usual: Sizes
) -> tuple[Scaling, Scaling, Sized]:
    """Return what autoscalers aim at, and how many requests a replica takes at a time."""
    room = f"{BUSY:.0%} of it leave room until a new replica answers"
    busy = _busy(test.steps, held)
    by_cpu, by_many, most = usual.by_cpu, usual.by_concurrency, usual.concurrency
    if busy:
        percent = min(90, max(10, round(100 * BUSY * busy / cores)))
        why = f"{busy:.2g} of {cores} processors are busy at {held:.4g} requests/s; {room}"
        by_cpu = msgspec.structs.replace(by_cpu, target=Sized(percent, why))
    median = dict(test.quantiles).get(0.5)
    if median:
        many = max(1, round(BUSY * held * median / 1e3))
        why = f"{held:.4g} requests/s of {median:.3g} ms are under way at a time; {room}"
        by_many = msgspec.structs.replace(by_many, target=Sized(many, why))
    if test.slo:
        limit = slo_of(test.slo).limit_ms
        why = f"behind more the last would wait longer than {limit:g} ms at {held:.4g} requests/s"
        most = Sized(max(1, math.floor(held * limit / 1e3)), why)
    return by_cpu, by_many, most


def _busy(steps: tuple[LoadStep, ...], held: float) -> float:
    """Return the processors that were busy at the rate nearest to ``held``; 0 if not seen."""
    seen = [step for step in steps if step.seen.get("server_cpu") and step.verdict == "pass"]
    if not seen:
        return 0.0
    nearest = min(seen, key=lambda step: abs(step.rate - held))
    return nearest.seen["server_cpu"] * held / nearest.rate if nearest.rate else 0.0


def _start(test: LoadtestRecord, usual: Sizes) -> Sized:
    timed = next((each for each in test.metrics if each.name == "cold_start_s"), None)
    if timed is None or not timed.value:
        return usual.start
    seconds = max(30, math.ceil(SLOWER * timed.value))
    return Sized(seconds, f"it started in {timed.value:.2g} s; {SLOWER} times that, 30 s at least")


def _simulated(sizes: Sizes, stored: Stored) -> Sizes:
    """Return the sizes with the fleet of the simulated autoscalers, where they hold."""
    record = stored.body
    if not isinstance(record, AutoscaleRecord):
        return sizes
    told = {}
    for field, name, key in (("by_cpu", "hpa-cpu", "cpu_percent"),
                             ("by_concurrency", "knative", "concurrency")):  # fmt: skip
        policy = record.policy(name)
        if policy is not None and policy.holds:
            told[field] = _scaling(policy, key)
    return msgspec.structs.replace(sizes, **told, autoscale=stored.digest) if told else sizes


def _scaling(policy: PolicyOutcome, key: str) -> Scaling:
    def sized(name: str) -> Sized:
        return Sized(policy.settings[name], policy.reasons[name])

    return Scaling(least=sized("min"), most=sized("max"), target=sized(key))
