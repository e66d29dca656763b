"""What the generator's processes and their parent say to each other: frames over pipes.

A frame is its kind (one letter), the length of the rest, and a document of JSON with byte strings
behind it. Both ends are this package, on one machine.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

SETUP, ORDER, GO, STOP = b"S", b"O", b"G", b"X"
"""To the process: whom to ask and what; when; begin at this moment; end now."""
READY, CHUNK, VARIANT, DONE = b"R", b"C", b"V", b"D"
"""From it: connections are open; some requests have ended; an unknown answer; all have ended."""

RECORD = struct.Struct("<Idddfhi")
"""One request: index, due, written, answered (s), lag (s), status, number of its answer."""
FIELDS = ("index", "due", "written", "answered", "lag", "status", "variant")
FORMATS = ("<u4", "<f8", "<f8", "<f8", "<f4", "<i2", "<i4")

RIGHT, UNKNOWN, UNCHECKED = 0, 1, -1
"""Numbers of an answer: as expected, the first of those to look at (and up), not compared."""
GIVEN_UP = -1
"""The status of a request that was not sent, or not waited for, because the run was cut short."""

_HEAD = struct.Struct("<cII")


class Frame(NamedTuple):
    """A message: its kind, its document, and the byte strings that go with it."""

    kind: bytes
    document: dict[str, Any]
    parts: list[bytes]


def frame(
    kind: bytes, document: dict[str, Any] | None = None, parts: Sequence[bytes] = ()
) -> bytes:
    """Return the bytes of a frame."""
    head = json.dumps([document or {}, [len(part) for part in parts]]).encode()
    return b"".join([_HEAD.pack(kind, len(head), sum(map(len, parts))), head, *map(bytes, parts)])


def read_frame(stream: IO[bytes]) -> Frame | None:
    """Return the next frame, None where the other end is gone."""
    begin = stream.read(_HEAD.size)
    if len(begin) < _HEAD.size:
        return None
    kind, head_size, size = _HEAD.unpack(begin)
    head, blob = stream.read(head_size), stream.read(size)
    if len(head) < head_size or len(blob) < size:
        return None
    document, sizes = json.loads(head)
    parts, start = [], 0
    for each in sizes:
        parts.append(blob[start : start + each])
        start += each
    return Frame(kind, document, parts)
