"""Findings about probabilities that come true, and about what a threshold costs."""

from __future__ import annotations

from afterfit.core.finding import Check


class Miscalibrated(Check):
    """Probabilities do not come true as often as they say.

    What it does: puts the held-out rows into bins of equal numbers by probability and compares
    each bin's mean with the share that came true, chance taken off; then draws labels from the
    probabilities themselves, to see how often a calibrated model would be as far off. It is an
    issue only where that is rare (p <= 0.01, over all classes at once) and the error matters:
    0.02 or more, or a fifth of the rarer outcome's share.
    Why it matters: prices, expected costs, thresholds and rankings across models take a
    probability at its word.
    Example: of the rows that are given 90 %, only 70 % are positive.
    Fix: put a map behind the model, fitted on rows that did not train it (with scikit-learn:
    CalibratedClassifierCV around FrozenEstimator), and set the threshold anew: what the
    probabilities say has moved. A032 says which map is best.
    """

    code = "A030"
    title = "probabilities come true as often as they say"
    severity = "medium"


class PredictionsOff(Check):
    """Predicted values are too high or too low on average, or spread too much or too little.

    What it does: looks whether the mean error is surely other than 0 and more than a twentieth of
    the target's spread, and whether the slope of the truth on the prediction is surely other than
    1 and 0.1 or more from it (99 % for both together).
    Why it matters: errors of one sign do not average out in a sum, such as a forecast of demand.
    Example: a slope of 0.7: predictions far from the mean are too far from it, by 3 in 10.
    Fix: look for drift between training and held-out rows; shrink or refit the model.
    """

    code = "A031"
    title = "predicted values are right on average"
    severity = "medium"


class RecalibrationHelps(Check):
    """A simple map of the probabilities makes them surely better.

    What it does: fits a temperature, Platt's line on the logit scale, and rising steps (isotonic)
    on parts of the held-out rows, chooses one there, and compares log loss and Brier score in
    pairs on the rows that neither fitted nor chose it. All keep the order of the rows.
    Why it matters: better probabilities for a few numbers, without fitting the model again.
    Fix: put the map behind the model and ship that (with scikit-learn: CalibratedClassifierCV
    around FrozenEstimator, with method "sigmoid" for Platt's line), and set the threshold anew.
    """

    code = "A032"
    title = "no simple map makes the probabilities better"
    severity = "low"


class CheaperThreshold(Check):
    """Another threshold surely costs less, by the costs of [cost] in afterfit.toml.

    What it does: looks for the threshold of least cost on parts of the held-out rows and adds up
    what it costs on the others, in pairs with the present one. Where that is not surely cheaper
    than what theory says of a calibrated model, c_fp / (c_fp + c_fn), the latter is named.
    Why it matters: 0.5 is right only where a miss costs what a false alarm does.
    Example: a missed fraud costs 50, a false alarm 1: deciding from 0.02 on is cheaper.
    Fix: set it: --threshold 0.02. What it saves is what choosing a threshold in this way saves on
    rows that did not choose it.
    """

    code = "A033"
    title = "the threshold costs least"
    severity = "low"


class SureAndWrong(Check):
    """Something that was given a probability of 0 happened.

    What it does: counts the held-out rows whose true class has a probability of exactly 0.
    Why it matters: no evidence can outweigh a certainty: one such row makes the log loss and any
    odds infinite.
    Example: a tree whose leaf held ten training rows of one class.
    Fix: fit with larger leaves, or put a map behind the model that is never certain (A032).
    """

    code = "A034"
    title = "nothing that was ruled out happened"
    severity = "low"
