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


class MemoryGrows(Check):
    """The server's memory grows for as long as it serves.

    What it does: fits a line through the memory of all its processes in the second half of a soak.
    Why it matters: a server that grows is killed one night, under load.
    Fix: soak for longer to be sure (--soak 1h); then look at own code that keeps what it has seen.
    """

    code = "L030"
    title = "memory stays where it is"
    severity = "high"


class FaultUnderLoad(Check):
    """Something went wrong on purpose while requests came, and they felt it for too long.

    What it does: kills a worker, swaps the version, or adds clients that hardly read, under load.
    Why it matters: these happen in every month of service; only requests in flight may feel it.
    Fix: look at the server's log of that moment.
    """

    code = "L031"
    title = "faults under load are survived"
    severity = "high"


class SettingsTried(Check):
    """Other settings of the server would do more with this machine.

    What it does: tries workers, threads and caps of a batch, and compares them with its defaults.
    Why it matters: a machine that is used badly is paid for all the same.
    Fix: nothing; `afterfit serve` takes the chosen settings over on such hardware.
    """

    code = "L032"
    title = "settings of the server"
    severity = "low"


class WayToGrow(Check):
    """Whether more of the same machine helps, or more machines.

    What it does: compares what another worker adds with what a machine of its own would add.
    Why it matters: a machine of twice the size is worth its price only while it does twice as much.
    Fix: buy the larger machine only below the price that is named.
    """

    code = "L033"
    title = "larger machines or more of them"
    severity = "info"


class PlainQueue(Check):
    """The server carries much less than a queue with its own service times would.

    What it does: compares the sustained rate with M/G/c of as many servers as there are workers.
    Why it matters: the rest is lost between requests: to locks, memory, the network, neighbours.
    Fix: look at the server's CPU in this run; with less than all cores busy, something else waits.
    """

    code = "L034"
    title = "capacity beside the queue of theory"
    severity = "low"
