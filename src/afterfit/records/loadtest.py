"""The record of ``loadtest``: what the served model did under requests."""

from __future__ import annotations

import msgspec

from afterfit.core.metric import Metric
from afterfit.core.serving_settings import ServingSettings
from afterfit.records.record import Record


class LoadStep(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the generator at one rate (requests/s).

    ``kind`` is what it was for: ``measure``, ``double``, ``bisect``, ``verify``, ``certify``,
    ``grid``, ``soak``, ``fault``. ``achieved_rps`` counts good answers. ``latency_ms`` counts
    from when a request was due and ``service_ms`` from when it was written: (quantile in 0..1,
    ms) pairs, without those that are infinite because so many failed. ``misses`` are requests
    without a good answer within the objective. ``lag_p99_ms`` is the generator's own.
    ``verdict`` is ``pass``, ``fail`` or ``invalid``, with ``why``.
    """

    kind: str
    schedule: str
    rate: float
    seconds: float
    requests: int
    achieved_rps: float
    errors: int = 0
    wrong: int = 0
    misses: int = 0
    latency_ms: tuple[tuple[float, float], ...] = ()
    service_ms: tuple[tuple[float, float], ...] = ()
    lag_p99_ms: float = 0.0
    verdict: str = "pass"
    why: str = ""
    seen: dict[str, float] = {}
    settings: dict[str, int] = {}


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """That a server holds an objective at a rate: what may be claimed, and of what.

    ``misses`` of ``n`` requests at ``rate`` requests/s; ``n_effective`` is n after correction for
    autocorrelation; ``upper`` bounds the true share of misses at ``confidence`` (0..1), after
    ``looks`` at the data. It holds for the subject, settings and hardware of its record only.
    """

    rate: float
    quantile: float
    limit_ms: float
    confidence: float
    n: int
    misses: int
    n_effective: float
    upper: float
    looks: int
    method: str


class LoadWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of a run, for plots over time: rates in requests/s, latencies in ms."""

    start_s: float
    seconds: float
    due_rps: float
    good_rps: float
    errors: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    seen: dict[str, float] = {}


class FaultOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What something that went wrong ``at_s`` s into a run cost until the calm after it.

    ``misses`` had no good answer within the objective (or none at all, without one).
    ``recovery_s`` is the time until two seconds in a row kept it; None where none did. ``why``
    says why the fault was not tried.
    """

    name: str
    at_s: float
    requests: int = 0
    errors: int = 0
    wrong: int = 0
    misses: int = 0
    recovery_s: float | None = None
    why: str = ""


class GridPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What one combination of settings carried within the objective (requests/s).

    ``cores`` are workers times threads. ``p50_ms`` and ``p99_ms`` are at ``common_rps``, a rate
    that every combination was asked for; ``memory_bytes`` is that of all processes. ``why`` says
    what kept it from being measured.
    """

    settings: ServingSettings
    cores: int
    sustained_rps: float | None = None
    common_rps: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    memory_bytes: float | None = None
    n: int = 0
    why: str = ""


class ScalePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Requests/s at a number of workers by the fitted law, with bounds."""

    workers: int
    value: float
    low: float
    high: float
    measured: bool


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """How throughput grows with workers: the universal scalability law, fitted to the grid.

    ``contention`` and ``coherency`` are shares with their bounds, ``peak`` the number of workers
    beyond which more do less (None: not seen). ``points`` end at twice the most that was measured.
    """

    one_rps: tuple[float, float, float]
    contention: tuple[float, float, float]
    coherency: tuple[float, float, float]
    peak: tuple[float | None, float | None, float | None]
    level: float
    n: int
    points: tuple[ScalePoint, ...]


class LoadtestRecord(Record, frozen=True, kw_only=True, tag="loadtest"):
    """``quantiles`` are (quantile in 0..1, latency in ms) pairs for the percentile plot.

    ``schedule`` says how requests were sent (``closed:4`` is four users without think time,
    ``poisson:400`` an open loop of 400 requests/s); ``errors`` counts the answers that were not
    200. ``slo`` is the objective as text where there is one; ``sustained_rps`` the greatest rate
    that was verified to hold it, ``certificate`` what is certain of that. ``histogram`` is the
    latency from when a request was due in HdrHistogram's compressed form (base64, µs).
    ``chosen`` are the settings that a grid found best, which `serve` then uses; ``grid`` is what
    it tried, and ``scaling`` the law through it; ``faults`` is what went wrong on purpose.
    ``baseline`` is the digest of the record that it was compared with, ``verdicts`` what each of
    those metrics says: ``better``, ``worse`` or ``cannot tell``.
    """

    schedule: str
    requests: int
    errors: int
    duration_s: float
    rate: float
    quantiles: tuple[tuple[float, float], ...] = ()
    settings: dict[str, int] = {}
    target: str = ""
    slo: str = ""
    steps: tuple[LoadStep, ...] = ()
    windows: tuple[LoadWindow, ...] = ()
    sustained_rps: Metric | None = None
    certificate: Certificate | None = None
    histogram: str = ""
    chosen: ServingSettings | None = None
    grid: tuple[GridPoint, ...] = ()
    scaling: Scaling | None = None
    faults: tuple[FaultOutcome, ...] = ()
    baseline: str = ""
    verdicts: dict[str, str] = {}
