"""Clients that are slow, stop half-way or close their side: nobody else may notice."""

from __future__ import annotations

import time
from contextlib import ExitStack

from afterfit.core.wire.client import NoAnswerError, Sent, message
from afterfit.robustness.endpoint import findings
from afterfit.robustness.endpoint.check import FailedError, clause
from afterfit.robustness.endpoint.reproduce import curl, held, piped
from afterfit.robustness.endpoint.target import Target

SLOW = 8
PIECES, PAUSE_S = 5, 0.2


@clause("connection.slow", "must", findings.HeldByOthers, abusive=True)
def slow(target: Target) -> None:
    """While eight clients have sent half of a request, another one is answered."""
    whole = _plain(target)
    half = whole[: len(whole) // 2]
    sent = target.sent(target.body(target.rows()))
    with ExitStack() as lines:
        try:
            for _ in range(SLOW):
                lines.enter_context(target.client.open()).send(half)
            exchange = target.client.request(sent)
        except NoAnswerError as error:
            why = f"while {SLOW} clients are slow: {error.reason}"
            command = f"{held(target.client, half, SLOW)}; {curl(target.client, sent)}"
            raise FailedError(findings.HeldByOthers, why, sent=sent, command=command) from None
    target.look(exchange)
    if exchange.status != 200:
        why = f"while {SLOW} clients are slow, another one gets {exchange.status}"
        raise FailedError(findings.HeldByOthers, why, exchange)


@clause("connection.pieces", "must", findings.RightRequestRefused, abusive=True)
def pieces(target: Target) -> None:
    """A request that arrives in pieces over a second is answered, or ended with 408."""
    whole, sent = _plain(target), target.sent(target.body(target.rows()))
    size = len(whole) // PIECES + 1
    with target.client.open() as line:
        for start in range(0, len(whole), size):
            line.send(whole[start : start + size])
            time.sleep(PAUSE_S)
        target.client.spend()
        try:
            exchange = line.receive(sent)
        except NoAnswerError as error:
            raise target.unanswered(error) from None
    target.look(exchange)
    if exchange.status not in {200, 408}:
        why = f"a request in {PIECES} pieces got {exchange.status}"
        raise FailedError(findings.RightRequestRefused, why, exchange)


@clause("connection.truncated", "must", findings.PartTakenForWhole, abusive=True)
def truncated(target: Target) -> None:
    """A body that ends before its length is refused, or the connection closed: not answered."""
    whole = target.sent(target.body(target.rows()))
    short = Sent(whole.method, whole.path, whole.headers, whole.body[: len(whole.body) // 2])
    length = (("Content-Length", str(len(whole.body) + 100)),)
    for body in (short.body, whole.body):
        sent = short._replace(headers=(*whole.headers, *length), body=body)
        data = message(target.client, sent, length=False)
        _half_closed(target, sent, data, answered=False)


@clause("connection.half-closed", "must", findings.ServerErrorOnWrongRequest, abusive=True)
def half_closed(target: Target) -> None:
    """A client that has sent its request and closed its side gets its answer, or the end."""
    sent = target.sent(target.body(target.rows()))
    _half_closed(target, sent, _plain(target), answered=True)


def _half_closed(target: Target, sent: Sent, data: bytes, *, answered: bool) -> None:
    """Send bytes and the end of them; raise FailedError for silence and for a wrong answer."""
    command = piped(target.client, data)
    with target.client.open() as line:
        target.client.spend()
        line.send(data)
        line.end()
        try:
            exchange = line.receive(sent)
        except NoAnswerError as error:
            if "no answer within" in error.reason:
                why = f"the connection is neither answered nor closed: {error.reason}"
                raise FailedError(findings.HeldByOthers, why, sent=sent, command=command) from None
            return
    target.look(exchange, command=command)
    if exchange.status < 400 and not answered:
        why = f"a request that was cut off got {exchange.status}"
        raise FailedError(findings.PartTakenForWhole, why, exchange, command=command)


def _plain(target: Target) -> bytes:
    return message(target.client, target.sent(target.body(target.rows())))
