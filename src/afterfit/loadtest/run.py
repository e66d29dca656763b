"""``loadtest``: what the served model does under requests of the user's own rows."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from afterfit.core import frame as frames
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, is_missing
from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import UnavailableError
from afterfit.loadtest import findings
from afterfit.loadtest.closed import Samples, run_closed_loop
from afterfit.loadtest.config import LoadtestConfig
from afterfit.records.loadtest import LoadtestRecord
from afterfit.stats.interval import wilson
from afterfit.stats.quantile import quantile_interval
from afterfit.store.environment import current_environment

DISTINCT_ROWS = 500
QUANTILES = (0.5, 0.9, 0.95, 0.99)
PLOTTED = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)
ENOUGH = 400


def loadtest(
    url: str,
    signature: Signature,
    data: Dataset,
    config: LoadtestConfig,
    *,
    subject: str,
    settings: dict[str, int] | None = None,
    progress: Progress = SILENT,
) -> LoadtestRecord:
    """Return the latency (ms) and rate (requests/s) of ``POST {url}/predict``, one row a request.

    ``subject`` is the digest that the server runs; ``settings`` what it runs with. Raises
    UnavailableError where nothing answers.
    """
    progress.step("loadtest")
    bodies = request_bodies(data, signature, config.seed)
    samples = run_closed_loop(
        f"{url.rstrip('/')}/predict",
        bodies,
        users=config.users,
        seconds=config.seconds,
        requests=config.requests,
        warmup=config.warmup,
        timeout_s=config.timeout_s,
    )
    if not samples.latencies_ms:
        raise UnavailableError(
            "the server answered no request", where=url, why=samples.first_error
        )
    return _record(samples, config, subject, data.digest, settings or {})


def request_bodies(data: Dataset, signature: Signature, seed: int) -> list[bytes]:
    """Return up to 500 JSON bodies of one row each, drawn from the data."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(data))[:DISTINCT_ROWS]
    rows = frames.take(frames.select(data.frame, signature.names), chosen)
    return [_body(rows, row) for row in range(frames.row_count(rows))]


def _body(rows: Frame, row: int) -> bytes:
    values = {name: array[row] for name, array in rows.items()}
    plain = {
        name: None if is_missing(v) else v.item() if isinstance(v, np.generic) else v
        for name, v in values.items()
    }
    return msgspec.json.encode({"rows": [plain]})


def _record(
    samples: Samples, config: LoadtestConfig, subject: str, data: str, settings: dict[str, int]
) -> LoadtestRecord:
    latencies = np.sort(np.asarray(samples.latencies_ms))
    rate = len(latencies) / samples.duration_s
    return LoadtestRecord(
        subject=subject,
        env=current_environment(),
        inputs={"data": data},
        resolved=msgspec.to_builtins(config),
        findings=_findings(samples, len(latencies)),
        metrics=_metrics(latencies, samples, rate),
        schedule=f"closed:{config.users}",
        requests=len(latencies),
        errors=samples.errors,
        duration_s=samples.duration_s,
        rate=rate,
        quantiles=tuple((q, _quantile(latencies, q)) for q in PLOTTED),
        settings=settings,
    )


def _quantile(ordered: np.ndarray, level: float) -> float:
    """Return the smallest value with at least ``level`` of the sample at or below it."""
    return float(ordered[max(0, math.ceil(level * len(ordered)) - 1)])


def _known(bound: float) -> float | None:
    return None if math.isnan(bound) else bound


def _metrics(latencies: np.ndarray, samples: Samples, rate: float) -> tuple[Metric, ...]:
    found = []
    for level in QUANTILES:
        bounds = quantile_interval(latencies, level)
        found.append(
            Metric(
                name=f"latency_p{level * 100:g}_ms",
                value=_quantile(latencies, level),
                low=_known(bounds.low),
                high=_known(bounds.high),
                n=len(latencies),
                method=bounds.method,
                unit="ms",
                scope="closed loop",
            )
        )
    sent = len(latencies) + samples.broken
    errors = wilson(samples.errors, sent)
    found += [
        Metric(name="throughput_rps", value=rate, n=len(latencies), unit="requests/s",
               method="count over time", scope="closed loop"),
        Metric(name="error_rate", value=samples.errors / sent, low=errors.low,
               high=errors.high, n=sent, method=errors.method, scope="closed loop"),
    ]  # fmt: skip
    return tuple(found)


def _findings(samples: Samples, n: int) -> tuple[Finding, ...]:
    found = []
    if samples.errors:
        text = f"{samples.errors} of {n} requests failed; the first: {samples.first_error}"
        found.append(findings.ErrorsUnderLoad.issue(text, errors=samples.errors, n=n))
    else:
        found.append(findings.ErrorsUnderLoad.passed(f"{n} requests, each answered with 200"))
    if n < ENOUGH:
        text = f"{n} answers, {ENOUGH} are needed for an interval of the 99th percentile"
        found.append(findings.TooFewRequests.skipped(text, needed_n=ENOUGH))
    text = "closed loop without think time: the percentiles of a quiet service"
    return (*found, findings.ClosedLoopOnly.tip(text))
