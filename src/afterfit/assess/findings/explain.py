"""Findings about how the model uses its columns."""

from __future__ import annotations

from afterfit.core.finding import Check


class OneColumnDecides(Check):
    """Nearly all that the model knows comes from one column.

    What it does: deals each column's values out anew, and looks how much worse the metric gets.
    Why it matters: when that column is late, wrong or missing, the model is of no use; and a
    column that says everything may hold what is known only afterwards.
    Example: a churn model whose column `closed_at` carries 97 % of its lift.
    Fix: make sure that the column is known at the time of the prediction, and watch it closely.
    """

    code = "A050"
    title = "several columns carry the model"
    severity = "low"


class ColumnsWithoutUse(Check):
    """Some columns change nothing that can be measured.

    What it does: deals each column's values out anew, and looks whether the metric stays as it is.
    Why it matters: each column must be fetched, checked and watched, and can fail.
    Example: 30 of 50 columns whose loss would not move the ROC AUC by a thousandth.
    Fix: fit the model without them and compare. Of two columns that say the same, either may look
    useless beside the other: leave out one at a time.
    """

    code = "A051"
    title = "every column is of use"
    severity = "low"
