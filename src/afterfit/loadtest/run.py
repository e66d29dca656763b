"""``loadtest``: what the served model does under requests of the user's own rows."""

from __future__ import annotations

import msgspec
import numpy as np

from afterfit.core import frame as frames
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, is_missing
from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import InputError, UnavailableError, UsageError
from afterfit.loadtest import findings
from afterfit.loadtest.closed import Samples, run_closed_loop
from afterfit.loadtest.config import LoadtestConfig
from afterfit.records.loadtest import LoadtestRecord
from afterfit.stats.interval import wilson
from afterfit.stats.quantile import quantile_metric, quantile_of
from afterfit.store.environment import current_environment

DISTINCT_ROWS = 500
SCOPE = "closed loop"
QUANTILES = (0.5, 0.9, 0.95, 0.99)
PLOTTED = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)
# Fewer values have no upper bound of their 99th percentile: 0.99 ** 368 is just below 0.025.
ENOUGH = 368


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

    Both are of the requests that were answered with 200; the others are counted. ``subject`` is
    the digest that the server runs; ``settings`` what it runs with. Raises UnavailableError where
    nothing answers, InputError for data without rows, UsageError for settings that send nothing.
    """
    progress.step("loadtest")
    if config.users < 1 or config.requests < 1 or not config.seconds > 0:
        raise UsageError(
            "a load test needs at least one user, one request and some time",
            why=f"users = {config.users}, requests = {config.requests}, "
            f"seconds = {config.seconds:g}",
            fix="users = 2, requests = 20000, seconds = 5",
        )
    bodies = request_bodies(data, signature, config.seed)
    if not bodies:
        raise InputError(
            "the data has no rows to send", where=data.source, fix="give --data a table with rows"
        )
    samples = run_closed_loop(
        f"{url.rstrip('/')}/predict",
        bodies,
        users=config.users,
        seconds=config.seconds,
        requests=config.requests,
        warmup=config.warmup,
        timeout_s=config.timeout_s,
    )
    if samples.requests == samples.broken:
        raise UnavailableError(
            "the server answered no request",
            where=url,
            why=samples.first_error,
            fix="look at the server's own log",
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
        status="complete" if len(latencies) else "failed",
        findings=_findings(samples),
        metrics=_metrics(latencies, samples, rate),
        schedule=f"closed:{config.users}",
        requests=samples.requests,
        errors=samples.errors,
        duration_s=samples.duration_s,
        rate=rate,
        quantiles=tuple((q, quantile_of(latencies, q)) for q in PLOTTED if len(latencies)),
        settings=settings,
    )


def _metrics(latencies: np.ndarray, samples: Samples, rate: float) -> tuple[Metric, ...]:
    errors = wilson(samples.errors, samples.requests)
    return (
        *(
            quantile_metric(
                f"latency_p{quantile * 100:g}_ms", latencies, quantile, unit="ms", scope=SCOPE
            )
            for quantile in QUANTILES
        ),
        Metric(
            name="throughput_rps",
            value=rate,
            n=len(latencies),
            unit="requests/s",
            method="count over time",
            scope=SCOPE,
        ),
        Metric(
            name="error_rate",
            value=samples.errors / samples.requests,
            low=errors.low,
            high=errors.high,
            n=samples.requests,
            method=errors.method,
            scope=SCOPE,
        ),
    )


def _findings(samples: Samples) -> tuple[Finding, ...]:
    answered, sent = len(samples.latencies_ms), samples.requests
    found = []
    if samples.errors:
        text = f"{samples.errors} of {sent} requests failed; the first: {samples.first_error}"
        fix = "look at the first error's text; send the row by hand with curl"
        found.append(findings.ErrorsUnderLoad.issue(text, fix=fix, errors=samples.errors, n=sent))
    else:
        found.append(findings.ErrorsUnderLoad.passed(f"{sent} requests, each answered with 200"))
    if answered < ENOUGH:
        text = f"{answered} answers, {ENOUGH} are needed for an interval of the 99th percentile"
        found.append(findings.TooFewRequests.skipped(text, needed_n=ENOUGH))
    else:
        found.append(findings.TooFewRequests.passed(f"{answered} answers"))
    text = "closed loop without think time: the percentiles of a quiet service"
    return (*found, findings.ClosedLoopOnly.tip(text))
