"""The findings of ``loadtest``."""

from __future__ import annotations

from afterfit.core.finding import Check


class ErrorsUnderLoad(Check):
    """Some requests of the measurement were not answered with 200.

    What it does: sends valid rows of the user's own data and counts other answers.
    Why it matters: callers will see the same errors.
    Example: a column of the data holds values that the signature refuses.
    Fix: look at the server's log; send rows by hand with curl.
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


class RateFound(Check):
    """The greatest rate at which the server holds its objective, and whether it was found.

    What it does: doubles the rate, halves the interval, and verifies the candidate by five runs.
    Why it matters: a service that is asked more than it can carry answers everybody late.
    Fix: give it workers or machines, or cap admission at the rate that was found.
    """

    code = "L004"
    title = "the greatest sustained rate"
    severity = "medium"


class ObjectiveUnreachable(Check):
    """The objective is missed at any rate, even at one request a second.

    What it does: halves the rate down to 1 request/s while runs miss the objective.
    What it looks for: misses that no queue explains: slow answers of an idle server, errors.
    Why it matters: no number of machines mends it.
    Fix: ask for a later limit, make the model faster, or mend what fails.
    """

    code = "L005"
    title = "the objective can be reached"
    severity = "high"


class GeneratorLimit(Check):
    """This machine cannot send more, so the server may carry more than was found.

    What it does: throws runs away in which the generator was late, and says from which rate on.
    Why it matters: a late generator makes any server look slow.
    Fix: run the generator on another machine, or give it cores that the server does not use.
    """

    code = "L006"
    title = "the generator is not the limit"
    severity = "low"


class SearchCutShort(Check):
    """The search ended before it was finished; what it found until then is told.

    What it looks for: a budget that is spent, a server that is gone, and ctrl-C.
    Why it matters: the server may carry more, or less, than the last rate that was tried.
    Fix: give it more time; where the server is gone, look at its log.
    """

    code = "L007"
    title = "the search was finished"
    severity = "medium"


class RateCertified(Check):
    """Whether the server holds its objective at the rate with 99 % confidence.

    What it does: sends fresh requests at the rate and bounds the share of misses from above, as
    many requests as independent ones as their clumps allow, whatever the number of looks.
    Why it matters: five good runs of seconds are no proof of one miss in a hundred.
    Fix: certify for longer, or a lower rate: close to the limit it takes very many requests.
    """

    code = "L008"
    title = "the rate is certified"
    severity = "medium"


class TraceLooksOdd(Check):
    """A part of the recorded traffic seems to be missing.

    What it looks for: gaps of more than a second that are fifty times as long as usual.
    Why it matters: nothing is sent there, so the service has a rest that callers may not give it.
    Fix: look whether the recording had stopped; a quiet night is no fault.
    """

    code = "L009"
    title = "the trace is whole"
    severity = "low"


class CertificateLapsed(Check):
    """A certificate of load does not hold for this version, these settings or this machine.

    What it does: compares what was measured with what is asked about, and its age.
    Why it matters: another CPU, version of a package or number of workers is another server.
    Fix: measure again: `afterfit loadtest NAME@champion --slo "p99<50ms"`.
    """

    code = "L020"
    title = "the certificate still holds"
    severity = "medium"


class LoadChanged(Check):
    """The service is slower, carries less or fails more than the baseline did.

    What it does: compares windows of a second of both runs, with intervals that know that
    neighbouring windows are alike; what the interval does not decide is "cannot tell".
    Why it matters: a service gets slower by a little with every release.
    Fix: look at what changed between the two; run both again, in turn, where the machine is shared.
    """

    code = "L021"
    title = "as fast as the baseline"
    severity = "medium"


class NotComparable(Check):
    """Two load tests were made in different ways, so their numbers say little of each other.

    What it looks for: other targets, objectives, schedules, settings, CPUs or packages.
    Why it matters: latency at twice the rate is another quantity.
    Fix: repeat the baseline in the same way.
    """

    code = "L022"
    title = "the baseline was measured alike"
    severity = "low"


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
