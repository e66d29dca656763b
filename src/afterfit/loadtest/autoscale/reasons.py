"""Why each setting of a policy is what it is, in a line that stands beside it."""

from __future__ import annotations

from afterfit.core.trace import Trace
from afterfit.loadtest.autoscale.compare import Judged
from afterfit.loadtest.autoscale.plans import MARGIN_S
from afterfit.loadtest.autoscale.sizing import HEADROOM, Fleet


def reasons(judged: Judged, fleet: Fleet, trace: Trace) -> dict[str, str]:
    """Return setting to reason."""
    plan = judged.plan
    found = {
        "min": _least(judged, fleet),
        "max": _most(fleet, trace),
        "replicas": _fixed(fleet, trace),
        "lead_s": f"{fleet.replica.cold_start_s:.3g} s of cold start, 15 s of the control loop and "
        f"{MARGIN_S:g} s of margin",
    }
    found |= dict.fromkeys(("rate", "cpu_percent", "concurrency", "ongoing"), _aim(judged, fleet))
    return {name: found[name] for name in plan.settings}


def _survived(fleet: Fleet) -> str:
    lost = {"none": "", "replica": ", one of which may be lost",
            "zone": f", of which one zone of {fleet.zones} may be lost"}  # fmt: skip
    return lost[fleet.survive]


def _least(judged: Judged, fleet: Fleet) -> str:
    size = judged.plan.size
    if judged.plan.name == "hpa-as-is":
        return "what is often set"
    if judged.plan.blocks:
        return f"the quietest part of the schedule{_survived(fleet)}"
    if size.least == 0:
        return "no replica while nothing comes, as was asked"
    text = f"carries every ramp until new replicas answer, {size.reaction_s:.3g} s later"
    if judged.raised is not None:
        text += f"; {judged.raised} followed from the trace, runs showed that it was too few"
    return text + _survived(fleet)


def _most(fleet: Fleet, trace: Trace) -> str:
    if fleet.most is not None:
        return "as was told"
    return (
        f"{HEADROOM:g} times the peak of {trace.peak:.4g} requests/s, at the load aimed at"
        f"{_survived(fleet)}"
    )


def _fixed(fleet: Fleet, trace: Trace) -> str:
    return (
        f"the peak of {trace.peak:.4g} requests/s at {fleet.safe_rate:.4g} a replica"
        f"{_survived(fleet)}"
    )


def _aim(judged: Judged, fleet: Fleet) -> str:
    size, replica = judged.plan.size, fleet.replica
    if judged.plan.name == "hpa-as-is":
        return "what is often set"
    load = replica.load(size.rate)
    text = (
        f"{size.rate:.4g} requests/s a replica, {load:.0%} busy: {fleet.safe_rate:.4g} miss half "
        f"of what {fleet.slo} allows with {replica.concurrency} at a time and service times that "
        f"vary by {replica.cv:.2g} of their mean"
    )
    room = fleet.safe_rate / size.rate
    if room > 1.01:
        text += f"; the {room - 1:.0%} of room is for the control loop's tolerance and for ramps"
    return text
