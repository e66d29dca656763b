"""The coded findings of ``monitor``; each docstring is the finding's page."""

from __future__ import annotations

from afterfit.core.finding import Check


class NoPredictions(Check):
    """Looks for at least one answered prediction in the log.

    Why it matters: a report on nothing would read like a report that all is well.
    Example: the period was mistyped, or the endpoint serves another version.
    Fix: check the period, the version and the folder of the events.
    """

    code = "M001"
    title = "The log holds predictions"
    severity = "high"


class OutputMoved(Check):
    """Looks for a distribution of outputs that differs from the reference.

    Why it matters: it is the earliest sign without labels that the inputs or their meaning changed.
    Example: scores above 0.5 went from 12 % to 31 % of rows.
    Fix: look at the columns that moved (M003) and at what changed upstream at that time.
    """

    code = "M002"
    title = "The outputs are distributed as in the reference"
    severity = "high"


class ColumnMoved(Check):
    """Looks for input columns whose distribution differs from the reference.

    Why it matters: a model is only proven on rows like those it was assessed on.
    Example: after an upstream change an amount arrives in cents instead of euros.
    Fix: mend the source; or assess the model on recent labelled rows and train it again.
    """

    code = "M003"
    title = "The input columns are distributed as in the reference"
    severity = "medium"


class RowsFlagged(Check):
    """Looks for many rows outside of the reference's range or categories, or with missing values.

    Why it matters: the model extrapolates on such rows, and nothing was proven about them.
    Example: 8 % of rows have a category that the model never saw.
    Fix: find the sender of those rows; refuse them at the door, or train with them.
    """

    code = "M004"
    title = "Few rows are outside of what the reference held"
    severity = "medium"


class Failures(Check):
    """Looks for predictions that failed or were refused.

    Why it matters: a row without an answer is a decision that somebody else's default made.
    Example: 3 % of requests are refused because a column is missing.
    Fix: read the errors of the failed events; the commonest one is in the evidence.
    """

    code = "M005"
    title = "Nearly every request got an answer"
    severity = "high"


class LabelsUnknown(Check):
    """Looks for labels that belong to no prediction of the log.

    Why it matters: a broken join measures quality on the wrong rows, or on none.
    Example: labels carry the order number, predictions the customer number.
    Fix: send the event_id that the prediction returned, or the same entity in both.
    """

    code = "M006"
    title = "Every label belongs to a prediction"
    severity = "low"


class LiveQuality(Check):
    """Looks for enough labels to measure quality on live rows.

    Why it matters: distributions can stand still while quality falls.
    Example: 40 labels cannot tell an F1 of 0.80 from one of 0.65.
    Fix: send labels as they come in, also for rows that the model decided against.
    """

    code = "M007"
    title = "There are enough labels to measure quality"
    severity = "medium"


class ClassesUnknown(Check):
    """Looks for labels that are no class of the model.

    Why it matters: such rows are left out, so quality is measured on easier rows than there are.
    Example: the source renamed ``yes`` to ``Y``.
    Fix: map the labels to the model's classes, or train with the new class.
    """

    code = "M008"
    title = "Every label is a class of the model"
    severity = "medium"


class Alarm(Check):
    """Looks at the gates of ``afterfit.toml`` once more, on live rows.

    Why it matters: what a version had to prove before release must stay true in service.
    Example: recall.low >= 0.70 held at release and is 0.61 this week.
    Fix: ``afterfit version rollback NAME`` if the version before was better; else train again.
    """

    code = "M009"
    title = "The gates still hold"
    severity = "high"


class InputsUnseen(Check):
    """Looks for a way to see the input columns: captured inputs or counts.

    Why it matters: without them a change upstream stays hidden until labels arrive.
    Example: capture is off and the counts were not kept.
    Fix: keep the counts-*.json of the events, or: afterfit serve NAME --capture COLUMN.
    """

    code = "M010"
    title = "The input columns were seen"
    severity = "medium"


class TimesPossible(Check):
    """Looks for rows that are dated more than a day after now.

    Why it matters: such rows stand in windows that nobody will look at for long, and every rate and
    delay beside them is wrong. The daemon leaves them out, and counts them in its status.
    Example: 40 rows say 2036, since milliseconds were read as seconds by whoever wrote the log.
    Fix: look at the unit and the zone of the column of times, and read the log again.
    """

    code = "M011"
    title = "No row is dated in the future"
    severity = "medium"


class ScoresPossible(Check):
    """Looks for scores of a classifier that are below 0 or above 1.

    Why it matters: they are no probabilities, so log loss, calibration and estimates mean nothing.
    Example: the log holds margins from -4 to 5, or percentages up to 100.
    Fix: log the probability of the positive class; for anything else map it as a value.
    """

    code = "M012"
    title = "Scores are probabilities"
    severity = "high"


class Calibrated(Check):
    """Looks for thresholds of drift that were calibrated on the rows of the reference.

    Why it matters: columns that hang together are like fewer columns, and neighbours in time like
    fewer rows. Counts alone know of neither: of the one come fewer alarms than were asked for, of
    the other more.
    Example: the reference is a fingerprint in a bundle whose rows are not at hand.
    Fix: calibrate with the reference's rows, and say whether they are in the order of time.
    """

    code = "M020"
    title = "Drift is judged by thresholds from the reference's rows"
    severity = "low"


class FalseAlarmsAsAsked(Check):
    """Looks at how many windows of held-out reference rows would have been alarms.

    Why it matters: a budget of false alarms is a promise; this is whether it is kept.
    Example: at 1 % a window 4 % of held-out windows are alarms, as the rows are ordered by time.
    Fix: give the rows in the order of time and say so; or take a reference by season.
    """

    code = "M021"
    title = "False alarms come as often as asked"
    severity = "medium"


class SchemaChanged(Check):
    """Looks for inputs that are not in the log, or are of another type than in the reference.

    Why it matters: every row then lacks what the model was proven with, whatever the values are.
    Example: ``age`` was a number and is text since the export writes ``41 years``.
    Fix: mend the export or the mapping; a column that is new changes nothing for the model.
    """

    code = "M030"
    title = "The log has the columns of the reference"
    severity = "high"


class RowsToldApart(Check):
    """Looks for a classifier that can tell live rows from those of the reference.

    Why it matters: columns can change together, or all a little, where no single one moved.
    Example: two columns that used to rise together no longer do; each alone looks as before.
    Fix: look at the columns that tell them apart; assess the model on recent labelled rows.
    """

    code = "M031"
    title = "Live rows cannot be told from the reference"
    severity = "medium"


class StructureBroken(Check):
    """Looks for rows farther from the principal components of the reference than its own are.

    Why it matters: relations between columns are what the model learnt.
    Example: a join gives the value of another customer, so that columns do not belong together.
    Fix: find the join or the sender; the columns that moved (M003, M031) tell where to look.
    """

    code = "M032"
    title = "Columns hang together as in the reference"
    severity = "medium"


class NoEstimate(Check):
    """Looks for windows about which nothing can be estimated without labels.

    Why it matters: a number that stands on nothing would be believed.
    Example: a third of the rows are of a kind that the reference hardly has.
    Fix: have some of these rows labelled, and put rows like them into the reference.
    """

    code = "M040"
    title = "Quality can be estimated where labels are missing"
    severity = "low"


class LabelsSelective(Check):
    """Looks for labels that come for some scores more than for others.

    Why it matters: quality on labelled rows is then not that of all rows, and can rise while the
    model gets worse.
    Example: loans that were refused are never paid back, so they have no label.
    Fix: have a few rows of every score labelled at random, whatever was decided.
    """

    code = "M041"
    title = "Labels do not depend on the score"
    severity = "medium"


class LabelsImmature(Check):
    """Looks for windows of which too few labels can have come by now.

    Why it matters: what is known first is often not like the rest: frauds are reported late.
    Example: of a week's labels 20 % have come, and 60 % come in the next month.
    Fix: wait for the maturity that the settings ask for, or look at the estimate until then.
    """

    code = "M042"
    title = "Enough of a window's labels have come"
    severity = "low"
