"""Who is told of which alarm, once, whatever happens between."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from afterfit.core.finding import SEVERITIES
from afterfit.core.sections import AlarmsSection
from afterfit.monitor.actions import NOT_CONCERNED, Action, acted_key
from afterfit.monitor.alarms import Alarms
from afterfit.monitor.channels import Message, Opened, Outbox
from afterfit.monitor.channels.outbox import Patience, Sent
from afterfit.monitor.evidence import Event
from afterfit.monitor.rank import rank
from afterfit.records.signals import Alarm

__all__ = ["Notifier", "due", "failed_channels", "told"]


class Notifier:
    """Offers news to channels and actions, and gives alarms their deliveries.

    ``step`` takes no longer than it takes to look at the open alarms: sending has threads of its
    own. What was under way when a process died is told again by the next one.
    """

    def __init__(
        self,
        alarms: Alarms,
        channels: Mapping[str, Opened],
        actions: Sequence[Action] = (),
        *,
        patience: Patience | None = None,
    ) -> None:
        self._alarms, self._channels = alarms, dict(channels)
        self._actions = {action.name: action for action in actions}
        opened = {
            name: Opened(name, action, action.hidden) for name, action in self._actions.items()
        }
        self._outbox = Outbox(self._channels | opened, patience=patience)
        self._under_way: set[tuple[str, str, str]] = set()

    def step(self, now: int) -> list[Alarm]:
        """Return the alarms with new deliveries, after what is due at ``now`` (µs) was offered.

        To be called after each `Alarms.step`, and every few seconds.
        """
        changed = self._collect()
        for alarm in (*self._alarms.open(), *self._alarms.ending()):
            for name in self._channels:
                self._offer(alarm, name, self._due(alarm, name, now))
        for name, action in self._actions.items():
            self._act(name, action, now)
        for alarm in self._alarms.ending():
            if all(self._finished(alarm, name) for name in self._channels):
                self._alarms.heard(alarm)
        return changed

    def settle(self, stopped: threading.Event) -> list[Alarm]:
        """Return the alarms with new deliveries, after the actions under way are done with.

        They are waited for until ``stopped`` is set: a training may take long.
        """
        changed = {alarm.id: alarm for alarm in self._collect()}
        while any(name in self._actions for _, name, _ in self._under_way):
            if stopped.wait(0.05):
                break
            changed |= {alarm.id: alarm for alarm in self._collect()}
        return list(changed.values())

    def close(self, timeout_s: float = 5.0) -> list[Alarm]:
        """Stop sending, and end commands; returns the alarms that got a last delivery."""
        for action in self._actions.values():
            action.close()
        self._outbox.close(timeout_s)
        return self._collect()

    def _act(self, name: str, action: Action, now: int) -> None:
        """Offer the gravest alarm that asks for an action, where none of its kind is under way."""
        if any(each[1] == name for each in self._under_way):
            return
        for alarm in rank(self._alarms.open()):
            if not action.knows(alarm) and action.wants(alarm, self._alarms, now):
                self._offer(alarm, name, "firing")
                return

    def _due(self, alarm: Alarm, name: str, now: int) -> Event | None:
        repeat_s = float(getattr(self._channels[name].channel, "repeat_s", 0.0))
        return due(alarm, name, self._alarms.settings, now, repeat_us=round(repeat_s * 1e6))

    def _offer(self, alarm: Alarm, name: str, event: Event | None) -> None:
        if event is None or (alarm.id, name, event) in self._under_way:
            return
        self._under_way.add((alarm.id, name, event))
        self._outbox.offer(name, Message(alarm, event))

    def _finished(self, alarm: Alarm, name: str) -> bool:
        under_way = (alarm.id, name, "firing") in self._under_way
        heard = told(alarm, name, "resolved") is not None
        return not under_way and (heard or told(alarm, name, "firing") is None)

    def _collect(self) -> list[Alarm]:
        changed: dict[str, Alarm] = {}
        for sent in self._outbox.drain():
            if sent.last:
                self._under_way.discard((sent.alarm, sent.delivery.channel, sent.event))
                self._cool(sent)
            if (alarm := self._alarms.delivered(sent.alarm, sent.delivery)) is not None:
                changed[alarm.id] = alarm
        return list(changed.values())

    def _cool(self, sent: Sent) -> None:
        name, taken = sent.delivery.channel, sent.delivery.state in ("sent", "dry_run")
        if name in self._actions and taken:
            key = acted_key(name, sent.model, dry_run=sent.delivery.state == "dry_run")
            self._alarms.acted[key] = max(sent.delivery.at, self._alarms.acted.get(key, 0))


def due(
    alarm: Alarm, channel: str, settings: AlarmsSection, now: int, *, repeat_us: int = 0
) -> Event | None:
    """Return what a channel is still to be told of an alarm; None where it knows.

    Nobody hears of one that is silenced or pending. That it is over hears who heard of it. With
    ``repeat_us`` what lasts is told again after so long.
    """
    if alarm.state == "resolved":
        known = told(alarm, channel, "firing") is not None
        return "resolved" if known and told(alarm, channel, "resolved") is None else None
    least = SEVERITIES.index(settings.severity)
    quiet = alarm.state != "firing" or alarm.silenced
    if quiet or SEVERITIES.index(alarm.severity) < least:
        return None
    last = told(alarm, channel, "firing")
    again = repeat_us > 0 and last is not None and now - last >= repeat_us
    return "firing" if last is None or again else None


def told(alarm: Alarm, channel: str, event: Event) -> int | None:
    """Return when (µs) a channel was last told, or given up; None where neither was."""
    at = [
        delivery.at
        for delivery in alarm.deliveries
        if delivery.channel == channel
        and delivery.state != "failed"
        and delivery.message.partition(":")[0] == event
    ]
    return max(at, default=None)


def failed_channels(alarms: Iterable[Alarm]) -> dict[str, str]:
    """Return the channels whose last news were given up, with why."""
    last = {
        delivery.channel: delivery
        for delivery in sorted((d for a in alarms for d in a.deliveries), key=lambda d: d.at)
    }
    return {
        name: each.message
        for name, each in last.items()
        if each.state == "dropped" and not each.message.endswith(NOT_CONCERNED)
    }
