"""The findings of ``inspect``."""

from __future__ import annotations

from afterfit.core.finding import Check


class VersionMismatch(Check):
    """The model was saved with another version of a library than the one installed here.

    What it does: compares the versions that the file tells with the installed ones.
    Why it matters: scikit-learn promises nothing across versions: a model may load and answer
    differently, or not at all.
    Example: saved with scikit-learn 1.5.2, installed is 1.9.1.
    Fix: install the version that the model was trained with, or train it again here.
    """

    code = "I001"
    title = "saved with the versions that are installed"
    severity = "medium"


class ExtraColumns(Check):
    """The data has columns that the model does not take.

    What it does: compares the data's columns with the model's feature names.
    Why it matters: an extra column is harmless, unless it was meant to be an input.
    Fix: nothing, or train the model with the column.
    """

    code = "I002"
    title = "no columns beside the model's"
    severity = "low"


class PositiveAssumed(Check):
    """The positive class was not named, so the second class was taken, as scikit-learn does.

    What it does: tells which class precision, recall, the threshold and the score speak of.
    Why it matters: with the classes the other way round, every such number means its opposite.
    Example: of the classes "fraud" and "honest" the second, "honest", is positive by default.
    Fix: name it: --positive fraud, or ``positive = "fraud"`` in afterfit.toml.
    """

    code = "I003"
    title = "the positive class is named"
    severity = "low"


class ClassesDerived(Check):
    """The model numbers its classes; the words were taken from the data's labels, sorted.

    What it does: matches the outputs 0..k-1 with the sorted labels, as scikit-learn's
    LabelEncoder does, and compares the answers with the labels.
    Why it matters: had training numbered them otherwise, every label would be another's.
    Example: a booster's outputs 0 and 1 become "no" and "yes".
    Fix: name them in the order of the outputs: --classes no yes.
    """

    code = "I004"
    title = "the classes have their words"
    severity = "high"


class PickleFormat(Check):
    """The model is a pickle: loading it runs what is written in it.

    What it does: looks at the format of the file.
    Why it matters: the audit lets in only names that it knows, but a format that cannot run code
    needs no such care, and outlives versions better.
    Fix: ``skops.io.dump(model, "model.skops")``.
    """

    code = "I005"
    title = "the format cannot run code"
    severity = "low"


class ConstantColumn(Check):
    """A column has one value in all reference rows.

    What it does: counts the distinct values of each column.
    Why it matters: the model learned nothing from it, and what it does with other values was
    never seen; often a join or a default went wrong.
    Fix: leave the column out of training, or find out why it never varies.
    """

    code = "I006"
    title = "every column varies"
    severity = "low"


class IdentifierColumn(Check):
    """A column has a different value in every reference row, as an identifier has.

    What it does: counts distinct integers and strings; continuous numbers are exempt.
    Why it matters: a model can learn rows by heart from an identifier, which helps with no new one.
    Example: customer_id among the features.
    Fix: leave the column out of training, or name it as the entity column: --entity customer_id.
    """

    code = "I007"
    title = "no column looks like an identifier"
    severity = "medium"


class ByPosition(Check):
    """The model knows no column names, so the data's columns were matched by position.

    What it does: looks for feature names in the model.
    Why it matters: two columns that changed places would give wrong answers without an error.
    Fix: train on a DataFrame, or see that the data's columns stand in the training's order.
    """

    code = "I008"
    title = "columns are matched by name"
    severity = "medium"


class NotIsolated(Check):
    """The model's process could not give up the network.

    What it does: asks the kernel for a network namespace of the process's own.
    Why it matters: code in a model, or in a library that it uses, could send data away.
    Fix: run on Linux with unprivileged user namespaces, or in a container without network.
    """

    code = "I009"
    title = "the model runs without a network"
    severity = "low"


class LabelsOnly(Check):
    """The classifier gives labels without probabilities.

    What it does: asks the model for probabilities.
    Why it matters: thresholds, calibration, ranking metrics and drift of scores need them.
    Fix: train with probabilities (``CalibratedClassifierCV``), or ``probability=True``.
    """

    code = "I010"
    title = "the model gives probabilities"
    severity = "medium"


class DatesAsText(Check):
    """A column of dates reaches the model as text, and it is not known whether it should.

    What it does: looks for columns of the model whose values all read as dates, and asks the model
    with the text and with datetimes.
    Why it matters: tables, requests and bundles carry dates as ISO 8601 text. A model that was
    trained on a datetime column meets words it has never seen, and answers wrongly. Where that is
    shown the model is refused; where both are answered and differ, you have to know.
    Example: a OneHotEncoder fitted on a datetime64 column.
    Fix: train on text or on numbers made from the date (hour, weekday, days since …), or let the
    pipeline's first step parse the text.
    """

    code = "I012"
    title = "no column holds dates as text"
    severity = "high"


class OwnLabels(Check):
    """The labels of the model's own ``predict`` are not what its probabilities say.

    What it does: compares, on up to 5,000 rows of the data, the label that ``predict`` gives with
    the class that the probabilities decide for, by the threshold that the model carries or that
    was asked for.
    Why it matters: what is served would be another label than the one that the model was judged
    by. Where no threshold gives the model's labels, the model decides them itself when served.
    Example: ``SVC(probability=True)``, whose probabilities come from a calibration of their own; a
    ``FixedThresholdClassifier`` on a decision function.
    Fix: nothing, if the model's own labels are wanted; --threshold decides by the probabilities.
    """

    code = "I013"
    title = "labels are those of the model's own predict"
    severity = "high"


class Trusted(Check):
    """Names in the file were let in on purpose.

    What it does: lists what the audit did not know and a person allowed; what it knows to be
    dangerous, such as ``posix.system``, is an issue.
    Why it matters: Afterfit vouches for the rest only.
    Fix: nothing, if the names are yours.
    """

    code = "I011"
    title = "nothing was let in by hand"
    severity = "high"
