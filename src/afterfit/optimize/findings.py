"""What ``optimize`` can find."""

from __future__ import annotations

from afterfit.core.finding import Check

__all__ = [
    "SAY_WHAT_IT_MEANS",
    "AnswersRefusedRows",
    "BoosterByItself",
    "Faster",
    "FormBySize",
    "LossyCertified",
    "LossyRefused",
    "NoFaster",
    "NotConverted",
    "NotEqual",
    "ProvenEqual",
    "Recalibrated",
    "Repaired",
    "RowsHeldBack",
    "SearchCut",
    "SlowerConverted",
    "TechniqueAbsent",
    "ThresholdMoved",
    "TooFewToCertify",
]


SAY_WHAT_IT_MEANS = (
    "say in the pipeline what such a value means: SimpleImputer for a missing one, "
    'handle_unknown="ignore" for an unknown category'
)


class NotConverted(Check):
    """No ONNX form of the model could be made, so the model ships as it is.

    What it looks for: Every way to convert ended with an error, or the framework has none.
    Why it matters: The native form is as correct, but slower on single rows, takes longer to
    start and needs the training libraries in the image.
    Example: ``SplineTransformer`` has no converter; a class of your own has none either.
    Fix: Nothing is needed. To gain the speed, use steps that convert, or export the model to
    ONNX yourself and give that file.
    """

    code = "O001"
    title = "The model can be converted to ONNX"
    severity = "low"


class NotEqual(Check):
    """A conversion succeeded and answers otherwise, so it was rejected.

    What it looks for: Rows (held-out, edge cases, values beside the trees' thresholds) on
    which the ONNX form's answer is beyond the tolerance or its label another.
    Why it matters: Converters can be silently wrong: without the comparison these answers
    would be served.
    Example: LightGBM with ``linear_tree`` converts without a word, and 96 % of its answers are
    other numbers.
    Fix: Nothing is needed: the model ships as it is. The message names known causes.
    """

    code = "O002"
    title = "The ONNX form answers as the model does"
    severity = "low"


class ProvenEqual(Check):
    """The ONNX form that ships answers as the model does, on every row that was compared.

    What it looks for: No row beyond the tolerance and no other label, on held-out rows, on
    rows with missing, unseen and extreme values, and beside the trees' thresholds.
    Why it matters: It is the reason why a converted model may be served in place of yours.
    Example: 4,000 held-out, 620 edge and 3,500 threshold rows: largest difference 2e-16.
    Fix: None needed.
    """

    code = "O003"
    title = "The ONNX form that ships is exact"
    severity = "info"


class Faster(Check):
    """How much faster the form that ships is than the model as it was given.

    What it looks for: The median time of a call by rows a call, both forms in turn in one
    process on one thread.
    Why it matters: It is what the conversion is for.
    Example: 1 row: 412 µs against 8,700 µs.
    Fix: None needed.
    """

    code = "O004"
    title = "The form that ships is the faster one"
    severity = "info"


class SlowerConverted(Check):
    """An exact ONNX form exists, and the model ships as it is because that is faster.

    What it looks for: An ONNX form that is more than 10 % slower where it matters.
    Why it matters: Some libraries are faster on many rows than ONNX Runtime on one thread.
    Example: XGBoost with 500 trees: ONNX is 6 times faster on 1 row, half as fast on 256.
    Fix: Choose what counts: ``--goal latency`` (single rows) or ``--goal throughput`` (many).
    Where the ONNX form is slower with both, nothing is needed.
    """

    code = "O005"
    title = "The ONNX form is no slower than the model"
    severity = "low"


class Repaired(Check):
    """Something was mended in a copy of the model so that it could be converted.

    What it looks for: Steps that ONNX cannot express as they are, with an equal form
    that it can.
    Why it matters: You should know what differs between your object and what ships; the
    comparison of answers covers it.
    Example: ONNX has no missing text, so a SimpleImputer looks for a marker in place of NaN.
    Fix: None needed; your own model was not changed.
    """

    code = "O006"
    title = "What was mended for the conversion"
    severity = "info"


class AnswersRefusedRows(Check):
    """The ONNX form answers rows that the model refuses.

    What it looks for: Edge rows on which the model raises an error and the ONNX form does not.
    Why it matters: A category that was never seen, or a hole where none was, then gets a
    prediction in place of an error; the service flags such rows (``new_category``, ``missing``).
    Example: OneHotEncoder with ``handle_unknown="error"``.
    Fix: Decide in the pipeline what an unknown value means: ``handle_unknown="ignore"``.
    """

    code = "O007"
    title = "Rows that the model refuses are refused"
    severity = "medium"


class LossyCertified(Check):
    """The form that ships may answer otherwise, and loses no more than you allowed.

    What it looks for: The upper bound of the loss, on rows that neither made nor selected the
    form, below ``--max-drop``; no slice of rows that pays for the rest, no lost calibration, and
    few other labels.
    Why it matters: A smaller form is faster and never quite the same; this is what it costs.
    Example: accuracy drops by 0.0008, at most 0.0031 (11,000 rows, 98.3% sure).
    Fix: None needed. To ship an exact form only, leave ``--allow`` out.
    """

    code = "O008"
    title = "The lossy form that ships is certified"
    severity = "info"


class LossyRefused(Check):
    """Forms that may answer otherwise were made, and none was shown to lose little enough.

    What it looks for: Lossy forms that lose more than ``--max-drop`` on the selection or the
    certification rows, or that break a guard: one slice pays, calibration is lost, too many
    labels are others.
    Why it matters: What ships is an exact form, or the model as it is.
    Example: A quarter of the trees loses 2 points of accuracy where 0.5 are allowed.
    Fix: Nothing is needed. Allow more (``--max-drop 0.01``), or other techniques (``--allow``).
    """

    code = "O009"
    title = "A lossy form loses little enough"
    severity = "low"


class TooFewToCertify(Check):
    """Too few rows were held out to show that a lossy form loses little enough.

    What it looks for: A loss on the certification rows below ``--max-drop``, whose upper bound
    is not.
    Why it matters: It may be as good as it looks; these rows cannot show it, so it does not ship.
    Example: accuracy drops by 0.0010, at most 0.0090 (900 rows); about 2,800 would be enough.
    Fix: Give more labelled rows in ``--data``, or allow more: ``--max-drop 0.01``.
    """

    code = "O010"
    title = "There are enough rows to certify a lossy form"
    severity = "low"


class TechniqueAbsent(Check):
    """A technique could not look at the model, or has nothing to try for such a model.

    What it looks for: Techniques of ``--allow`` whose libraries are not installed, that failed, or
    that proposed no variant.
    Why it matters: Variants that might have been best were not tried.
    Example: ``--allow quantize`` without the package onnx.
    Fix: Install what the message names. Where nothing fits the model, nothing is needed.
    """

    code = "O011"
    title = "Every technique looked at the model"
    severity = "low"


class SearchCut(Check):
    """The search among lossy variants ended before everything was tried.

    What it looks for: Variants whose turn did not come before the budget was over or ctrl-C was
    pressed.
    Why it matters: What ships is the best of those that were tried.
    Example: 3 of 9 variants were not tried before the time was over.
    Fix: Run it again with more time (``--budget 600s``): what was made is not made again.
    """

    code = "O012"
    title = "Every variant was tried"
    severity = "info"


class RowsHeldBack(Check):
    """Rows that could not take part in making or judging lossy variants.

    What it looks for: Held-out rows without a label that the model knows, and training rows that
    are held-out rows too.
    Why it matters: A variant is judged by labels, on rows that it was not made of.
    Example: 120 training rows are held-out rows too; they were left out of training.
    Fix: Give held-out rows that are no training rows, each with a label.
    """

    code = "O013"
    title = "Every row could take part"
    severity = "info"


class BoosterByItself(Check):
    """The booster ships without the scikit-learn class around it, for some calls or for all.

    What it looks for: An estimator of LightGBM or XGBoost whose booster's own file
    answers as the estimator does, on every row that was compared, and is faster.
    Why it matters: The class checks and copies each call's table, which takes longer than the
    answer to one row; and a server then needs the booster's library only.
    Example: 1 row: 98 against 1,150 µs.
    Fix: None needed.
    """

    code = "O014"
    title = "The booster needs no class around it"
    severity = "info"


class FormBySize(Check):
    """Calls of many rows are answered by another form of the model than calls of few.

    What it looks for: Two exact forms of which one is 1.2 times faster on few rows, and the
    other on many.
    Why it matters: ONNX Runtime is several times faster on one row; XGBoost's own library walks
    many rows through its trees together, in half the time.
    Example: booster-direct answers from 32 rows on: 256 rows: 2,000 against 4,000 µs.
    Fix: None needed. To serve without the library of the second form: ``--goal size``.
    """

    code = "O015"
    title = "Each size of call has its fastest form"
    severity = "info"


class NoFaster(Check):
    """A variant that is smaller computes as much as before, so it was judged by its size alone.

    What it looks for: Variants with weights that are zero, in a file that leaves them out.
    Why it matters: A file a fifth as large looks like a faster model and is none: ONNX Runtime
    multiplies with zeros as with other numbers. Only fewer channels are fewer multiplications.
    Example: prune-weights-90: 232 KB in place of 1,087 KB, and 1.00 times as fast.
    Fix: None needed. To ship the smallest form: ``--goal size``; for speed, the variants
    ``prune-channels-*``.
    """

    code = "O016"
    title = "What is smaller is faster too"
    severity = "info"


class Recalibrated(Check):
    """Whether a map behind the model makes its probabilities come true more nearly as they say.

    What it looks for: With ``--allow recalibrate``, a temperature, Platt's line or a rising line
    (isotonic), fitted on rows that did not train the model, and log loss and Brier score before and
    after on rows that fitted nothing. It ships where the log loss is surely smaller, by 1 % or
    more, the Brier score is not surely worse, and every label stays as it was.
    Why it matters: Prices, expected costs and thresholds take probabilities at their word.
    Example: platt helps: log loss 0.391 becomes 0.318 nats on 8,000 rows.
    Fix: Nothing is needed where the model is calibrated. Where these rows cannot tell, give more
    labelled rows in ``--data``; where it hurts, ship without it.
    """

    code = "O017"
    title = "The probabilities that ship come true"
    severity = "low"


class ThresholdMoved(Check):
    """The threshold moved with the map, so that every row keeps its label.

    What it looks for: A form with recalibrated probabilities that ships, of a model of two classes.
    Why it matters: The served labels are the model's own. Whoever compares the probability with a
    number of their own has to move it too: 0.5 of the model is another probability now.
    Example: from 0.5 to 0.1874: 16,281 rows have the label that they had.
    Fix: Take the label of the answer, or the threshold of the bundle's signature.
    """

    code = "O018"
    title = "Labels stay as they are"
    severity = "info"
