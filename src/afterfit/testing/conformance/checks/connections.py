"""HTTP/1.1 as clients and proxies use it: methods, kept connections, chunks, many at once."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

from afterfit.core.wire.client import Exchange, NoAnswerError, Sent, message
from afterfit.core.wire.documents import Answer
from afterfit.testing.conformance.check import (
    NotApplicableError,
    SkippedError,
    clause,
    require,
)
from afterfit.testing.conformance.target import Target, difference

_BUSY = (429, 503)
_AT_ONCE = 12
_ROUNDS = 4
_PAUSE_SECONDS = 0.005


@clause("http.head", "should", "RFC 9110, 9.1")
def head(target: Target) -> None:
    """HEAD is answered where GET is, without a body."""
    exchange = target.client.request(Sent("HEAD", "/v2"), api="server")
    require(exchange.status == 200, f"the status is {exchange.status}", exchange)


@clause("http.head-no-body", "must", "RFC 9110, 9.3.2")
def head_no_body(target: Target) -> None:
    """No body follows the answer to HEAD."""
    sent = Sent("HEAD", "/v2/health/live")
    with target.client.open() as line:
        line.ask(sent)
        exchange = line.receive(sent)
        if exchange.will_close:
            require(line.ended(), "bytes follow the answer to HEAD", exchange)
            return
        line.ask(sent._replace(method="GET"))
        following = ""
        with suppress(NoAnswerError):
            following = line.first_line(sent)
        fine = not following or following.startswith("HTTP/1.")
        require(fine, f"after the answer to HEAD there comes {following[:80]!r}", exchange)


@clause("http.method", "should", "RFC 9110, 15.5.6")
def method(target: Target) -> None:
    """A method that a path does not have gets 405."""
    for exchange in _wrong_methods(target):
        require(exchange.status == 405, f"the status is {exchange.status}", exchange)


@clause("http.allow", "must", "RFC 9110, 15.5.6")
def allow(target: Target) -> None:
    """A 405 tells the methods in the header Allow."""
    answers = [each for each in _wrong_methods(target) if each.status == 405]
    if not answers:
        raise NotApplicableError("the server gives no 405")
    for exchange in answers:
        require(exchange.header("allow"), "there is no Allow header", exchange)


@clause("http.keep-alive", "should", "RFC 9112, 9.3")
def keep_alive(target: Target) -> None:
    """A connection carries several requests; one that ends says Connection: close."""
    target.need_repeatable()
    sent = target.sent(target.body())
    with target.client.open() as line:
        for _ in range(3):
            line.ask(sent)
            exchange = line.receive(sent, api="infer")
            differs = difference(target.plain, target.accepted(exchange))
            require(not differs, f"another answer on a kept connection: {differs}", exchange)
            require(not exchange.will_close, "the connection is not kept", exchange)


@clause("http.close", "must", "RFC 9112, 9.6")
def close(target: Target) -> None:
    """Connection: close ends it after the answer."""
    sent = Sent("GET", "/v2/health/live", (("Connection", "close"),))
    with target.client.open() as line:
        line.ask(sent)
        exchange = line.receive(sent, api="health")
        require(line.ended(), "the connection stays open", exchange)


@clause("http.pipelining", "must", "RFC 9112, 9.3.2")
def pipelining(target: Target) -> None:
    """Requests sent together are answered in their order, as far as they are answered."""
    ids = [f"pipelined-{number}" for number in range(4)]
    requests = [target.sent(target.body(None).changed(id=id_)) for id_ in ids]
    came: list[object] = []
    with target.client.open() as line:
        for _ in requests:
            target.client.spend()
        line.send(b"".join(message(target.client, sent) for sent in requests))
        for sent in requests:
            try:
                exchange = line.receive(sent, api="infer")
            except NoAnswerError:
                if not came:
                    raise
                break
            came.append(target.accepted(exchange).document.get("id"))
            require(came == ids[: len(came)], f"the ids came as {came}", exchange)
            if exchange.will_close:
                break
    if len(came) < len(ids):
        raise NotApplicableError(f"the server ended the connection after {len(came)} answers")


@clause("http.chunked", "must", "RFC 9112, 7.1")
def chunked(target: Target) -> None:
    """A body in chunks is read (411 declines it)."""
    target.need_repeatable()
    body = target.body()
    whole = body.head + body.tail
    half = len(whole) // 2
    sent = Sent("POST", target.path("/infer"), (*body.headers, ("Transfer-Encoding", "chunked")))
    pieces = [b"%x\r\n%s\r\n" % (len(p), p) for p in (whole[:half], whole[half:])]
    exchange = _in_pieces(target, sent, [message(target.client, sent, length=False), *pieces])
    if exchange.status == 411:
        raise NotApplicableError("the server wants a length: 411")
    differs = difference(target.plain, target.accepted(exchange))
    require(not differs, f"another answer than to the plain request: {differs}", exchange)


@clause("http.pieces", "must", "RFC 9112, 2.2")
def pieces(target: Target) -> None:
    """A request that arrives in pieces is one request."""
    target.need_repeatable()
    sent = target.sent(target.body())
    data = message(target.client, sent)
    cuts = [0, 1, 20, len(data) - len(sent.body) - 2, len(data) - len(sent.body) + 5, len(data)]
    parts = [data[start:end] for start, end in pairwise(cuts)]
    exchange = _in_pieces(target, sent, parts)
    differs = difference(target.plain, target.accepted(exchange))
    require(not differs, f"another answer than to the plain request: {differs}", exchange)


@clause("http.expect", "must", "RFC 9110, 10.1.1")
def expect(target: Target) -> None:
    """To Expect: 100-continue comes 100 or the final status, before the body is sent."""
    target.need_repeatable()
    sent = target.sent(target.body(), more=(("Expect", "100-continue"),))
    data = message(target.client, sent)
    with target.client.open() as line:
        target.client.spend()
        line.send(data[: len(data) - len(sent.body)])
        first = line.first_line(sent)
        if not first.startswith("HTTP/1.1 100"):
            refused = re.match(r"HTTP/1\.[01] [45]\d\d\b", first)
            require(refused, f"before the body there came {first[:80]!r}")
            return
        line.send(sent.body)
        exchange = line.receive(sent, api="infer")
    differs = difference(target.plain, target.accepted(exchange))
    require(not differs, f"another answer than to the plain request: {differs}", exchange)


@clause("http.concurrent", "must", "Inference; RFC 9112, 9.3")
def concurrent(target: Target) -> None:
    """Requests at once are not mixed up: each answer is that of its own rows and id."""
    target.need_repeatable()
    singles = [target.answer(target.body(1, row))[0] for row in range(_AT_ONCE)]
    numbered = list(range(_AT_ONCE)) * _ROUNDS
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        exchanges = list(pool.map(lambda row: _numbered(target, row), numbered))
    answered = 0
    for row, exchange in zip(numbered, exchanges, strict=True):
        if exchange.status in _BUSY:
            continue
        answered += 1
        _own_answer(target.accepted(exchange), singles[row], f"row-{row}", exchange)
    if not answered:
        raise SkippedError("the server was too busy for every request")
    if not any(difference(singles[0], other) for other in singles[1:]):
        raise SkippedError("the model answers all rows alike: only the ids could be told apart")


def _numbered(target: Target, row: int) -> Exchange:
    return target.post(target.body(1, row).changed(id=f"row-{row}"))


def _own_answer(answer: Answer, single: Answer, id_: str, exchange: Exchange) -> None:
    said = answer.document.get("id")
    require(said is None or said == id_, f"{id_} got the answer of {said!r}", exchange)
    differs = difference(single, answer)
    require(not differs, f"{id_} got other values than alone: {differs}", exchange)


def _wrong_methods(target: Target) -> list[Exchange]:
    get = target.client.request(Sent("GET", target.path("/infer")), fault=True)
    delete = target.client.request(Sent("DELETE", "/v2/health/live"), fault=True)
    return [get, delete]


def _in_pieces(target: Target, sent: Sent, parts: list[bytes]) -> Exchange:
    with target.client.open() as line:
        target.client.spend()
        for part in parts:
            line.send(part)
            time.sleep(_PAUSE_SECONDS)
        if any(name == "Transfer-Encoding" for name, _ in sent.headers):
            line.send(b"0\r\n\r\n")
        return line.receive(sent, api="infer")
