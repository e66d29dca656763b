"""How much more often a window has rows like each of the reference's: weights for what shifted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afterfit.core.fingerprint import OUTPUT
from afterfit.core.frame import Frame, row_count, take
from afterfit.core.ranking import binary_roc_auc
from afterfit.core.signature import Column, Signature
from afterfit.models.baseline import boosted
from afterfit.models.one_thread import one_thread

__all__ = ["MOST_ROWS", "MOST_WEIGHT", "Ratios", "Rows", "density_ratios", "shared_signature"]

MOST_ROWS = 5000
MOST_WEIGHT = 20.0
"""A row that the window has this many times as often as the reference is beyond its support."""
CLOSE = 1e-6


@dataclass(frozen=True)
class Rows:
    """Some rows with the model's answers: inputs, scores float64 of [n], decided codes int64.

    ``truth`` holds class codes or values of [n], where they are known. All have a score.
    """

    frame: Frame
    scores: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int64]
    truth: npt.NDArray[np.generic] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.scores)

    def take(self, places: npt.NDArray[np.int64]) -> Rows:
        """Return some rows."""
        truth = None if self.truth is None else self.truth[places]
        return Rows(take(self.frame, places), self.scores[places], self.codes[places], truth)

    def drawn(self, most: int, seed: int) -> Rows:
        """Return at most so many rows, drawn at random, in their order."""
        if len(self) <= most:
            return self
        places = np.random.default_rng(seed).permutation(len(self))[:most]
        return self.take(np.sort(places))


class Ratios(NamedTuple):
    """Density ratios of reference rows and of window rows, each a float64 a row, unclipped.

    ``auc`` is how well the two can be told apart, 0.5 where they cannot.
    """

    reference: npt.NDArray[np.float64]
    window: npt.NDArray[np.float64]
    auc: float

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """The weights of reference rows, clipped at `MOST_WEIGHT`."""
        return np.minimum(self.reference, MOST_WEIGHT)

    @property
    def beyond(self) -> float:
        """The share of window rows of a kind that the reference hardly has."""
        return float((self.window > MOST_WEIGHT).mean())

    @property
    def effective(self) -> float:
        """The share of reference rows that the weighted ones are worth (Kish 1965)."""
        weights = self.weights
        return float(weights.sum() ** 2 / (np.square(weights).sum() * len(weights)))


def shared_signature(signature: Signature, *frames: Frame) -> Signature:
    """Return the signature of the columns that all frames have, and of the score."""
    columns = [c for c in signature.columns if all(c.name in frame for frame in frames)]
    score = Column(name=OUTPUT, kind="number", nullable=True)
    return Signature(
        task="binary",
        columns=(*columns, score),
        classes=("reference", "window"),
        positive="window",
    )


def with_score(rows: Rows) -> dict[str, np.ndarray]:
    """Return the inputs and the score as columns of one frame."""
    return {**rows.frame, OUTPUT: rows.scores}


@one_thread()
def density_ratios(signature: Signature, reference: Rows, window: Rows, *, seed: int) -> Ratios:
    """Return the ratio of densities at every row, from how a classifier tells the two apart.

    Each row is judged by one that was fitted to the other half of the rows, or it would know
    reference rows by heart. Source: Bickel, Brückner and Scheffer (2009), J. Mach. Learn. Res.
    10:2137. Raises ModelError where no classifier can be fitted.
    """
    signature = shared_signature(signature, reference.frame, window.frame)
    a, b = with_score(reference), with_score(window)
    frame = {c.name: _joined(a[c.name], b[c.name]) for c in signature.columns}
    is_window = np.repeat([0, 1], [len(reference), len(window)])
    fold = np.random.default_rng(seed).permutation(len(is_window)) % 2
    shown = np.zeros(row_count(frame))
    for here in (0, 1):
        fitted, told = np.flatnonzero(fold != here), np.flatnonzero(fold == here)
        answers = boosted(
            signature, take(frame, fitted), is_window[fitted], take(frame, told), seed=seed
        )
        shown[told] = answers.main[:, 1]
    held = np.clip(shown, CLOSE, 1 - CLOSE)
    ratios = held / (1 - held) * len(reference) / len(window)
    auc = binary_roc_auc(is_window == 1, shown)
    return Ratios(ratios[is_window == 0], ratios[is_window == 1], auc)


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    if "O" in (first.dtype.kind, second.dtype.kind):
        return np.concatenate([first.astype(object), second.astype(object)])
    return np.concatenate([first, second])
