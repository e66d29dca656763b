"""``loadtest``: what the served model does under requests of the user's own rows."""

from __future__ import annotations

import msgspec
import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.errors import UnavailableError, UsageError
from afterfit.loadtest import capacity, findings
from afterfit.loadtest.arrivals import Closed
from afterfit.loadtest.bodies import request_bodies
from afterfit.loadtest.config import LoadtestConfig
from afterfit.loadtest.generator import Generator, Means
from afterfit.loadtest.shot import STATUS_OK, Shot
from afterfit.loadtest.target import PREDICT, target_of_bodies
from afterfit.records.loadtest import LoadtestRecord
from afterfit.stats.quantile import quantile_metric
from afterfit.store.environment import current_environment

SCOPE = "closed loop"


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
    target = target_of_bodies(url.rstrip("/"), PREDICT, bodies)
    users = Closed(config.users, requests=config.requests)
    means = Means(connections=config.users, ahead=config.users, timeout_s=config.timeout_s)
    with Generator(target, means) as generator:
        if config.warmup:
            generator.fire(Closed(1, requests=config.warmup), config.seconds, config.seed)
            _go_on(generator)
        shot = generator.fire(users, config.seconds, config.seed)
        _go_on(generator)
    if not shot.status.any():
        raise UnavailableError(
            "the server answered no request",
            where=url,
            why=shot.first_error or "; ".join(shot.invalid) or "none was sent",
            fix="look at the server's own log",
        )
    return _record(shot, config, subject, data.digest, settings or {})


def _go_on(generator: Generator) -> None:
    """Raise KeyboardInterrupt where ctrl-C has ended the run."""
    if generator.interrupted:
        raise KeyboardInterrupt


def _record(
    shot: Shot, config: LoadtestConfig, subject: str, data: str, settings: dict[str, int]
) -> LoadtestRecord:
    good = shot.status == STATUS_OK
    latencies = np.sort(shot.service_ms[good])
    seconds = shot.seen["seconds"]
    return LoadtestRecord(
        subject=subject,
        env=current_environment(),
        inputs={"data": data},
        resolved=msgspec.to_builtins(config),
        status="complete" if len(latencies) else "failed",
        findings=_findings(shot),
        metrics=_metrics(latencies, len(shot), seconds),
        schedule=shot.schedule,
        requests=len(shot),
        errors=len(shot) - len(latencies),
        duration_s=seconds,
        rate=len(latencies) / seconds,
        quantiles=capacity.quantiles(latencies),
        settings=settings,
    )


def _metrics(latencies: np.ndarray, sent: int, seconds: float) -> tuple[Metric, ...]:
    return (
        *(
            quantile_metric(f"latency_p{q * 100:g}_ms", latencies, q, unit="ms", scope=SCOPE)
            for q in capacity.QUANTILES
        ),
        *capacity.rates(sent, len(latencies), seconds, SCOPE),
    )


def _findings(shot: Shot) -> tuple[Finding, ...]:
    answered, sent = int(np.count_nonzero(shot.status == STATUS_OK)), len(shot)
    text = "closed loop without think time: the percentiles of a quiet service"
    return (
        capacity.failures(sent, sent - answered, shot.first_error),
        capacity.enough(answered),
        findings.ClosedLoopOnly.tip(text),
    )
