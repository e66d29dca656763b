"""What ``assess`` keeps of how the model will do on other rows, and beside other models."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.core.metric import Metric

Judgement = Literal["superior", "non-inferior", "inferior", "cannot tell"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The model beside another on the same rows, by one metric.

    ``gain`` is how much better the model is (above 0) with its interval, in the metric's unit, or
    where ``share`` is true as a share of the other's value. ``verdict`` is by ``margin``, in the
    same unit; ``needed_n`` is about how many rows would decide, 0 where that is not known.
    """

    against: str
    metric: str
    ours: float | None
    theirs: float | None
    gain: Metric
    margin: float
    verdict: Judgement
    share: bool = False
    needed_n: int = 0


class LearningPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A model fitted on ``n_train`` rows, and its ``metric`` on the held-out rows."""

    n_train: int
    metric: Metric


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """The learning curve, from few training rows to many; ``gain`` is of the last doubling."""

    points: tuple[LearningPoint, ...]
    gain: Metric | None = None
