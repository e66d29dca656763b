"""The findings of ``robustness``."""

from __future__ import annotations

from afterfit.core.finding import Check
from afterfit.robustness import findings_kept as _kept  # noqa: F401 - registers R060 to R063
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
    """A stray space, a line end, other case or rounding changes the decision.

    What it does: sends the same rows with a space or line end at a word, or its case swapped.
    Why it matters: callers spell a category in more than one way; each looks unseen to the model.
    Example: "Private" and " private " are two categories.
    Fix: normalise words in the pipeline or at the caller; declare the spelling in the contract.
    """

    code = "R003"
    title = "spelling does not change the decision"
    severity = "low"


class BatchChangesAnswer(Check):
    """A row is answered differently alone and within a batch, or in another order.

    What it does: compares a batch with its rows one by one, reversed, shuffled, and with one row
    many times.
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
    Fix: give more time: --effort standard where it was quick, else --effort full.
    """

    code = "R007"
    title = "every case ran"
    severity = "info"


class LookChangesDecision(Check):
    """Another text that looks the same changes the decision.

    What it does: writes words with other characters of the same look: NFC and NFD, a zero-width
    joiner, a right-to-left mark, no-break spaces (Unicode Standard Annexes 9 and 15).
    Why it matters: texts copied from pages and documents hold such characters, and no person sees.
    Example: "é" as one character and as "e" with an accent are two categories.
    Fix: normalise in the pipeline: unicodedata.normalize("NFKC", word), without Cf characters.
    """

    code = "R008"
    title = "a text that looks the same is the same"
    severity = "low"


class ColumnOrderChangesAnswer(Check):
    """The answer depends on the order of the columns.

    What it does: sends the same rows with their columns in reverse.
    Why it matters: callers, JSON and tables have no fixed order of fields.
    Example: a model that takes rows.values, fitted on another order.
    Fix: select the columns by name in the model's first step.
    """

    code = "R009"
    title = "an answer does not depend on the order of columns"
    severity = "high"


class NoProbability(Check):
    """The model answers probabilities that are none.

    What it does: looks whether all probabilities are within 0 and 1 and sum to 1, within 0.001.
    Why it matters: thresholds, costs and averages of them mean nothing.
    Example: scores of a linear model that nobody put through a sigmoid.
    Fix: calibrate the scores, or declare the model as one that gives labels.
    """

    code = "R010"
    title = "every probability is one"
    severity = "high"


class NotRepeatable(Check):
    """The same rows are answered differently when they are asked again.

    What it does: asks about the same rows twice.
    Why it matters: no answer can be explained or repeated, and no other check can be believed.
    Example: dropout that is active in prediction, or a random draw in a transformer.
    Fix: put the model in evaluation mode, or give its draws a seed.
    """

    code = "R011"
    title = "the same rows get the same answers"
    severity = "medium"


class NotMonotone(Check):
    """The answer moves against the direction that was declared for a column.

    What it does: raises one column through its values, row by row, with all else unchanged; of high
    severity where a decision moves the wrong way, else of medium.
    Why it matters: "a higher income lowers the score" is an error to everybody who reads it, and
    in lending and insurance often a breach of rules.
    Example: monotone = {income = "up"}, and trees that fitted noise at the upper end.
    Fix: train with monotonic_cst or monotone_constraints, or take the column out of monotone.
    """

    code = "R012"
    title = "answers move as declared"
    severity = "medium"


class NearlyMonotone(Check):
    """A column looks as if it should be monotone, and is not quite.

    What it does: raises each column of numbers, row by row, and counts where the answer rises.
    Why it matters: where nearly all rows move one way, the few that do not are often noise.
    Fix: if it should hold, declare it: [robustness] monotone = {column = "up"}, and train so.
    """

    code = "R013"
    title = "no column is monotone but for a few rows"
    severity = "info"


class NoiseChangesDecision(Check):
    """Noise that the column's rounding hides changes decisions.

    What it does: moves each value by at most half of the step in which the column is recorded, and
    counts decisions; an issue where more than 5 % changed beyond chance.
    Why it matters: two recordings of the same thing would be decided differently.
    Example: a temperature in tenths of a degree, and a model that splits within a tenth.
    Fix: smooth the model (fewer leaves, more rows a leaf), or record the column more finely.
    """

    code = "R014"
    title = "noise within the rounding changes no decision"
    severity = "low"


class UnusedColumn(Check):
    """A column moves no answer.

    What it does: gives every row the column's usual value, one column at a time.
    Why it matters: each column is asked of every caller, and can be missing, wrong and drift.
    Fix: train without it, if it stays so with more rows.
    """

    code = "R015"
    title = "every column moves some answer"
    severity = "info"


class Degrades(Check):
    """Quality falls as rows get worse, and how fast.

    What it does: spoils labelled rows at five severities (noise, gaps, swapped categories, wrong
    units; blur, rotation and more of images; typos and more of texts) and measures the main metric
    against the same rows unharmed. A tip where it falls clearly at the mildest severity.
    Why it matters: data in use are worse than data for training, and this is what it costs.
    Fix: train with such rows, impute, or check units and ranges before the model. To stop a
    release, set a gate: "robustness.noise_drop.high <= 0.02".
    """

    code = "R016"
    title = "quality falls gently as rows get worse"
    severity = "info"
