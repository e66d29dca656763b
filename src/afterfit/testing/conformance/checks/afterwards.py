"""What is judged over every exchange of the run, and whether the server came through it."""

from __future__ import annotations

from afterfit.core.wire.client import Api, Exchange
from afterfit.core.wire.documents import (
    HEADER_LENGTH,
    UnreadableError,
    json_of,
)
from afterfit.testing.conformance.check import FailedError, NotApplicableError, clause, require
from afterfit.testing.conformance.target import Target

_JSON_ANSWERS: frozenset[Api] = frozenset({"infer", "model", "server", "extension"})


@clause("error.infer", "must", "Inference Response Error")
def infer_errors(target: Target) -> None:
    """A refused inference request has the body {"error": a text}."""
    _error_form(_refusals(target, "infer"))


@clause("error.model", "must", "Model Metadata Response Error")
def model_errors(target: Target) -> None:
    """A refused request for metadata has the body {"error": a text}."""
    _error_form(_refusals(target, "model"))


@clause("error.elsewhere", "should", "Inference Response Error")
def other_errors(target: Target) -> None:
    """Refusals that the protocol does not describe (404, 405) have {"error": a text} too."""
    _error_form(_refusals(target, "other", "health"))


@clause("error.client-fault", "should", "RFC 9110, 15.5 and 15.6")
def client_fault(target: Target) -> None:
    """What the client did wrong has a status of 4xx; 5xx is for what the server did wrong."""
    wrong = [each for each in target.client.log if each.fault and each.status >= 500]
    if wrong:
        statuses = sorted({each.status for each in wrong})
        count = sum(each.fault for each in target.client.log)
        why = f"{len(wrong)} of {count} wrong requests got {statuses}; this is the first"
        raise FailedError(why, wrong[0])


@clause("json.content-type", "should", "Inference Request Examples")
def content_type(target: Target) -> None:
    """An answer in JSON is application/json, errors too."""
    for exchange in target.client.log:
        if not exchange.body or exchange.sent.method == "HEAD" or exchange.header(HEADER_LENGTH):
            continue
        if exchange.api in _JSON_ANSWERS:
            kind = (exchange.header("content-type") or "").partition(";")[0].strip().lower()
            require(kind == "application/json", f"it is {kind or 'absent'}", exchange)


@clause("server.still-well", "must", "Server Live; Inference")
def still_well(target: Target) -> None:
    """After all of this the server is live and answers the plain request as at first."""
    exchange = target.get("/v2/health/live", api="health")
    at_first = target.client.log[0].status
    require(exchange.status in {200, at_first}, f"live is now {exchange.status}", exchange)
    target.same(target.body())


def _refusals(target: Target, *apis: Api) -> list[Exchange]:
    refusals = [
        each
        for each in target.client.log
        if each.api in apis and each.status >= 400 and each.sent.method != "HEAD"
    ]
    if not refusals:
        raise NotApplicableError("no such request was refused")
    return refusals


def _error_form(refusals: list[Exchange]) -> None:
    wrong = [(each, why) for each in refusals if (why := _not_an_error(each))]
    if wrong:
        exchange, why = wrong[0]
        count = f"{len(wrong)} of {len(refusals)} refusals have another form; the first: {why}"
        raise FailedError(count, exchange)


def _not_an_error(exchange: Exchange) -> str:
    """Return what is wrong with the body of a refusal, or an empty text."""
    try:
        document = json_of(exchange.content())
    except (UnreadableError, ValueError) as error:
        return str(error)
    if not isinstance(document, dict) or "error" not in document:
        return "there is no `error`"
    if not isinstance(document["error"], str):
        return f"`error` is {type(document['error']).__name__} and no text"
    return ""
