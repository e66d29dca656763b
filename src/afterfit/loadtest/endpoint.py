"""The load test of a server: settings, the greatest rate, its certificate, a soak, cold starts.

Each part needs what was found before it; where somebody stops the run, or time is over, the record
holds what was found until then and says that it is partial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import numpy as np

from afterfit.core.progress import SILENT, Progress
from afterfit.core.serving_settings import ServingSettings
from afterfit.errors import UsageError
from afterfit.loadtest import capacity
from afterfit.loadtest.arrivals import Closed, Poisson
from afterfit.loadtest.certificate import CertifyConfig, certify
from afterfit.loadtest.cold_start import cold_start_metrics, measure_cold_starts
from afterfit.loadtest.compare import SEARCH
from afterfit.loadtest.config import LoadConfig
from afterfit.loadtest.found import Found
from afterfit.loadtest.gathered import Live
from afterfit.loadtest.grid import GridConfig, best, combinations, try_grid
from afterfit.loadtest.histogram import Histogram
from afterfit.loadtest.judge import judged, settled, windows
from afterfit.loadtest.schedule import arrivals_of
from afterfit.loadtest.search import (
    BELOW_USUAL,
    LEAST_RPS,
    SearchConfig,
    find_rate,
    fitted,
    least_budget,
)
from afterfit.loadtest.shot import Arrivals, Shooter, Shot
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.soak import Fault, FaultName, fault_moments, soak
from afterfit.loadtest.steps import Runs
from afterfit.loadtest.trace import Trace
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.record import Environment

__all__ = ["About", "Endpoint", "Server", "load_endpoint"]

RUNGS = (0.9, 0.8, 0.65, 0.5)
"""Shares of the found rate that a certificate is tried at, in this order.

Just at its limit a server misses as much as it may, which no number of requests tells from more.
"""
NO_LIMIT = Slo(quantile=0.99, limit_ms=1e12)
"""Stands in for an objective where none was given: nothing but a failure misses it."""
WARMUP_S = 1.0
GRID_RUNS = 16
"""A coarse search takes half as many runs, and each as much again for its warm-up and its end."""
END_S = 1.0
"""About so long a run takes to begin and to end, beside its time."""
USUAL = "closed:2"


class Server(Protocol):
    """A server that is up: what fires at it, and what can be done to it.

    ``lives`` gets the numbers of each second while it is fired at. ``faults`` are those that can
    be made to happen; ``start_s`` and ``load_s`` how long it took to get ready and to load;
    ``usual_rps`` what a few users who wait got answered (requests/s), 0 where nobody looked.
    """

    @property
    def lives(self) -> list[Live]: ...  # noqa: D102 - the class tells
    @property
    def faults(self) -> Mapping[FaultName, Callable[[], None]]: ...  # noqa: D102
    @property
    def workers(self) -> int: ...  # noqa: D102
    @property
    def start_s(self) -> float: ...  # noqa: D102
    @property
    def load_s(self) -> float: ...  # noqa: D102
    @property
    def usual_rps(self) -> float: ...  # noqa: D102

    @property
    def shooter(self) -> Shooter:
        """Return what sends requests to it."""
        ...

    def follow(self, schedule: Arrivals | Closed, seconds: float, seed: int) -> Shot:
        """Send what any schedule says, that of users who wait for their answers too."""
        ...

    def memory_bytes(self) -> float | None:
        """Return the memory of all its processes; None where that cannot be known."""
        ...

    def ask(self) -> None:
        """Send one request and return when it is answered."""
        ...


@dataclass(frozen=True)
class About:
    """What is known of the endpoint beside its server: digests, and how it may be changed.

    ``settings`` are those that it runs with, None where it runs elsewhere; ``cores`` are those
    that settings may use.
    """

    subject: str
    target: str
    env: Environment
    inputs: dict[str, str] = field(default_factory=dict)
    settings: ServingSettings | None = None
    cores: int = 0


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: about it, and how to bring its server up with settings."""

    about: About
    stand: Callable[[ServingSettings], AbstractContextManager[Server]]


def load_endpoint(
    endpoint: Endpoint, config: LoadConfig, progress: Progress = SILENT
) -> LoadtestRecord:
    """Return what an endpoint did under the load that was asked; see `LoadConfig`.

    Ctrl-C ends it with what was found until then. Raises what bringing the server up raises,
    UnavailableError where nobody answers, and UsageError for what does not go together.
    """
    _require_schedule(config.checked())
    found = Found(endpoint.about.settings or ServingSettings())
    try:
        _measure(endpoint, config, found, progress)
    except KeyboardInterrupt:
        found.stopped = found.stopped or "ctrl-C"
    return _record(endpoint.about, config, found)


def _measure(endpoint: Endpoint, config: LoadConfig, found: Found, progress: Progress) -> None:
    """Try settings, fire at the server, and time its starts, as far as each is asked."""
    if config.grid:
        _try_settings(endpoint, config, found, progress)
    if not found.stopped:
        with endpoint.stand(found.settings) as server:
            found.workers = server.workers
            _fire(server, config, found, progress)
    if config.cold_starts and not found.stopped:
        starts = measure_cold_starts(
            lambda: endpoint.stand(found.settings), lambda s: s.ask(), config.cold_starts, progress
        )
        found.starts = cold_start_metrics(starts)


def _schedule(config: LoadConfig) -> Arrivals | Closed:
    return arrivals_of(config.schedule or USUAL)


def _require_schedule(config: LoadConfig) -> None:
    """Raise UsageError for a schedule that is none, before anything is started."""
    if config.slo is not None and not config.schedule:
        return
    if isinstance(_schedule(config), Closed) and config.soak_s:
        raise UsageError(
            "a soak needs a rate: users who wait for answers come less often when it is slow",
            where=f"--schedule {config.schedule or USUAL}",
            fix="--schedule poisson:100, or --slo, of whose rate it takes a share",
        )


def _try_settings(endpoint: Endpoint, config: LoadConfig, found: Found, progress: Progress) -> None:
    """Try the grid, and go on with what is best for the goal."""
    tried = combinations(endpoint.about.cores, config.caps)
    each = config.budget_s / len(tried)
    step_s = min(config.seconds, GridConfig().step_s, each / GRID_RUNS)
    plan = GridConfig(caps=config.caps, seconds=each, step_s=step_s, seed=config.seed)
    found.grid = try_grid(endpoint.stand, tried, config.slo or NO_LIMIT, Poisson, plan, progress)
    found.steps += found.grid.steps
    chosen = best(found.grid.points, config.goal)
    if chosen is not None:
        found.settings = chosen.settings
        progress.say(f"  chosen for {config.goal}: {chosen.settings}")
    if len(found.grid.points) < len(tried):
        found.stopped = found.grid.points[-1].why


def _fire(server: Server, config: LoadConfig, found: Found, progress: Progress) -> None:
    """Measure one server: search and certify, or follow the schedule; then soak."""
    kept = _Keeping(server.shooter)
    if config.slo is not None and not config.schedule:
        runs = Runs(
            kept,
            Poisson,
            config.slo,
            warmup_s=WARMUP_S,
            budget_s=config.budget_s,
            seed=config.seed,
            steps=found.steps,
            progress=progress,
        )
        try:
            _capacity(runs, config, found, server.usual_rps)
        finally:
            found.shots = kept.of_last_rate
    else:
        _follow(server, config, found, progress)
    if config.soak_s and not found.stopped:
        _soak(server, config, found, progress)


def _capacity(runs: Runs, config: LoadConfig, found: Found, usual_rps: float) -> None:
    """Search the greatest rate, unless one is given, and certify it or a lower one."""
    rates = [config.at_rps] if config.at_rps else _searched(runs, config, found, usual_rps)
    # Each rung has its part of the error, as any of them might pass by chance.
    confidence = 1.0 - (1.0 - config.confidence) / max(1, len(rates))
    looks = CertifyConfig().looks * (WARMUP_S + END_S)
    each_s = 2 * (config.certify_s + looks)
    runs.budget_s = runs.budget_s - runs.left_s + each_s * max(1, len(rates))
    for rate in rates:
        runs.progress.step(f"certificate at {rate:.4g} requests/s")
        plan = CertifyConfig(seconds=config.certify_s, confidence=confidence)
        found.certified = certify(runs, rate, plan)
        found.tried = (*found.tried, rate)
        if found.certified.certificate is not None:
            found.certified.certificate = msgspec.structs.replace(
                found.certified.certificate, confidence=config.confidence
            )
        if found.certified.state in ("cut", "gone"):
            found.stopped = found.certified.why
        # What a busy machine cannot measure at one rate it often can at a lower one.
        if found.certified.state in ("certified", "cut", "gone"):
            return


def _searched(runs: Runs, config: LoadConfig, found: Found, usual_rps: float) -> list[float]:
    """Search the greatest rate and return those to certify, none where nobody may go on.

    Where no rate could be verified in time they are shares of the last one that was tried, or that
    passed a run: a certificate is made of fresh requests, whichever way its rate was come by.
    """
    step_s, runs.warmup_s = fitted(config.budget_s, config.seconds, runs.warmup_s)
    search = SearchConfig(step_s=step_s)
    if usual_rps:
        start = max(LEAST_RPS, usual_rps / BELOW_USUAL)
        search = msgspec.structs.replace(search, start_rps=min(start, search.most_rps))
    _tell_times(runs, config)
    found.search = find_rate(runs, search)
    runs.warmup_s = WARMUP_S
    ended, rate = found.search.ended, found.search.rate
    if rate is None and ended in ("budget", "unmeasurable"):
        tried = [step.rate for step in found.search.steps if step.kind == "verify"]
        rate = min(tried, default=found.search.passed)
    if ended in ("cut", "gone") or (ended == "budget" and not rate):
        found.stopped = found.search.why
        return []
    return [share * rate for share in RUNGS if rate]


def _tell_times(runs: Runs, config: LoadConfig) -> None:
    """Tell how long the search and the certificate take, and where that is likely too short."""
    runs.progress.say(
        f"  the search takes {config.budget_s:g} s at most; a certificate {config.certify_s:g} s "
        f"or somewhat more, at up to {len(RUNGS)} rates"
    )
    needed = least_budget(config.seconds, WARMUP_S, END_S)
    if config.budget_s < needed:
        runs.progress.say(
            f"  ! a search of {config.budget_s:g} s may verify no rate: give it {needed:.0f} s"
        )


def _follow(server: Server, config: LoadConfig, found: Found, progress: Progress) -> None:
    """Send what the schedule says."""
    schedule = _schedule(config)
    if isinstance(schedule, Trace):
        found.notes = schedule.notes
    progress.step(f"{schedule.name} for {config.seconds:g} s")
    shot = server.follow(schedule, config.seconds, config.seed)
    found.shots = [shot]
    found.steps.append(judged(shot, config.slo or NO_LIMIT, "measure"))
    if shot.cut:
        found.stopped = shot.first_error or "it was stopped"


def _soak(server: Server, config: LoadConfig, found: Found, progress: Progress) -> None:
    """Run on for long, with the faults that can be made to happen."""
    arrivals = _soak_arrivals(config, found)
    if arrivals is None:
        return
    faults = [
        Fault(name, at, server.faults.get(name, _cannot))
        for name, at in fault_moments(config.faults, config.soak_s)
    ]
    progress.step(f"soak: {arrivals.name} for {config.soak_s:g} s")
    soaked = soak(
        server.shooter,
        arrivals,
        config.soak_s,
        config.seed + 1,
        slo=config.slo,
        faults=faults,
        lives=server.lives,
    )
    found.soaked = soaked
    found.shots = [soaked.shot]
    kind = "fault" if faults else "soak"
    found.steps.append(judged(soaked.shot, config.slo or NO_LIMIT, kind))
    if soaked.shot.cut:
        found.stopped = soaked.shot.first_error or "it was stopped"


def _soak_arrivals(config: LoadConfig, found: Found) -> Arrivals | None:
    """Return what a soak sends: the schedule, or its share of the rate that was found."""
    if config.schedule or config.slo is None:
        arrivals = _schedule(config)
        return None if isinstance(arrivals, Closed) else arrivals
    rate = config.at_rps or (found.search.rate if found.search else None)
    return None if not rate else Poisson(rate * config.soak_share)


def _cannot() -> None:
    raise UsageError(
        "this fault cannot be made to happen to a server that runs elsewhere",
        fix="--faults slow, or test a version: afterfit loadtest NAME@champion",
    )


class _Keeping:
    """A shooter that keeps the runs of the rate that was fired last."""

    def __init__(self, shooter: Shooter) -> None:
        self._shooter = shooter
        self.of_last_rate: list[Shot] = []

    def fire(self, arrivals: Arrivals, seconds: float, seed: int) -> Shot:
        """Fire, and keep what came of it."""
        shot = self._shooter.fire(arrivals, seconds, seed)
        kept = settled(shot, min(WARMUP_S, seconds / 2))
        if not (self.of_last_rate and self.of_last_rate[-1].rate == shot.rate):
            self.of_last_rate = []
        self.of_last_rate.append(kept)
        return shot


def _record(about: About, config: LoadConfig, found: Found) -> LoadtestRecord:
    shots = found.shots
    sent = sum(len(shot) for shot in shots)
    errors = sum(int(np.count_nonzero(shot.status != 200)) for shot in shots)
    seconds = sum(shot.seconds for shot in shots)
    good = sum(int(np.count_nonzero(shot.good)) for shot in shots)
    latency = np.sort(np.concatenate([shot.latency_ms for shot in shots] or [np.empty(0)]))
    certificate = found.certified.certificate if found.certified else None
    metrics = capacity.metrics_of(config, found, latency)
    longest = max(shots, key=lambda shot: shot.seconds, default=None)
    return LoadtestRecord(
        subject=about.subject,
        env=about.env,
        inputs=about.inputs,
        resolved=msgspec.to_builtins(config),
        status="partial" if found.stopped else "complete",
        findings=capacity.findings_of(config, found, metrics, latency),
        metrics=(*metrics, *found.starts),
        schedule=_told(config, shots),
        requests=sent,
        errors=errors,
        duration_s=seconds,
        rate=good / seconds if seconds else 0.0,
        quantiles=capacity.quantiles(latency),
        settings=_numbers(found.settings, found.workers) if about.settings is not None else {},
        target=about.target,
        slo="" if config.slo is None else str(config.slo),
        steps=tuple(found.steps),
        histogram=Histogram.of(latency).encoded() if len(latency) else "",
        windows=() if longest is None else windows(longest),
        sustained_rps=None if found.search is None else found.search.metric,
        certificate=certificate,
        chosen=capacity.chosen(found),
        grid=() if found.grid is None else found.grid.points,
        scaling=capacity.law(found.grid, config.seed),
        faults=() if found.soaked is None else found.soaked.faults,
    )


def _told(config: LoadConfig, shots: list[Shot]) -> str:
    """Return the schedule of the record: rates that were found differ from run to run."""
    if config.slo is not None and not config.schedule and not config.at_rps:
        return SEARCH
    return shots[-1].schedule if shots else config.schedule or USUAL


def _numbers(settings: ServingSettings, workers: int) -> dict[str, int]:
    return {"workers": workers, "threads": settings.intra_op, "batch_cap": settings.batch_cap}
