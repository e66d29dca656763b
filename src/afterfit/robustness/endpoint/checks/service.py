"""Other methods, models that are not there, and readiness."""

from __future__ import annotations

from afterfit.core.wire.client import Sent
from afterfit.robustness.endpoint import findings
from afterfit.robustness.endpoint.check import FailedError, clause
from afterfit.robustness.endpoint.target import JSON_TYPE, Target


@clause("service.ready", "should", findings.ReadinessUnknown)
def ready(target: Target) -> None:
    """The server says at one of the usual paths that it is ready."""
    for path in target.dialect.ready:
        exchange = target.send(Sent("GET", path), busy=True)
        if exchange.status == 200:
            return
    why = f"none of {', '.join(target.dialect.ready)} says 200"
    raise FailedError(findings.ReadinessUnknown, why, exchange)


@clause("service.missing", "must", findings.MissingModelAnswered)
def missing(target: Target) -> None:
    """A model or route that does not exist is 404."""
    body = target.body(target.rows())
    exchange = target.send(Sent("POST", target.dialect.missing, JSON_TYPE, body))
    if exchange.status != 404:
        why = f"POST {target.dialect.missing} got {exchange.status}"
        raise FailedError(findings.MissingModelAnswered, why, exchange)


@clause("service.missing-ready", "must", findings.ReadinessUnknown)
def missing_ready(target: Target) -> None:
    """What does not exist is not ready."""
    path = f"{target.dialect.missing.removesuffix('/infer')}/ready"
    exchange = target.send(Sent("GET", path), busy=True)
    if exchange.status < 400:
        raise FailedError(findings.ReadinessUnknown, f"GET {path} got {exchange.status}", exchange)


@clause("service.get", "should", findings.WrongMethod)
def get(target: Target) -> None:
    """GET on the route of the predictions is 405 with the header Allow."""
    _refused(target, "GET")


@clause("service.head", "should", findings.WrongMethod)
def head(target: Target) -> None:
    """HEAD on the route of the predictions is 405 with the header Allow."""
    _refused(target, "HEAD")


def _refused(target: Target, method: str) -> None:
    exchange = target.send(Sent(method, target.dialect.route))
    if exchange.status != 405:
        why = f"{method} got {exchange.status}"
        raise FailedError(findings.WrongMethod, why, exchange)
    if not exchange.header("allow"):
        raise FailedError(findings.WrongMethod, "the 405 has no header Allow", exchange)
