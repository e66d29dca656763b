"""The findings of ``robustness``."""

from __future__ import annotations

from afterfit.core.finding import Check
from afterfit.robustness.endpoint import findings as _endpoint  # noqa: F401 - registers R030 to R053


class CrashesOnStrangeRow(Check):
    """The model raises an exception on rows that the signature lets through.

    What it does: sends rows with one strange value each (unseen category, extremes, …).
    Why it matters: the server answers such a request with an error instead of a prediction.
    Example: a OneHotEncoder(handle_unknown="error") meets a category it was not trained on.
    Fix: let the pipeline handle it (handle_unknown="ignore", an imputer), or reject it earlier.
    """

    code = "R001"
    title = "the model answers strange rows"
    severity = "high"


class NotFinite(Check):
    """The model answers NaN or infinity.

    What it does: looks at every probability and value that strange rows get.
    Why it matters: NaN is no JSON, poisons every average, and compares false with any threshold.
    Example: a linear model given a missing value without an imputer.
    Fix: add an imputer, or clip the column before the model.
    """

    code = "R002"
    title = "every answer is finite"
    severity = "high"


class SpellingChangesDecision(Check):
    """A stray space, other case or rounding changes the decision.

    What it does: sends the same rows with a space around a word, or with its case swapped.
    Why it matters: callers spell a category in more than one way; each looks unseen to the model.
    Example: "Private" and " private " are two categories.
    Fix: normalise words in the pipeline or at the caller; declare the spelling in the contract.
    """

    code = "R003"
    title = "spelling does not change the decision"
    severity = "low"


class BatchChangesAnswer(Check):
    """A row is answered differently alone and within a batch, or in another order.

    What it does: compares a batch with its rows one by one, and with the batch reversed.
    Why it matters: a server batches as it likes; answers must not depend on the neighbours.
    Example: a transformer that scales by the batch's own mean.
    Fix: make every step use only what it learned in fit.
    """

    code = "R004"
    title = "an answer does not depend on its batch"
    severity = "high"


class EmptyBatch(Check):
    """The model fails on zero rows.

    What it does: sends a frame without rows.
    Why it matters: an empty request or an empty partition of a batch job ends in an error.
    Fix: Afterfit answers empty batches before the model; nothing is to be done for the server.
    """

    code = "R005"
    title = "zero rows give zero answers"
    severity = "low"


class WrongTypeAccepted(Check):
    """A value of the wrong type is not refused.

    What it does: sends a word where a number belongs, and the reverse, through the validation.
    Why it matters: a silent cast is a wrong prediction that nobody notices.
    Fix: this is a defect of the signature; inspect the column's kind.
    """

    code = "R006"
    title = "wrong types are refused by name"
    severity = "high"


class TimeRanOut(Check):
    """The step's time was over before every case ran.

    What it does: counts the cases that were not reached within the budget.
    Why it matters: a case that did not run has not passed.
    Fix: give more time: --effort full.
    """

    code = "R007"
    title = "every case ran"
    severity = "info"
