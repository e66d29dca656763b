"""Decompressed bytes, with a limit on how much may come out of how little."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import Protocol

from afterfit.models.pickle_values import RefusedError

__all__ = ["MOST_BYTES", "MOST_RATIO", "expand"]

CHUNK = 1 << 20
MOST_BYTES = 8 << 30
# Arrays of zeros reach 1000:1 honestly, so the ratio counts only past this many bytes.
RATIO_FREE = 256 << 20
MOST_RATIO = 250
DICTIONARY = 256 << 20


class Decoder(Protocol):
    """What the three decompressors of the standard library have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream is read to its end."""

    @property
    def unused_data(self) -> bytes:
        """What was given and lies after the end of the stream."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most ``max_length`` more bytes."""


class _Zlib:
    """zlib with the interface of the other two, which keep their unread input themselves."""

    def __init__(self, bits: int) -> None:
        self.inner = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        """Whether the stream is read to its end."""
        return self.inner.eof

    @property
    def unused_data(self) -> bytes:
        """What was given and lies after the end of the stream."""
        return self.inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most ``max_length`` more bytes."""
        return self.inner.decompress(self.inner.unconsumed_tail + data, max_length)


def _decoder(name: str) -> Decoder:
    if name == "zlib":
        return _Zlib(zlib.MAX_WBITS)
    if name == "gzip":
        return _Zlib(zlib.MAX_WBITS | 16)
    if name == "bz2":
        return bz2.BZ2Decompressor()
    kind = lzma.FORMAT_XZ if name == "xz" else lzma.FORMAT_ALONE
    return lzma.LZMADecompressor(kind, memlimit=DICTIONARY)


def expand(data: memoryview, name: str) -> memoryview:
    """Return the bytes of one compressed stream that fills ``data`` to its end.

    Raises RefusedError for a damaged or cut off stream, bytes after it, and a bomb.
    """
    decoder = _decoder(name)
    out = bytearray()
    try:
        for start in range(0, len(data), CHUNK):
            if decoder.eof:
                raise RefusedError(f"bytes after the end of the {name} stream", start)
            _drain(decoder, bytes(data[start : start + CHUNK]), out, len(data))
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise RefusedError(f"the {name} stream is damaged: {error}") from error
    if not decoder.eof:
        raise RefusedError(f"the file ends in the middle of the {name} stream", len(data))
    if decoder.unused_data:
        raise RefusedError(f"bytes after the end of the {name} stream")
    return memoryview(out)


def _drain(decoder: Decoder, piece: bytes, out: bytearray, size: int) -> None:
    while not decoder.eof:
        more = decoder.decompress(piece, CHUNK)
        out += more
        piece = b""
        if len(out) > MOST_BYTES or (len(out) > RATIO_FREE and len(out) > MOST_RATIO * size):
            raise RefusedError(f"{size} bytes that become more than {len(out)}: a bomb")
        if len(more) < CHUNK:
            return
