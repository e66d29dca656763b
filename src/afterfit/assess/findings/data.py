"""Findings about the tables themselves: what leaked, what a column gives away, what moved."""

from __future__ import annotations

from afterfit.core.finding import Check


class RowsInTraining(Check):
    """Held-out rows that the model was trained on.

    What it does: counts held-out rows that stand among the training rows too, with their label,
    exactly or up to rounding, case and white space; and compares their share with that of training
    rows that stand there twice, which is what rows of few values come to by chance.
    Why it matters: on rows that it has seen a model looks better than it will be.
    Example: 2,000 of 10,000 held-out rows were copied before the split.
    Fix: drop repeated rows before you split: table.drop_duplicates().
    """

    code = "A010"
    title = "no held-out row stands in the training rows"
    severity = "high"


class RowsTwice(Check):
    """Held-out rows that stand there more than once.

    What it does: counts rows that repeat an earlier one, and compares their share with what
    independent columns would give.
    Why it matters: repeated rows are no new evidence, so every interval is too narrow.
    Example: 240 of 1,599 rows of a wine table are copies of others.
    Fix: drop them, or say which rows belong together: --group COLUMN.
    """

    code = "A011"
    title = "each held-out row stands there once"
    severity = "medium"


class SharedGroups(Check):
    """Groups or entities that have rows in both tables.

    What it does: counts held-out rows whose group, or entity, has training rows too.
    Why it matters: a person, a machine or a patient that is known already is easier to predict
    than a new one.
    Example: 40 % of the held-out visits are of patients in the training table.
    Fix: split by that column, for example with sklearn.model_selection.GroupShuffleSplit. Where
    the same ones come back in service, and the held-out rows are later, it is as it should be.
    """

    code = "A012"
    title = "no group is on both sides"
    severity = "high"


class EarlierThanTraining(Check):
    """Held-out rows that are earlier than rows that the model was trained on.

    What it does: counts held-out rows before the latest training row, and training rows after
    the first held-out one.
    Why it matters: in service only the past is known. A model that has seen the days around a row
    looks better than it will be.
    Example: the rows of a year were split at random.
    Fix: train on the rows before a day, and hold out those after it.
    """

    code = "A013"
    title = "held-out rows are later than the training rows"
    severity = "high"


class StandsForTime(Check):
    """A column that is a clock, or that is filled in only later: a suspicion.

    What it does: looks for columns whose order is that of time (rank correlation of 0.99 and more),
    and for columns that the latest tenth of the training rows lacks far more often.
    Why it matters: of a clock a model learns what held at a time that does not come back; what is
    filled in later is not there yet when a prediction is wanted.
    Example: a running order number; the date of a cancellation.
    Fix: leave the column out; or show that its value is known when the row is to be predicted.
    """

    code = "A014"
    title = "no column stands for time or is filled in later"
    severity = "medium"


class PredictsAlone(Check):
    """One column alone predicts nearly everything: a suspicion of leakage.

    What it does: fits each column by itself on training rows, and looks at ROC AUC (or R² of
    ranks) above 0.99 on held-out ones.
    Why it matters: such a column is often written with, or after, the label, and then missing or
    empty in service.
    Example: the column "cancelled_on" where the target is "has cancelled".
    Fix: find out when and from what the column is written. Leave it out if that is after, or from,
    the label. Nothing is wrong where it is measured before and is simply that good.
    """

    code = "A015"
    title = "no column alone predicts nearly everything"
    severity = "high"


class DerivedFromTarget(Check):
    """A column that is a function of the target: a suspicion.

    What it does: looks whether the target tells the column's value in nearly every held-out row,
    which a cause of the target seldom allows and a copy of it always does.
    Why it matters: what is computed from the label is not there before the label is.
    Example: "price_band" where the target is "price".
    Fix: leave the column out, unless it is known before the target and from other sources.
    """

    code = "A016"
    title = "no column is a function of the target"
    severity = "high"


class Uninformative(Check):
    """Columns that name rows, such as ids and running numbers, or that never vary.

    What it does: looks for integers and words without spaces that are different in every row,
    where that is no chance, and for columns of one value.
    Why it matters: a model can only learn ids by heart; new rows have new ones. A constant tells
    nothing, and a request must carry it all the same.
    Example: customer_id among the features.
    Fix: leave the column out and train again.
    """

    code = "A017"
    title = "no column names rows, and none is constant"
    severity = "medium"


class WrongLabels(Check):
    """Labels that are likelier wrong than right.

    What it does: fits a calibration of the model's probabilities together with a share of flipped
    labels, and asks whether the flips are needed to explain the held-out rows, by the model and by
    a linear one of the training rows.
    Why it matters: wrong labels bound every metric, and the rows that decide it most are these.
    Example: 60 of 3,000 labels contradict a probability of 0.999 in a model that is calibrated.
    Fix: look at the rows that the report names (they are numbered from 0 among the labelled rows),
    mend their labels and measure again. The other reading is a model that is sure and wrong on
    a few rows: then it is the model that is to be mended.
    """

    code = "A018"
    title = "the labels agree with a calibrated model"
    severity = "medium"


class HeldOutMoved(Check):
    """Columns that are distributed otherwise in the held-out rows than in the training rows.

    What it does: compares each column in about 16 bins (chi-squared, adjusted by Benjamini and
    Hochberg), and tells those that moved clearly and by a tenth of the rows or more.
    Why it matters: the held-out metrics are of other rows than the model was trained for; live rows
    may go on moving.
    Example: red wines to train, white wines to test.
    Fix: find out why. If live rows are like the held-out ones, train on such rows.
    """

    code = "A019"
    title = "held-out columns are distributed as in training"
    severity = "medium"
