"""Findings about how the model will do on other rows, and beside other models."""

from __future__ import annotations

from afterfit.core.finding import Check


class RowsTogether(Check):
    """How rows hang together, which decides how sure a metric is.

    What it does: draws whole groups, or blocks of neighbours in time, for every interval of the
    held-out rows, where the data names such a column.
    Why it matters: ten visits of one patient are not ten patients: taken as such, an interval may
    be half as wide as it should be, and a difference looks sure that is not.
    Example: 5,000 rows of 40 machines say about as much on new machines as 40 rows.
    Fix: name the column: --group machine, --entity customer, or --time date; where the groups are
    few, label rows of other groups rather than more rows of the same.
    """

    code = "A040"
    title = "intervals know how rows hang together"
    severity = "medium"


class NestedSearch(Check):
    """The model searched for its own parameters, so the score that it found itself is too good.

    What it does: looks whether the model is a search (GridSearchCV and its like). The
    cross-validation here clones it, so each fold searches anew on its own training rows: nested.
    Why it matters: the best of many candidates looks better than it is on the rows it won on.
    Example: best_score_ is 0.93, the nested cross-validation says 0.90.
    Fix: quote the nested number, or that of the held-out rows.
    """

    code = "A041"
    title = "the search for parameters is part of each fold"
    severity = "low"


class LearningCurve(Check):
    """Whether more training rows would make the model better.

    What it does: fits clones on more and more of --train and judges each on the held-out rows;
    the last doubling is judged in pairs of rows. Where the interval is too wide to see a gain of
    the margin of [compare], the check counts as not run, with the rows that it would need.
    Why it matters: labels cost money; where the curve has levelled off, other columns or another
    model are worth more.
    Fix: label more rows while the curve rises.
    """

    code = "A042"
    title = "more training rows would change little"
    severity = "low"


class BesideChampion(Check):
    """The model is not shown to be as good as the version that serves now.

    What it does: asks the champion of the same name for the same rows, and compares in pairs with
    the margin of [compare]: "non-inferior" is a loss that is surely below the margin, "superior"
    a gain that is surely above 0. That no difference was seen shows nothing.
    Why it matters: a new version that is worse is worse for every user from its first minute.
    Example: the ROC AUC is 0.012 lower (0.007 to 0.017), the margin is 0.005.
    Fix: keep the champion; where the rows are too few to tell, label as many as are named.
    """

    code = "A043"
    title = "as good as the champion"
    severity = "high"
