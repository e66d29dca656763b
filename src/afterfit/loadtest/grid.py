"""Which settings serve best: workers, threads and the cap of a batch, each tried under load.

Every combination is started, asked for the greatest rate at which it holds the objective, and for
its latency at one common rate. What is best depends on what counts: the most requests, the fewest
cores for each, or the shortest tail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from afterfit.core.progress import SILENT, Progress
from afterfit.core.serving_settings import ServingSettings
from afterfit.errors import AfterfitError
from afterfit.loadtest.search import BELOW_USUAL, LEAST_RPS, SearchConfig, find_rate
from afterfit.loadtest.shot import Shooter
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.steps import EndedError, Runs, Schedule
from afterfit.records.loadtest import GridPoint, LoadStep

__all__ = ["Goal", "Grid", "GridConfig", "Stand", "best", "combinations", "try_grid"]

Goal = Literal["latency", "throughput", "cost"]
GOALS: tuple[Goal, ...] = ("latency", "throughput", "cost")
COMMON_SHARE = 0.3
"""The common rate is this share of what the first combination carries: light enough for others."""
ALIKE = 0.05
"""Combinations within so much of the best are alike, and the smaller one is taken."""


class Running(Protocol):
    """A server that runs with known settings."""

    @property
    def shooter(self) -> Shooter:
        """Return what sends requests to it."""
        ...

    @property
    def usual_rps(self) -> float:
        """Return what a few users who wait got answered (requests/s); 0 where nobody looked."""
        ...

    def memory_bytes(self) -> float | None:
        """Return the memory of all its processes; None where that cannot be known."""
        ...


Stand = Callable[[ServingSettings], AbstractContextManager[Running]]
"""What brings a server up with settings, for as long as a block lasts."""


class GridConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How each combination is tried: a coarse search of ``seconds`` at most, in runs of ``step_s``.

    ``caps`` are the caps of a batch (0: by measurement, 1: no batches); workers and threads are
    powers of two whose product fits in the cores.
    """

    caps: tuple[int, ...] = (0, 1)
    seconds: float = 30.0
    step_s: float = 2.0
    start_rps: float = 100.0
    seed: int = 0


@dataclass(frozen=True)
class Grid:
    """What was tried, in the order of trying, and the runs of it."""

    points: tuple[GridPoint, ...]
    steps: tuple[LoadStep, ...]


def combinations(cores: int, caps: Sequence[int] = (0, 1)) -> tuple[ServingSettings, ...]:
    """Return the settings to try on so many cores: all of them in workers first, then others.

    One worker without company comes along for the law of scaling; workers and threads are never
    more than the cores together.
    """
    sizes = [n for n in (1, 2, 4, 8, 16, 32, 64) if n < cores] + [cores]
    pairs = [(w, t) for w in reversed(sizes) for t in sizes if w * t <= cores]
    return tuple(
        ServingSettings(workers=workers, intra_op=threads, batch_cap=cap)
        for cap in caps
        for workers, threads in pairs
    )


def try_grid(
    stand: Stand,
    tried: Sequence[ServingSettings],
    slo: Slo,
    schedule: Schedule,
    config: GridConfig,
    progress: Progress = SILENT,
) -> Grid:
    """Return what each combination carries; one that cannot be started says why and is passed over.

    Where somebody stops it, what was tried until then is returned.
    """
    progress.step("settings", len(tried))
    points: list[GridPoint] = []
    steps: list[LoadStep] = []
    common: float | None = None
    for number, settings in enumerate(tried):
        try:
            with stand(settings) as running:
                runs = Runs(
                    running.shooter,
                    schedule,
                    slo,
                    warmup_s=0.5,
                    retries=1,
                    budget_s=config.seconds,
                    seed=config.seed + number,
                    settings={"workers": settings.workers, "threads": settings.intra_op},
                    progress=progress,
                )
                try:
                    point, common = _point(running, runs, settings, config, common)
                finally:
                    steps += runs.steps
        except EndedError as ended:
            points.append(_missing(settings, ended.told))
            if ended.kind == "cut":
                break
        except AfterfitError as error:
            points.append(_missing(settings, error.message))
        else:
            points.append(point)
        progress.advance()
    return Grid(tuple(points), tuple(steps))


def best(points: Sequence[GridPoint], goal: Goal) -> GridPoint | None:
    """Return the combination that is best for a goal; of those alike the one with fewest cores.

    ``throughput`` is the most requests/s, ``cost`` the most for each core, ``latency`` the
    shortest 99th percentile at the common rate. None where nothing was measured.
    """
    scored = [(score, point) for point in points if (score := _score(point, goal)) is not None]
    if not scored:
        return None
    most = max(score for score, _ in scored)
    alike = [point for score, point in scored if score >= most * (1 - ALIKE)]
    # The server's own choice of a batch before a fixed one, and then the less memory.
    return min(
        alike, key=lambda p: (p.cores, p.settings.batch_cap > 0, p.memory_bytes or float("inf"))
    )


def _score(point: GridPoint, goal: Goal) -> float | None:
    if point.sustained_rps is None:
        return None
    if goal == "throughput":
        return point.sustained_rps
    if goal == "cost":
        return point.sustained_rps / point.cores
    return 1.0 / point.p99_ms if point.p99_ms else None


def _point(
    running: Running,
    runs: Runs,
    settings: ServingSettings,
    config: GridConfig,
    common: float | None,
) -> tuple[GridPoint, float | None]:
    """Return what a combination carries, and the common rate."""
    usual = running.usual_rps / BELOW_USUAL
    coarse = SearchConfig(
        start_rps=max(LEAST_RPS, usual) if usual else config.start_rps,
        step_s=config.step_s,
        resolution=0.1,
        verify=1,
        step_down=0.1,
    )
    found = find_rate(runs, coarse)
    if found.ended == "cut":
        raise EndedError("cut", found.why)
    if common is None and found.rate is not None:
        common = max(1.0, COMMON_SHARE * found.rate)
    cores = settings.workers * settings.intra_op
    point = GridPoint(
        settings=settings,
        cores=cores,
        sustained_rps=found.rate,
        memory_bytes=running.memory_bytes(),
        n=found.n,
        why="" if found.rate is not None else found.why,
    )
    if common is None:
        return point, None
    # The search may have spent the time; the latency at the common rate is asked all the same.
    runs.budget_s += config.step_s + 2 * runs.warmup_s + 1.0
    step, _ = runs.run("grid", common, config.step_s)
    told = dict(step.latency_ms) if step.verdict != "invalid" else {}
    point = msgspec.structs.replace(
        point,
        common_rps=common,
        p50_ms=told.get(0.5),
        p99_ms=told.get(0.99),
        n=point.n + step.requests,
    )
    return point, common


def _missing(settings: ServingSettings, why: str) -> GridPoint:
    return GridPoint(settings=settings, cores=settings.workers * settings.intra_op, why=why)
