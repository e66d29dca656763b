"""Traffic that is replayed: rows of the user's own, drawn in blocks of neighbours in time.

Rows autocorrelate, so a window of rows that were drawn one by one is more like the reference than
any real window is (circular block bootstrap: Politis and Romano 1992).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from afterfit.core.frame import Frame, Predictions, missing_mask, row_count, take
from afterfit.core.signature import Signature
from afterfit.stats.units import block_length

__all__ = ["Answering", "Rows", "Traffic"]

Answering = Callable[[Frame, npt.NDArray[np.int64]], Predictions]
"""Answers to rows, which are given with their places in the traffic: a model looks at the rows, a
log at the places."""


@dataclass(frozen=True)
class Rows:
    """Some rows of the traffic: their places, what they hold, and what turned out to be true.

    ``truth`` is int64 codes of [n], -1 where unknown, or float64 values, NaN where unknown; None
    where no label is known of any row.
    """

    places: npt.NDArray[np.int64]
    frame: dict[str, np.ndarray]
    truth: np.ndarray | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.places)


@dataclass(frozen=True)
class Traffic:
    """The rows to replay, in the order of time, and who answers them.

    ``rescored`` says that answers follow what a fault does to the rows; those of a log do not.
    """

    signature: Signature
    frame: Frame
    answer: Answering
    truth: np.ndarray | None = None
    rescored: bool = True

    def __len__(self) -> int:
        """Return the number of rows."""
        return row_count(self.frame)

    @cached_property
    def block(self) -> int:
        """How many neighbours are drawn together: what the column that depends longest needs."""
        columns = [self.frame[name] for name in self.signature.names if name in self.frame]
        series = [column for column in columns if column.dtype.kind in "fiub"]
        return max([1, *(block_length(_filled(column)) for column in series)])

    def rows(self, places: npt.NDArray[np.int64]) -> Rows:
        """Return the rows at places, which may repeat."""
        frame = take({name: self.frame[name] for name in self.frame}, places)
        return Rows(places, dict(frame), None if self.truth is None else self.truth[places])

    def stretch(self, window: int) -> int:
        """Return of how many neighbours the blocks of windows of so many rows are.

        A real window is one stretch of time. Of several shorter ones a column that goes round,
        such as the hour of the day, would have some hours twice and others never. Of short traffic
        they are a quarter, or all windows would be the same rows.
        """
        return max(self.block, min(window, len(self) // 4))

    def draw(
        self, n: int, generator: np.random.Generator, window: int = 1
    ) -> npt.NDArray[np.int64]:
        """Return the places of n rows, in blocks of neighbours; a window has ``window`` rows."""
        block = self.stretch(window)
        starts = generator.integers(0, len(self), -(-n // block))
        places = (starts[:, None] + np.arange(block)).ravel()[:n]
        return np.asarray(places % len(self), np.int64)

    def known(self) -> npt.NDArray[np.bool_]:
        """Return which rows have a label, bool of [n]."""
        if self.truth is None:
            return np.zeros(len(self), dtype=bool)
        if self.truth.dtype.kind == "f":
            return np.asarray(np.isfinite(self.truth))
        return np.asarray(self.truth >= 0)


def _filled(column: np.ndarray) -> npt.NDArray[np.float64]:
    values = column.astype(np.float64)
    gone = missing_mask(values) | ~np.isfinite(values)
    return np.where(gone, values[~gone].mean() if (~gone).any() else 0.0, values)
