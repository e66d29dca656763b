"""Findings about how good the model is."""

from __future__ import annotations

from afterfit.core.finding import Check


class NotBetterThanBaseline(Check):
    """The model is not surely better than a constant answer.

    What it does: compares the main metric with that of the majority class (or the mean).
    Why it matters: a constant needs no server, no monitoring and no explanation.
    Example: 98.5 % accuracy where 98.5 % of the rows are of one class.
    Fix: look at the target, at leakage in validation, and at the columns' information.
    """

    code = "A001"
    title = "better than a constant answer"
    severity = "high"


class LinearIsAsGood(Check):
    """A logistic or ridge regression is as good as the model on these rows.

    What it does: fits a linear model on imputed, scaled and one-hot rows, and compares in pairs.
    It is an issue where the model is surely worse; of a model that is linear itself, that it is
    no better says nothing.
    Why it matters: a linear model is faster, smaller, and can be read.
    Fix: ship the linear one, or find out what keeps the other from being better.
    """

    code = "A002"
    title = "better than a linear model"
    severity = "medium"


class HeldOutDisagrees(Check):
    """Cross-validation and held-out rows disagree by more than chance.

    What it does: compares the held-out interval with the folds of the cross-validation.
    Why it matters: the held-out rows differ from the training rows, or leaked into them.
    Example: held-out rows of a later month, whose behaviour has changed.
    Fix: look for time order, duplicates across the split, and drift between the two tables.
    """

    code = "A003"
    title = "cross-validation agrees with the held-out rows"
    severity = "medium"


class NoLabels(Check):
    """There are no labels, so nothing can be said about quality.

    What it does: looks for the target column in the data.
    Why it matters: a model without measured quality has not been shown to work.
    Fix: give labelled rows: --data labelled.csv --target COLUMN.
    """

    code = "A004"
    title = "quality was measured"
    severity = "high"


class FewRowsOfAClass(Check):
    """A class has fewer than 50 rows, so intervals are approximate.

    What it does: counts the held-out rows of each class.
    Why it matters: below about 50 rows a class, 95 % intervals cover less than they say.
    Fix: label more rows of that class.
    """

    code = "A005"
    title = "enough rows of each class"
    severity = "low"


class CrossValidation(Check):
    """Whether the model could be fitted again on parts of the training rows.

    What it does: fits clones of the pipeline on folds of --train.
    Why it matters: one held-out table is one draw; folds show how much the quality varies.
    Fix: give --train train.csv; for a model that cannot be cloned also --refit module:function.
    """

    code = "A006"
    title = "cross-validated"
    severity = "info"


class AnotherThreshold(Check):
    """The threshold decides nothing, or another one is clearly better.

    What it does: looks whether all rows fall on one side of the signature's threshold, and
    whether another threshold has an F1 more than 0.05 higher on the held-out rows.
    Why it matters: classes that are rare seldom reach a probability of 0.5, so a good model can
    answer "no" to everything.
    Example: 3 % of the rows are positive and no probability exceeds 0.4.
    Fix: set it: --threshold 0.12. The one named here was chosen on the very rows that it is
    judged on, so it looks better than it is: confirm it on other rows, and weigh what a false
    alarm and a miss cost you, which F1 does not know.
    """

    code = "A007"
    title = "the threshold suits the scores"
    severity = "low"


class NeverDecided(Check):
    """A class is never decided for.

    What it does: counts how often each class is decided for among the held-out rows, and how many
    of its own rows are found (recall, with Wilson's interval).
    Why it matters: accuracy hides it: a class of 2 % that is never found costs 2 points of it.
    Example: of three kinds of defects the rarest, 40 rows, is always taken for the commonest.
    Fix: weigh the class in training, label more of its rows, or merge it with another; of two
    classes also another threshold (A007).
    """

    code = "A008"
    title = "each class is decided for"
    severity = "medium"
