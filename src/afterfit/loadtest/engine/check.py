"""Whether an answer is the expected one, as cheaply as bytes can be compared.

What differs from one answer to the next without being a prediction (ids, times) is cut out. An
answer of other bytes is no wrong one yet: floats may be rounded otherwise in another batch. Each
such answer gets a number and is sent to the parent once, which parses it and judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from afterfit.loadtest.engine.frames import RIGHT, UNCHECKED, UNKNOWN

MOST_VARIANTS = 20_000
MOST_BYTES = 64 << 20
"""Of answers that are kept to be judged; what is beyond is counted as not compared."""


class Checker:
    """Compares answers with those to the same requests in a quiet server.

    ``volatile`` is the pattern of what is cut out, None where nothing is; ``found`` is told the
    number of an unknown answer, which request it was to, and its bytes.
    """

    def __init__(
        self,
        expected: Sequence[bytes],
        volatile: bytes | None,
        found: Callable[[int, int, bytes], None],
    ) -> None:
        self._pattern = re.compile(volatile, re.IGNORECASE) if volatile else None
        self._fixed = [self._outside(answer) for answer in expected]
        self._cut = [self._without(answer) for answer in expected]
        self._found = found
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._bytes = 0
        self.unchecked = 0

    def number(self, request: int, body: bytes) -> int:
        """Return `RIGHT`, `UNCHECKED`, or the number of an answer that the parent judges."""
        length, pieces = self._fixed[request]
        if len(body) == length:
            for start, piece in pieces:
                if not body.startswith(piece, start):
                    break
            else:
                return RIGHT
        cut = self._without(body)
        if cut == self._cut[request]:
            return RIGHT
        known = self._numbers.get((request, cut))
        if known is not None:
            return known
        self._bytes += len(body) + len(cut)
        if len(self._numbers) >= MOST_VARIANTS or self._bytes > MOST_BYTES:
            self.unchecked += 1
            return UNCHECKED
        number = self._numbers[request, cut] = UNKNOWN + len(self._numbers)
        self._found(number, request, body)
        return number

    def _outside(self, answer: bytes) -> tuple[int, list[tuple[int, bytes]]]:
        """Return the length of an answer, and where what stands beside its volatile fields."""
        spans = [match.span() for match in self._pattern.finditer(answer)] if self._pattern else []
        starts = [0, *(stop for _, stop in spans)]
        stops = [*(start for start, _ in spans), len(answer)]
        return len(answer), [(a, answer[a:b]) for a, b in zip(starts, stops, strict=True)]

    def _without(self, answer: bytes) -> bytes:
        return self._pattern.sub(b"", answer) if self._pattern else answer
