"""What is done about an alarm: each action with a guard, a cool-down and a line in the audit log.

An action is a channel that does something, so it is tried, bounded and seen as one. With dry run,
which is the default, it says what it would do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from afterfit.core.sections import AlarmsSection
from afterfit.monitor.alarms import Alarms
from afterfit.monitor.channels import DryRun, Message, Opened, Refused
from afterfit.monitor.command import Command
from afterfit.monitor.evidence import scope_text, title
from afterfit.monitor.runbooks import HARM
from afterfit.monitor.silence import Audit
from afterfit.records.signals import Alarm, SignalPoint

__all__ = [
    "NOT_CONCERNED",
    "Action",
    "Hands",
    "PauseCanary",
    "Retrain",
    "Rollback",
    "acted_key",
    "surely_beyond",
]

WHO = "afterfit monitor"
HOUR_US = 3_600_000_000
NOT_CONCERNED = ("is not the champion", "is not a canary")
"""How an action ends that an alarm was not for."""


class Hands(Protocol):
    """What an action may touch; the workspace gives it. Every method may raise AfterfitError."""

    def champion(self, model: str) -> str:
        """Return the digest of the version that is champion, empty where none is."""
        ...

    def before(self, model: str) -> int:
        """Return the number of the version that a rollback goes back to, 0 where there is none."""
        ...

    def canary(self, model: str) -> str:
        """Return the digest of the version that gets a share of the requests, empty for none."""
        ...

    def rollback(self, model: str, *, digest: str, why: str) -> str:
        """Take the champion away from a version; returns what happened in a few words."""
        ...

    def pause_canary(self, model: str, *, digest: str, why: str) -> str:
        """Give a canary no more requests; returns what happened in a few words."""
        ...

    def ship(self, model: str, path: Path, *, why: str) -> str:
        """Ship a model's new file and make it ``challenger``; returns what happened."""
        ...


class Action(ABC):
    """An action: `wants` is its guard, and ``send`` does it, or says what it would do.

    ``name`` is the one of the settings.
    """

    name = ""
    hidden: tuple[str, ...] = ()
    """What no log and no record may show."""

    def __init__(self, settings: AlarmsSection, hands: Hands, audit: Audit) -> None:
        self.settings, self.hands, self.audit = settings, hands, audit

    def wants(self, alarm: Alarm, alarms: Alarms, now: int) -> bool:
        """Return whether the alarm asks for it, and none was taken lately; ``now`` in µs."""
        key = acted_key(self.name, alarm.scope.model, dry_run=self.settings.dry_run)
        last = alarms.acted.get(key)
        cool = last is None or now - last >= self.settings.cool_down_hours * HOUR_US
        awake = alarm.state == "firing" and not alarm.silenced and bool(alarm.scope.model)
        return cool and awake and self._guard(alarm, alarms.alarmed(alarm))

    def knows(self, alarm: Alarm) -> bool:
        """Return whether it is done with an alarm: what it would have done is not done yet."""
        return any(
            delivery.channel == self.name
            and delivery.state != "failed"
            and (self.settings.dry_run or delivery.state != "dry_run")
            for delivery in alarm.deliveries
        )

    def send(self, message: Message) -> str:
        """Return what was done; raises DryRun, Refused, or an error that may pass."""
        alarm = message.alarm
        plan = self._plan(alarm)
        if self.settings.dry_run:
            self._note(alarm, f"would {plan}", dry_run=True)
            raise DryRun(f"would {plan}")
        done = self._do(message)
        self._note(alarm, done, dry_run=False)
        return done

    def close(self) -> None:  # noqa: B027 - most actions have nothing under way
        """End what is under way."""

    @abstractmethod
    def _guard(self, alarm: Alarm, points: Sequence[SignalPoint]) -> bool:
        """Return whether the evidence is strong enough for it."""

    @abstractmethod
    def _plan(self, alarm: Alarm) -> str:
        """Return what it would do, as "would ..." goes on; raises Refused where it cannot."""

    @abstractmethod
    def _do(self, message: Message) -> str:
        """Do it; returns what happened in a few words."""

    def _note(self, alarm: Alarm, outcome: str, *, dry_run: bool) -> None:
        details = {"action": self.name, "alarm": alarm.id, "dry_run": dry_run, "outcome": outcome}
        self.audit.note("monitor_action", who=WHO, name=alarm.scope.model,
                        why=title(alarm, "firing"), details=details)  # fmt: skip


class Rollback(Action):
    """Goes back to the version before, on confirmed harm alone.

    Harm is quality on labels, a gate or errors, of all rows, whose whole interval is beyond the
    threshold in as many windows as ``confirm_windows``. Drift of inputs, however great, is none.
    """

    name = "rollback"

    def _guard(self, alarm: Alarm, points: Sequence[SignalPoint]) -> bool:
        sure = sum(map(surely_beyond, points))
        whole = not alarm.scope.slice and bool(alarm.scope.digest)
        return alarm.signal in HARM and whole and sure >= self.settings.confirm_windows

    def _plan(self, alarm: Alarm) -> str:
        scope = alarm.scope
        if self.hands.champion(scope.model) != scope.digest:
            raise Refused(f"{scope_text(scope)} {NOT_CONCERNED[0]}")
        before = self.hands.before(scope.model)
        if not before:
            raise Refused(f"{scope.model} has no version before to go back to")
        return f"roll back {scope.model} from version {scope.version} to {before}"

    def _do(self, message: Message) -> str:
        scope = message.alarm.scope
        why = f"alarm {message.alarm.id}: {message.title}"
        return self.hands.rollback(scope.model, digest=scope.digest, why=why)


class PauseCanary(Action):
    """Gives a canary no more requests, on harm that one window makes sure."""

    name = "pause_canary"

    def _guard(self, alarm: Alarm, points: Sequence[SignalPoint]) -> bool:
        sure = any(map(surely_beyond, points))
        return alarm.signal in HARM and not alarm.scope.slice and bool(alarm.scope.digest) and sure

    def _plan(self, alarm: Alarm) -> str:
        scope = alarm.scope
        if self.hands.canary(scope.model) != scope.digest:
            raise Refused(f"{scope_text(scope)} {NOT_CONCERNED[1]}")
        return f"give the canary {scope.model}@{scope.version} no more requests"

    def _do(self, message: Message) -> str:
        scope = message.alarm.scope
        why = f"alarm {message.alarm.id}: {message.title}"
        return self.hands.pause_canary(scope.model, digest=scope.digest, why=why)


class Retrain(Action):
    """Asks for a new model, which goes through ``ship`` and becomes ``challenger``.

    By harm as for a canary, or where the estimated loss is surely one. ``retrain`` of the settings
    is a command, or ``channel:NAME``: then the channel gets the evidence, and whoever listens there
    ships the model. A command is run once for an alarm, whatever becomes of it.
    """

    name = "retrain"

    def __init__(
        self,
        settings: AlarmsSection,
        hands: Hands,
        audit: Audit,
        *,
        folder: Path,
        channel: Opened | None = None,
    ) -> None:
        super().__init__(settings, hands, audit)
        self._channel = channel
        self.hidden = () if channel is None else channel.hidden
        self._command = Command(settings.retrain, folder, settings.retrain_seconds)

    def close(self) -> None:
        """End a command that runs."""
        self._command.stop()

    def _guard(self, alarm: Alarm, points: Sequence[SignalPoint]) -> bool:
        losses = [p.loss.low for p in points if p.loss is not None and p.loss.low is not None]
        harm = alarm.signal in HARM and any(map(surely_beyond, points))
        return harm or any(low > 0 for low in losses)

    def _plan(self, alarm: Alarm) -> str:
        by = self.settings.retrain[0] if self.settings.retrain else "nothing"
        return f"ask {by} for a new model of {alarm.scope.model}"

    def _do(self, message: Message) -> str:
        if self._channel is not None:
            told = self._channel.channel.send(Message(message.alarm, "retrain"))
            return told or f"{self._channel.name} was asked for a new model"
        path = self._command.run(message)
        try:
            why = f"alarm {message.alarm.id}: {message.title}"
            return self.hands.ship(message.alarm.scope.model, path, why=why)
        except Exception as error:
            raise Refused(f"the new model did not ship: {error}") from error


def surely_beyond(point: SignalPoint) -> bool:
    """Return whether the whole interval is on the bad side of the threshold, the value's side."""
    if point.low is None or point.high is None or point.threshold is None or point.value is None:
        return False
    above = point.value > point.threshold and point.low > point.threshold
    return above or (point.value < point.threshold and point.high < point.threshold)


def acted_key(action: str, model: str, *, dry_run: bool) -> str:
    """Return by what the time of an action is kept; one that would have been taken cools none."""
    return f"would {action} {model}" if dry_run else f"{action} {model}"
