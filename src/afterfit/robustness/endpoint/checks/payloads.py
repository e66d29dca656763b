"""Payloads that are too large, too deep or too slow: refused in bounded memory, and well after."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from afterfit.core.wire.client import Exchange, NoAnswerError, Sent
from afterfit.robustness.endpoint import findings
from afterfit.robustness.endpoint.check import FailedError, clause
from afterfit.robustness.endpoint.fields import raw
from afterfit.robustness.endpoint.target import JSON_TYPE, Target

MB = 1 << 20
BATCH_BYTES, MOST_ROWS = 8 * MB, 100_000
LARGE = 32 * MB
DEEP = 100_000
INFLATED = 256 * MB
HEADER = MB
PATIENCE = 3.0
"""Times the usual time that an answer to a large request may take."""


@clause("payload.batch", "must", findings.ServerErrorOnWrongRequest, abusive=True)
def batch(target: Target) -> None:
    """A batch of 8 MB or 100,000 rows is answered whole, or refused."""
    target.need_batch()
    row = target.rows(1)
    count = min(MOST_ROWS, BATCH_BYTES // max(1, len(target.body(row))))
    exchange = _large(target, target.sent(target.body(row * count)))
    if exchange is not None and exchange.status < 400:
        target.read(exchange, count, f"a batch of {count} rows")


@clause("payload.large", "should", findings.NoLimit, abusive=True)
def large(target: Target) -> None:
    """A body of 32 MB is refused."""
    body = target.spoiled(target.text_field(), "a" * LARGE)
    _limited(_large(target, target.sent(body)), "a body of 32 MB")


@clause("payload.deep", "must", findings.NoLimit, abusive=True)
def deep(target: Target) -> None:
    """JSON that is nested 100,000 deep is refused."""
    field = target.dialect.fields[0]
    nested = raw("[" * DEEP + "]" * DEEP)
    _limited(_large(target, target.sent(target.spoiled(field, nested))), "100,000 nested arrays")


@clause("payload.gzip-bomb", "must", findings.NoLimit, abusive=True)
def gzip_bomb(target: Target) -> None:
    """A body of 256 kB that inflates to 256 MB of spaces is refused."""
    body = _inflating(target.body(target.rows()))
    headers = (*JSON_TYPE, ("Content-Encoding", "gzip"))
    _limited(_large(target, target.sent(body, headers)), "256 MB in gzip")


@clause("payload.header", "should", findings.NoLimit, abusive=True)
def header(target: Target) -> None:
    """A header of 1 MB is refused."""
    sent = target.sent(target.body(target.rows()), (*JSON_TYPE, ("X-Large", "a" * HEADER)))
    exchange = _large(target, sent)
    _limited(exchange, "a header of 1 MB")


def _large(target: Target, sent: Sent) -> Exchange | None:
    """Return the answer, None where the server closed the connection, which refuses as well."""
    with _patient(target):
        try:
            exchange = target.client.request(sent)
        except NoAnswerError as error:
            if error.gone or "no answer within" in error.reason:
                raise target.unanswered(error) from None
            return None
    target.look(exchange, busy=True)
    return exchange


def _limited(exchange: Exchange | None, what: str) -> None:
    if exchange is not None and exchange.status < 400:
        raise FailedError(findings.NoLimit, f"{what} got {exchange.status}", exchange)


@contextmanager
def _patient(target: Target) -> Iterator[None]:
    usual = target.client.timeout
    target.client.timeout = min(usual * PATIENCE, max(usual, target.client.left))
    try:
        yield
    finally:
        target.client.timeout = usual


def _inflating(body: bytes) -> bytes:
    """Return gzip of the body and 256 MB of spaces, which JSON lets pass."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    spaces = b" " * MB
    parts = [packer.compress(body)]
    parts += [packer.compress(spaces) for _ in range(INFLATED // MB)]
    return b"".join([*parts, packer.flush()])
