"""Latencies as an HdrHistogram: three significant digits from 1 µs to an hour, in a few kilobytes.

Histograms of several runs or machines add up, and other tools read the compressed form (format V2
of HdrHistogram, https://github.com/HdrHistogram/HdrHistogram, AbstractHistogram.java). Counting a
million values takes numpy a tenth of a second; docs/decisions/ says why no library does it.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afterfit.errors import InputError
from afterfit.loadtest.shot import Floats

__all__ = ["Histogram"]

Counts = npt.NDArray[np.int64]
DIGITS = 3
HALF_BITS = 10
HALF = 1 << HALF_BITS
"""Half of the cells of a bucket: 2048 cells tell values apart by a thousandth."""
LOWEST, HIGHEST = 1, 3_600_000_000
BUCKETS = (HIGHEST // (2 * HALF)).bit_length() + 1
CELLS = (BUCKETS + 1) * HALF
_COOKIE, _COMPRESSED = 0x1C849303 | 0x10, 0x1C849304 | 0x10
_HEAD = struct.Struct(">iiiiqqd")
_OUTER = struct.Struct(">ii")
_MOST_BYTES = 1 << 20
FIX = "give the `histogram` of a record of loadtest as it was written"


@dataclass(frozen=True)
class Histogram:
    """``counts`` of each cell, [22 buckets and a half of 1024 cells]."""

    counts: Counts

    @classmethod
    def of(cls, latency_ms: Floats) -> Histogram:
        """Return the histogram of latencies in ms; those beyond an hour count as an hour.

        Infinite ones are left out, as no histogram has a place for them.
        """
        finite = latency_ms[np.isfinite(latency_ms)]
        micros = np.clip(np.rint(finite * 1e3), 0, HIGHEST).astype(np.int64)
        return cls(np.bincount(_cells(micros), minlength=CELLS))

    def __add__(self, other: Histogram) -> Histogram:
        """Return the histogram of all values of both."""
        return Histogram(self.counts + other.counts)

    @property
    def total(self) -> int:
        """Return how many values it has."""
        return int(self.counts.sum())

    def quantile_ms(self, quantile: float) -> float:
        """Return the greatest value (ms) of the cell that the quantile lies in.

        Raises ValueError where there are no values.
        """
        if not self.total:
            raise ValueError("there are no values")
        rank = max(1, int(np.ceil(round(quantile * self.total, 9))))
        cell = int(np.searchsorted(np.cumsum(self.counts), rank))
        bucket = max(0, (cell >> HALF_BITS) - 1)
        within = cell - (bucket << HALF_BITS)
        return (((within + 1) << bucket) - 1) / 1e3

    def encoded(self) -> str:
        """Return it as base64 of the compressed form, values in µs."""
        payload = b"".join(_written(self.counts))
        inner = _HEAD.pack(_COOKIE, len(payload), 0, DIGITS, LOWEST, HIGHEST, 1.0) + payload
        packed = zlib.compress(inner)
        return base64.b64encode(_OUTER.pack(_COMPRESSED, len(packed)) + packed).decode("ascii")

    @classmethod
    def decoded(cls, text: str) -> Histogram:
        """Return what `encoded` wrote, here or by another tool; raises InputError."""
        try:
            data = base64.b64decode(text, validate=True)
            cookie, size = _OUTER.unpack_from(data)
            unpack = zlib.decompressobj()
            inner = unpack.decompress(data[_OUTER.size : _OUTER.size + size], _MOST_BYTES)
            first, length, offset, digits, lowest, highest, _ = _HEAD.unpack_from(inner)
            counts = _read(inner[_HEAD.size : _HEAD.size + length])
        except (ValueError, binascii.Error, struct.error, zlib.error, IndexError) as error:
            raise InputError("no histogram of latencies", why=str(error), fix=FIX) from None
        known = (cookie, first, offset) == (_COMPRESSED, _COOKIE, 0)
        if not known or (digits, lowest, highest) != (DIGITS, LOWEST, HIGHEST):
            why = f"{digits} digits from {lowest} to {highest}, or of another format"
            raise InputError("no histogram of latencies", why=why, fix=FIX)
        return cls(counts)


def _cells(micros: Counts) -> Counts:
    """Return the number of the cell of each value."""
    wide = np.maximum(micros, 2 * HALF - 1).astype(np.float64)
    # The exponent of frexp is the number of bits: exact, as values are far below 2**53.
    bucket = np.frexp(wide)[1].astype(np.int64) - (HALF_BITS + 1)
    return (bucket << HALF_BITS) + (micros >> bucket)


def _written(counts: Counts) -> Iterator[bytes]:
    """Yield counts as numbers of variable length; a negative one is a run of zeros."""
    last = int(np.max(np.flatnonzero(counts), initial=-1)) + 1
    zeros = 0
    for count in counts[:last].tolist():
        if not count:
            zeros += 1
            continue
        if zeros:
            yield _number(-zeros)
            zeros = 0
        yield _number(count)


def _number(value: int) -> bytes:
    """Return an integer in zigzag LEB128: seven bits a byte, the lowest first."""
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _read(payload: bytes) -> Counts:
    counts = np.zeros(CELLS, np.int64)
    place = cell = 0
    while place < len(payload):
        rest = shift = 0
        while True:
            byte = payload[place]
            place += 1
            rest |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        value = -((rest + 1) >> 1) if rest & 1 else rest >> 1
        if value < 0:
            cell -= value
        else:
            counts[cell] = value
            cell += 1
    return counts
