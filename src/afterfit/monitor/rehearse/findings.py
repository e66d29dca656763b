"""The coded findings of ``monitor rehearse``; each docstring is the finding's page."""

from __future__ import annotations

from afterfit.core.finding import Check

__all__ = ["FalseAlarms", "FaultMisnamed", "FaultUnseen", "FaultUntried"]


class FaultUnseen(Check):
    """Looks for faults that raise no alarm in half of the replays or more.

    Why it matters: what a monitor cannot see, somebody else finds first: a customer, or an auditor.
    Example: labels flipped in a tenth of the rows were seen in 1 of 20 replays within a day.
    Fix: take the setting that was tried and sees it, or accept the risk knowingly.
    """

    code = "M090"
    title = "The monitor sees the faults"
    severity = "medium"


class FaultMisnamed(Check):
    """Looks for faults that raise alarms of which none names what is broken.

    Why it matters: whoever is woken starts to look in the wrong place.
    Example: an amount in cents raises an alarm of the output alone.
    Fix: see that inputs are captured or counted, so that columns can be named.
    """

    code = "M091"
    title = "Alarms name what is broken"
    severity = "low"


class FalseAlarms(Check):
    """Looks for more false alarms on traffic without a fault than were asked for.

    Why it matters: people stop reading a monitor that cries wolf.
    Example: 1 alarm a month was asked, 30 came, since the rows are of a year after the reference.
    Fix: replay rows of the time of the reference, or make a reference of recent rows; windows of
    fewer rows depend less on the season.
    """

    code = "M092"
    title = "Traffic without a fault raises no more alarms than asked"
    severity = "medium"


class FaultUntried(Check):
    """Looks for faults that the data has nothing for, so that nothing is known of them.

    Why it matters: a fault that was not rehearsed is neither seen nor unseen.
    Example: rows without labels can have no label that is flipped.
    Fix: rehearse with rows that have labels and every kind of column that the model takes.
    """

    code = "M093"
    title = "Every fault was rehearsed"
    severity = "info"
