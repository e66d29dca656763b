"""One message by a channel, to see whether it arrives."""

from __future__ import annotations

from afterfit.monitor.channels.base import Message, Refused
from afterfit.monitor.channels.opening import Opened
from afterfit.monitor.runbooks import runbook_of
from afterfit.records.signals import Alarm, Delivery, Scope, SignalPoint

__all__ = ["try_channel"]


def try_channel(opened: Opened, now: int) -> Delivery:
    """Return what became of one message, tried once; ``now`` is µs since 1970."""
    point = SignalPoint(
        signal="test", scope=Scope(model="nothing"), start=now, end=now, n=0, state="ok",
        message="this is a test: nothing is wrong",
    )  # fmt: skip
    alarm = Alarm(
        signal="test", scope=point.scope, state="firing", severity="info", opened=now, updated=now,
        worst=point, runbook=runbook_of("test"),
    )  # fmt: skip
    state = "sent"
    try:
        why = opened.channel.send(Message(alarm, "test"))
    except Refused as error:
        state, why = "dropped", str(error)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        state, why = "failed", str(error).replace("\n", ";")
    return Delivery(
        channel=opened.name,
        at=now,
        state=state,  # type: ignore[arg-type] # one of its words
        message=opened.scrubbed(why)[:500],
    )
