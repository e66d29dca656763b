"""Findings about parts of the rows: weak slices, and groups beside one another."""

from __future__ import annotations

from afterfit.core.finding import Check


class WeakSlice(Check):
    """In some part of the rows the model fails markedly more often than it should.

    What it does: searches all parts that one or two columns describe, on one half of the rows,
    and tests the worst ten on the other half (Benjamini and Hochberg, 2 %). Of a classifier with
    probabilities, only errors count that its own probabilities did not foresee.
    What it looks for: errors 2 to 10 points more frequent than elsewhere (half of the rate
    elsewhere, within these limits), or an absolute error half as large again.
    Why it matters: a good mean hides a part that is broken: a unit, a code, a new kind of customer.
    Example: 41 % errors where region = North and age < 25, 9 % elsewhere.
    Fix: look at these rows: how their columns are filled, whether training rows had such ones, and
    whether the label means the same there. Then train on more of them, or answer them otherwise.
    """

    code = "A020"
    title = "no slice of the rows is markedly worse"
    severity = "medium"


class HardSlice(Check):
    """Some part of the rows is hard, and the model's own probabilities say so.

    What it does: takes the slices of A020 with markedly more errors than elsewhere, of which the
    model foresaw as many.
    Why it matters: nothing is broken, but answers there are worth less.
    Fix: send such rows to a person, or look for a column that tells them apart.
    """

    code = "A021"
    title = "no part of the rows is much harder"
    severity = "low"


class SelectionRates(Check):
    """A group is decided positive less than four fifths as often as another.

    What it does: for each column of [fairness], divides the share of rows decided positive of each
    group by that of the group with the highest share.
    Why it matters: below four fifths, United States agencies take adverse impact to be shown
    (29 CFR 1607.4 D); a differing rate may have a reason, which then has to be told.
    Example: women are selected 0.31 times as often as men (0.28 to 0.35).
    Fix: find out which columns carry the difference, and whether a decision may rest on them;
    where being positive is a harm, read the ratio the other way round.
    """

    code = "A022"
    title = "groups are selected alike (four fifths)"
    severity = "medium"


class ErrorRates(Check):
    """The true or false positive rates of two groups lie more than 10 points apart.

    What it does: for each column of [fairness], compares the rates among the rows that are
    positive, and among those that are not, between groups (equalized odds).
    Why it matters: one group bears the misses or the false alarms (Hardt, Price and Srebro 2016).
    Fix: look for columns that mean something else in one group, and for labels that do.
    """

    code = "A023"
    title = "error rates are alike across groups"
    severity = "medium"


class GroupQuality(Check):
    """The model is clearly better for one group than for another.

    What it does: for each column of [fairness], compares accuracy between groups, or of a
    regression the mean absolute error and the mean error.
    What it looks for: 10 points of accuracy; a quarter of the mean absolute error of all rows.
    Why it matters: a group with few training rows is often answered worse.
    Fix: train on more rows of that group, or say for whom the model is meant.
    """

    code = "A024"
    title = "quality is alike across groups"
    severity = "medium"
