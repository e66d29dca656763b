"""What ``assess`` keeps of calibration and of thresholds, as parts of its record."""

from __future__ import annotations

import msgspec

from afterfit.core.metric import Metric


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of like probability: its mean, the share that came true with its bounds, how many."""

    score: float
    observed: float
    low: float
    high: float
    n: int


LIKELIEST = "the likeliest class"


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities against what came true, of one class or of the likeliest one.

    ``of`` names it. ``ece`` is the plain binned error, and ``expected_ece`` what a calibrated model
    would show on as many rows by chance; ``error`` is the root mean square error after chance was
    taken off, from ``squared_error``, which may be below 0. ``p_value`` is how often labels drawn
    from the probabilities themselves are as far off. ``worth`` is the error from which it matters,
    ``notable`` the least that can be told from chance, ``level`` that of the bins' intervals.
    """

    of: str
    bins: tuple[ReliabilityBin, ...]
    n: int
    ece: float
    expected_ece: float
    error: float
    squared_error: float
    p_value: float
    replicates: int
    level: float
    worth: float
    notable: float

    @property
    def words(self) -> str:
        """What it is of: a class in quotes, or the likeliest one."""
        return self.of if self.of == LIKELIEST else repr(self.of)


class BrierScore(msgspec.Struct, frozen=True, kw_only=True):
    """Murphy's parts: ``value = reliability - resolution + uncertainty + within``, in ``bins``.

    Summed over classes where there are three or more.
    """

    value: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    bins: int
    n: int


class LossChange(msgspec.Struct, frozen=True, kw_only=True):
    """A loss before and after, on rows that fitted nothing; ``gain`` is before minus after."""

    name: str
    before: float
    after: float
    gain: Metric


class Recalibration(msgspec.Struct, frozen=True, kw_only=True):
    """One map: ``platt``, ``temperature``, ``isotonic``, or ``chosen``, whichever is best.

    ``parameters`` are those fitted on all rows. ``losses`` are cross-fitted; for ``chosen`` the
    choice is made anew from the rows that fit, so that it is judged on none that chose it.
    """

    method: str
    parameters: dict[str, float]
    losses: tuple[LossChange, ...]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what the model says comes true; ``line`` holds slope and intercept or mean error.

    ``after`` is the reliability once recalibrated (cross-fitted), and ``best`` the map's name.
    """

    reliability: tuple[Reliability, ...] = ()
    brier: BrierScore | None = None
    line: tuple[Metric, ...] = ()
    recalibrations: tuple[Recalibration, ...] = ()
    best: str = ""
    after: Reliability | None = None


class ThresholdCurve(msgspec.Struct, frozen=True, kw_only=True):
    """What each threshold would decide on ``n`` rows; all of equal length, rising thresholds."""

    present: float
    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    selected: tuple[float, ...]
    n: int


class CostCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of 1,000 rows by threshold with a pointwise bootstrap band; all of equal length."""

    thresholds: tuple[float, ...]
    cost: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    level: float
    replicates: int


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions cost, in the user's unit: losses of errors, gains of right decisions.

    ``proposed`` is the cheapest threshold on all rows; ``at_proposed`` is cross-fitted: what it
    costs to choose a threshold like this on rows that do not judge it. ``theoretical`` is the
    cheapest of a calibrated model. ``saving`` is ``at_present`` less ``at_proposed``, in pairs,
    and ``dearer_theoretical`` is ``at_theoretical`` less ``at_proposed`` on the same rows.
    """

    false_negative: float
    false_positive: float
    true_positive: float
    true_negative: float
    present: float
    proposed: float
    theoretical: float
    at_present: Metric
    at_proposed: Metric
    at_theoretical: Metric
    saving: Metric
    saving_theoretical: Metric
    curve: CostCurve
    dearer_theoretical: Metric | None = None
