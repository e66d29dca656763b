"""The findings of ``autoscale``."""

from __future__ import annotations

from afterfit.core.finding import Check


class NothingHolds(Check):
    """No simulated policy holds the objective over the trace.

    What it does: sizes each policy for the trace, simulates it several times, and counts the
    minutes in which more requests miss the objective than may.
    Why it matters: what does not hold in a simulation, where nodes are there at once and images
    are pulled in the time that was told, does not hold in a cluster.
    Example: at most 10 replicas are allowed and the peak takes 14.
    Fix: allow more replicas, start them sooner, start them before a known event, or shorten the
    cold start; the page says which of these would do.
    """

    code = "L040"
    title = "some policy holds the objective"
    severity = "high"


class SlowerThanTheRamp(Check):
    """Traffic grows faster than replicas start.

    What it does: compares how far the trace grows within the time from a rise to a ready replica
    with the room that replicas at their usual load have.
    Why it matters: no rule that looks at what is there can survive such a ramp; only replicas that
    run before it do, and they cost while nothing happens.
    Fix: a schedule for what is known to come (--event), a shorter cold start, or the floor of
    replicas that the page names.
    """

    code = "L041"
    title = "replicas start as fast as traffic grows"
    severity = "medium"


class MostReached(Check):
    """A policy wanted more replicas than it may have.

    What it does: compares the replicas of each run with --max.
    Why it matters: at its limit an autoscaler is a fixed number of replicas that is too small.
    Fix: raise --max, and the quota behind it.
    """

    code = "L042"
    title = "the most replicas are enough"
    severity = "high"


class ZeroLoses(Check):
    """Scaling to zero loses or delays the first requests.

    What it does: counts what comes while no replica is ready.
    Why it matters: behind a plain Service of Kubernetes such requests are refused; Knative and Ray
    hold them for the whole cold start, which breaks the objective for all of them.
    Fix: keep one replica, or leave --to-zero to what nobody waits for.
    """

    code = "L043"
    title = "scaling to zero loses nothing"
    severity = "medium"


class AsOftenSet(Check):
    """An autoscaler as it is often set breaks the objective on this trace.

    What it does: simulates an HPA with 80 % CPU and one replica at the least beside the others.
    Why it matters: it is what many services run with, and it tells what sizing is worth.
    Fix: take the settings that were made for the trace.
    """

    code = "L044"
    title = "an HPA as often set would do"
    severity = "info"


class ToldNotMeasured(Check):
    """The numbers of the replica were told and not measured, or measured without an interval.

    What it does: looks where the rate of one replica is from.
    Why it matters: every size here is proportional to it.
    Fix: measure the greatest rate that holds the objective:
    afterfit loadtest NAME@champion --slo "p99<50ms"
    """

    code = "L045"
    title = "the rate of a replica was measured"
    severity = "low"


class CoarseTrace(Check):
    """The trace is coarser than a policy's reaction.

    What it does: compares the distance of its rates with the time until a new replica answers.
    Why it matters: a mean of five minutes hides the minute that breaks the objective.
    Fix: give rates of at most 60 s, or the moments of requests.
    """

    code = "L046"
    title = "the trace shows the ramps"
    severity = "low"


class LowerBoundFails(Check):
    """The chosen policy does not hold where a replica carries only the lower bound of its rate.

    What it does: simulates the chosen policy again with replicas of the lower bound of the interval
    that was measured, or a tenth below a rate without one.
    Why it matters: the true rate may well be there.
    Fix: measure longer, so that the interval is narrower, or give --replica-rps its lower bound.
    """

    code = "L047"
    title = "it holds at the lower bound of the rate"
    severity = "medium"


class LossOfCapacity(Check):
    """The peak cannot be carried after the loss of a replica or of a zone.

    What it does: takes the replicas that the chosen policy has at the peak, less one or less those
    of one zone, and what each can carry.
    Why it matters: nodes are drained and zones fail, most often when there is much to do.
    Fix: --survive replica or --survive zone.
    """

    code = "L048"
    title = "the peak survives a loss"
    severity = "medium"


class ForecastIsTheTrace(Check):
    """A schedule was judged on the trace that it was made from.

    What it does: says so where a policy with a schedule was simulated.
    Why it matters: tomorrow is not yesterday; an event that comes earlier than planned meets the
    replicas of before.
    Fix: plan with a margin, and keep an autoscaler beneath the schedule, as what is written does.
    """

    code = "L049"
    title = "a schedule knows the trace"
    severity = "info"
