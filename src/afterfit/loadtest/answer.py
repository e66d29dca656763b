"""Reading one HTTP/1.1 answer, whatever the other side sends."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

MAX_BODY = 64 << 20
"""The largest body in bytes that is read."""

_FINAL = 200
_NO_BODY = frozenset({204, 304})


class BadAnswerError(Exception):
    """What came is no HTTP, or too large."""


class Answer(NamedTuple):
    """The status, the body, and whether the connection takes another request."""

    status: int
    body: bytes
    keep: bool


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Return the next final answer; interim ones (1xx) are passed over.

    Reads bodies of a stated length, in chunks, or up to the end of the connection (RFC 9112,
    6.3). Raises BadAnswerError or the stream's own errors; the caller bounds the time.
    """
    while True:
        status, fields, version = await _head(reader)
        if status >= _FINAL:
            break
    wanted = fields.get(b"connection", b"").lower()
    keep = b"close" not in wanted and (version != b"HTTP/1.0" or b"keep-alive" in wanted)
    if status in _NO_BODY:
        return Answer(status, b"", keep)
    if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
        return Answer(status, await _chunks(reader), keep)
    if b"content-length" in fields:
        length = _number(fields[b"content-length"], 10)
        return Answer(status, await reader.readexactly(length), keep)
    body = await reader.read(MAX_BODY + 1)
    while chunk := await reader.read(MAX_BODY + 1 - len(body)):
        body += chunk
    if len(body) > MAX_BODY:
        raise BadAnswerError(f"the body has more than {MAX_BODY} bytes")
    return Answer(status, body, keep=False)


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes], bytes]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise BadAnswerError("the header has no end") from None
    first, *lines = head[:-4].split(b"\r\n")
    version, _, rest = first.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or len(code) != 3 or not code.isdigit():
        raise BadAnswerError(f"no status line: {first[:80]!r}")
    fields = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    return int(code), fields, version


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await _line(reader)
        size = _number(line.partition(b";")[0].strip(), 16)
        if size == 0:
            break
        if len(body) + size > MAX_BODY:
            raise BadAnswerError(f"the body has more than {MAX_BODY} bytes")
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise BadAnswerError("a chunk is longer than it says")
    while await _line(reader):
        pass
    return bytes(body)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n"))[:-2]
    except asyncio.LimitOverrunError:
        raise BadAnswerError("a line has no end") from None


def _number(text: bytes, base: int) -> int:
    digits = b"0123456789abcdef"[:base]
    if not text or text.lower().strip(digits):
        raise BadAnswerError(f"no length: {text[:40]!r}")
    value = int(text, base)
    if value > MAX_BODY:
        raise BadAnswerError(f"the body has more than {MAX_BODY} bytes")
    return value
