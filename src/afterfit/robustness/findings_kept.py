"""The findings of cases that stay, and of smallest changes."""

from __future__ import annotations

from afterfit.core.finding import Check


class CaseRegressed(Check):
    """A case that the version before passed fails.

    What it does: asks each kept case of earlier versions again, and looks up each new failure in
    the record of the version before.
    Why it matters: what was mended is broken again, or what worked does not.
    Fix: look at the case: afterfit version cases NAME@NUMBER -o FOLDER, then pytest FOLDER.
    """

    code = "R060"
    title = "no case of an earlier version fails again"
    severity = "high"


class CaseKnown(Check):
    """A case that failed in the version before fails still.

    What it does: asks each kept case of earlier versions again.
    Why it matters: it is no news, and no less wrong for that.
    Fix: do what the finding of the case itself says. To see it: afterfit version cases NAME@NUMBER
    """

    code = "R061"
    title = "no known failure is left"
    severity = "low"


class CaseFixed(Check):
    """Cases that failed in the version before hold.

    What it does: asks each kept case of earlier versions again.
    Why it matters: they stay among the cases, so that they cannot break again unseen.
    Fix: nothing is to be done.
    """

    code = "R062"
    title = "earlier failures that are mended"
    severity = "info"


class SmallChangeFlips(Check):
    """A small change of columns that callers can move turns the decision.

    What it does: moves columns of rightly decided rows within the reference's range and known
    categories, and looks for the smallest change that turns the decision, or moves the value of a
    regression by half a standard deviation of the answers. The model is only asked, never opened.
    Why it matters: who gains by another decision will look for such a change, and noise finds it.
    Example: an income that is 2 % higher turns a refusal.
    Fix: name columns that nobody can move: [robustness] fixed = ["age"]; smooth the model, or look
    at decisions near the threshold by hand. To stop a release: "robustness.flip_share_010 <= 0.05".
    """

    code = "R063"
    title = "no small change turns a decision"
    severity = "info"
