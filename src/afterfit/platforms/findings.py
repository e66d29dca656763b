"""The findings of ``platforms``."""

from __future__ import annotations

from afterfit.core.finding import Check


class Conflict(Check):
    """Two requirements cannot both be met by anything.

    What it does: looks for requirements that contradict each other, whatever is offered, such as
    data that must stay in the EU and regions of the US alone.
    Why it matters: the list of offers would be empty, and no constraint alone would say why.
    Fix: drop or change one of the two that the finding names.
    """

    code = "P001"
    title = "the requirements agree with each other"
    severity = "high"


class NothingPasses(Check):
    """No offer meets every requirement.

    What it does: judges each offer by each constraint before it compares any cost, and counts what
    failed first.
    Why it matters: a high score never buys back a constraint that failed, so there is no choice.
    Example: a budget of 20 USD a month, and the cheapest offer that holds the objective takes 61.
    Fix: the page names the offers that are nearest to passing, and the one requirement without
    which each would pass.
    """

    code = "P002"
    title = "some offer meets every requirement"
    severity = "high"


class StalePrices(Check):
    """Prices behind the choice or the next offers are older than 90 days, or nobody knows how old.

    What it does: takes the date of each price list that the finalists' costs are from.
    Why it matters: list prices change several times a year, spot prices by the hour.
    Fix: afterfit platforms import FILE, with a price list of today, or your own sheet of discounts.
    """

    code = "P003"
    title = "prices are younger than 90 days"
    severity = "medium"


class ToConfirm(Check):
    """Something is not known of the offers that would win, and counts as missing until confirmed.

    What it does: keeps what nobody knows apart from what passes and what fails.
    Why it matters: a certificate or a residency that was taken for granted is found out late.
    Example: that Cloud Run is covered by a signed agreement for health data.
    Fix: ask the provider, then say so: --confirm NAME, or in [platforms] of afterfit.toml.
    """

    code = "P004"
    title = "nothing of the choice has to be confirmed"
    severity = "medium"


class CapacityGuessed(Check):
    """What a machine of the choice carries was not measured on such a machine.

    What it does: looks how the capacity of the choice is known: measured, from a machine of the
    same tier of instructions, or from another tier.
    Why it matters: between tiers the error of such a prediction is a factor, not a percentage.
    Fix: measure it there: afterfit platforms probe, a container that runs for ten minutes.
    """

    code = "P005"
    title = "the capacity of the choice was measured"
    severity = "medium"


class CloseCall(Check):
    """The bounds of the choice overlap those of another offer.

    What it does: compares the score of the choice at its worst with that of the others at their
    best, as far as the capacity of their machines is uncertain. Machines of one family are compared
    at the same ends, since whatever is wrong is wrong for both.
    Why it matters: the order of the two is a guess until one of them is measured.
    Fix: measure the finalists that the finding names, the first one first.
    """

    code = "P006"
    title = "no other offer may be as good"
    severity = "medium"


class CheapestRejected(Check):
    """The cheapest offer did not pass.

    What it does: looks for the lowest cost among all offers whose cost is known.
    Why it matters: somebody will ask why not that one.
    Fix: nothing, unless the requirement that it failed can be dropped.
    """

    code = "P007"
    title = "the cheapest offer passes"
    severity = "info"


class OtherInstructions(Check):
    """The choice runs on processors that multiply whole numbers fast, and the model does not.

    What it does: looks whether the tier of the choice has VNNI, AMX or i8mm, and whether the form
    of the model that ships is quantized.
    Why it matters: networks of 8-bit whole numbers are often twice as fast there, and slower than
    before on processors without.
    Fix: afterfit optimize MODEL --data DATA --allow quantize, then load-test what ships and choose
    again.
    """

    code = "P008"
    title = "the model uses what the processor has"
    severity = "info"


class TrafficIsAShape(Check):
    """The traffic is a made-up shape, not what was counted.

    What it does: looks whether the trace is a file of yours.
    Why it matters: how long traffic is near its peak decides between machines that stand and
    services that are billed by the request.
    Fix: --traffic FILE, with times and requests/s of some weeks.
    """

    code = "P009"
    title = "the traffic was counted"
    severity = "low"


class Lifecycle(Check):
    """The provider develops the chosen service no further.

    What it does: reads what the catalog says of the service.
    Why it matters: what is only sustained gets neither new machines nor new regions, and is closed
    one day.
    Fix: take the next offer, or plan the move.
    """

    code = "P010"
    title = "the chosen service is still developed"
    severity = "medium"


class ReplicaTold(Check):
    """The rate of one replica was told, not measured, or has no interval.

    What it does: looks where the rate is from that all costs are proportional to.
    Why it matters: a rate that is half as high doubles every cost.
    Fix: afterfit loadtest NAME@champion --slo "p99<50ms"
    """

    code = "P011"
    title = "the rate of a replica was measured"
    severity = "low"


class BreakEven(Check):
    """At some traffic managed services and machines of one's own cost the same.

    What it does: evaluates the cheapest of both kinds at 1/64 to 64 times the traffic.
    Why it matters: it says how far the traffic may move before the kind of place is wrong, and
    which features are lost by the change.
    Fix: nothing; decide again when traffic comes near it.
    """

    code = "P012"
    title = "managed or own machines"
    severity = "info"


class SharedProcessor(Check):
    """The chosen machine's processor is shared, or bursts.

    What it does: looks whether the machine gives its whole vCPUs all of the time.
    Why it matters: what a load test of some minutes sees is the burst; what lasts is a share of it.
    Fix: measure for an hour there, or take a machine with whole processors: --exclude NAME.
    """

    code = "P013"
    title = "the chosen machine has its processors to itself"
    severity = "medium"
