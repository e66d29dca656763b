"""The findings of ``loadtest``."""

from __future__ import annotations

from afterfit.core.finding import Check


class ErrorsUnderLoad(Check):
    """Some requests of the measurement were not answered with 200.

    What it does: sends valid rows of the user's own data and counts other answers.
    Why it matters: callers will see the same errors.
    Example: a column of the data holds values that the signature refuses.
    Fix: look at the first error's text; send the row by hand with curl.
    """

    code = "L001"
    title = "every request is answered"
    severity = "high"


class TooFewRequests(Check):
    """Too few requests for the 99th percentile to have an interval.

    What it does: asks for at least 368 answers, below which the upper bound of a 99th percentile
    lies beyond the largest one seen.
    Why it matters: the largest of 100 answers is no 99th percentile.
    Fix: measure longer.
    """

    code = "L002"
    title = "enough requests for the percentiles"
    severity = "low"


class ClosedLoopOnly(Check):
    """Latency was measured by a closed loop, which hides stalls.

    What it does: says how the numbers were made.
    Why it matters: users who wait for an answer before the next request slow down with the
    server; real callers do not, so their percentiles are worse when the service is busy.
    Fix: take the numbers as those of a quiet service.
    """

    code = "L003"
    title = "how latency was measured"
    severity = "info"
