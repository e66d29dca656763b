"""Alarms: from points of signals to what somebody must know, and when it is over.

A pure reducer. The same points in any number of calls give the same alarms with the same names,
so that a monitor that was killed and reads a window again repeats none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from afterfit.core.sections import AlarmsSection
from afterfit.monitor.rank import worse
from afterfit.monitor.runbooks import runbook_of, severity_of
from afterfit.monitor.silence import Quiet
from afterfit.records.signals import Alarm, Delivery, Scope, SignalPoint

__all__ = ["Alarms", "AlarmsState", "Series", "Window"]

Verdict = Literal["alarm", "between", "good"]
MOST_DELIVERIES = 50
"""Of one alarm: the newest stay."""
MOST_ENDING = 1_000
MOST_SERIES = 20_000
"""Those without an alarm that were quiet for longest are forgotten first."""


class Window(msgspec.Struct, frozen=True):
    """What one window said of a signal; ``end`` is µs since 1970."""

    start: int
    end: int
    verdict: Verdict
    point: SignalPoint | None = None


class Series(msgspec.Struct):
    """One signal of one thing: its last windows that had an answer, and its alarm if it has one.

    Windows that ended by ``after`` belong to an alarm that is over.
    """

    signal: str
    subject: str
    scope: Scope
    windows: list[Window] = []
    alarm: Alarm | None = None
    after: int = 0

    @property
    def newest(self) -> int:
        """Return the end of its last window, µs since 1970."""
        return max([self.after, *(window.end for window in self.windows)])


class AlarmsState(msgspec.Struct):
    """All that must be kept over a restart.

    ``ending`` are alarms that are over and of which somebody may still have to hear. ``acted`` says
    when an action was last taken, by its name and model, in µs since 1970.
    """

    series: list[Series] = []
    ending: list[Alarm] = []
    acted: dict[str, int] = {}


class Alarms:
    """The alarms of one endpoint: ``step`` takes points and returns what changed.

    ``quiet`` says what is kept from people; alarms go on below it. Points that say nothing
    (``insufficient``, ``cannot_tell``, ``not_applicable``) neither fire nor end an alarm.
    """

    def __init__(
        self,
        settings: AlarmsSection | None = None,
        state: AlarmsState | None = None,
        *,
        quiet: Quiet | None = None,
    ) -> None:
        self.settings = AlarmsSection() if settings is None else settings
        self.quiet = Quiet() if quiet is None else quiet
        state = AlarmsState() if state is None else state
        self.acted = dict(state.acted)
        self._ending = {alarm.id: alarm for alarm in state.ending}
        self._series = {(each.signal, each.subject, each.scope): each for each in state.series}

    def step(self, points: Iterable[SignalPoint], now: int) -> list[Alarm]:
        """Return the alarms that are new or changed by the points, or by the time (µs) alone.

        A window that is told again takes the place of what it said before, as when more labels of
        it came in; one that is older than those that count is passed over.
        """
        changed: dict[str, Alarm] = {}
        for point in sorted(points, key=lambda each: (each.end, each.signal, each.subject)):
            if (alarm := self._take(point, now)) is not None:
                changed[alarm.id] = alarm
        for series in self._series.values():
            if series.alarm is None:
                continue
            silenced = self.quiet.of(series.alarm, now)
            if silenced != series.alarm.silenced:
                series.alarm = msgspec.structs.replace(series.alarm, silenced=silenced)
                changed[series.alarm.id] = series.alarm
        self._forget()
        return list(changed.values())

    def end(self, why: Callable[[Alarm], str], now: int) -> list[Alarm]:
        """Return the alarms that are over for a reason of their own, empty text for none.

        ``now`` (µs) ends them, and windows up to then say nothing more of their series.
        """
        ended = []
        for series in self._series.values():
            reason = "" if series.alarm is None else why(series.alarm)
            if series.alarm is None or not reason:
                continue
            alarm = msgspec.structs.replace(_over(series.alarm, now), ended=reason)
            if alarm.deliveries:
                self._ending[alarm.id] = alarm
            series.after, series.windows, series.alarm = max(now, series.newest), [], None
            ended.append(alarm)
        return ended

    def open(self) -> list[Alarm]:
        """Return the alarms that are not over, pending ones included."""
        return [each.alarm for each in self._series.values() if each.alarm is not None]

    def alarmed(self, alarm: Alarm) -> tuple[SignalPoint, ...]:
        """Return the alarm's points among the last windows, as many as settings ask about."""
        series = self._series.get((alarm.signal, alarm.subject, alarm.scope))
        windows = () if series is None else series.windows
        return tuple(window.point for window in windows if window.point is not None)

    def ending(self) -> list[Alarm]:
        """Return the alarms that are over and of which somebody may still have to hear."""
        return list(self._ending.values())

    def heard(self, alarm: Alarm) -> None:
        """Take note that everybody knows that an alarm is over."""
        self._ending.pop(alarm.id, None)

    def delivered(self, alarm_id: str, delivery: Delivery) -> Alarm | None:
        """Return the alarm with one more delivery; None for one that is forgotten."""
        for series in self._series.values():
            if series.alarm is not None and series.alarm.id == alarm_id:
                series.alarm = _with(series.alarm, delivery)
                return series.alarm
        if alarm_id in self._ending:
            self._ending[alarm_id] = _with(self._ending[alarm_id], delivery)
        return self._ending.get(alarm_id)

    def state(self) -> AlarmsState:
        """Return what to keep: plain values that msgspec writes and reads."""
        return AlarmsState(
            series=list(self._series.values()), ending=self.ending(), acted=dict(self.acted)
        )

    def _take(self, point: SignalPoint, now: int) -> Alarm | None:
        """Return the series' alarm where the point changed it, ended ones included."""
        known = self._series.get(point.key)
        verdict = _verdict(point, known, self.settings.hysteresis)
        if verdict is None or (known is None and verdict != "alarm"):
            return None
        series = known or Series(point.signal, point.subject, point.scope)
        if not self._add(series, point, verdict):
            return None
        self._series[point.key] = series
        before = series.alarm
        series.alarm = self._next(series, now)
        alarm = series.alarm
        if alarm is not None and alarm.state == "resolved":
            if alarm.deliveries:
                self._ending[alarm.id] = alarm
            series.after, series.windows, series.alarm = point.end, [], None
        return alarm if alarm != before else None

    def _add(self, series: Series, point: SignalPoint, verdict: Verdict) -> bool:
        """Return whether the window is news; it then stands in its place in time."""
        told = self.settings
        keep = max(told.of, told.good_windows, told.confirm_windows)
        if point.end <= series.after:
            return False
        others = [window for window in series.windows if window.end != point.end]
        new = Window(point.start, point.end, verdict, point if verdict == "alarm" else None)
        if new in series.windows:
            return False
        if len(others) >= keep and point.end < others[0].end:
            return False
        series.windows = sorted([*others, new], key=lambda each: each.end)[-keep:]
        return True

    def _next(self, series: Series, now: int) -> Alarm | None:
        """Return what the last windows make of the alarm; one that is over says so once."""
        last = series.windows[-self.settings.of :]
        alarmed = [window for window in last if window.verdict == "alarm"]
        if series.alarm is None:
            return self._opened(series, alarmed, now) if alarmed else None
        alarm = _updated(series.alarm, series.windows)
        if alarm.state == "pending":
            if not alarmed:
                return _over(alarm, series.windows[-1].end)
            if len(alarmed) >= self.settings.windows:
                return msgspec.structs.replace(alarm, state="firing")
            return alarm
        good = series.windows[-self.settings.good_windows :]
        if len(good) == self.settings.good_windows and all(g.verdict == "good" for g in good):
            return _over(alarm, good[-1].end)
        return alarm

    def _opened(self, series: Series, alarmed: Sequence[Window], now: int) -> Alarm:
        points = [window.point for window in alarmed if window.point is not None]
        worst = max(points, key=worse)
        alarm = Alarm(
            signal=series.signal,
            subject=series.subject,
            scope=series.scope,
            state="firing" if len(alarmed) >= self.settings.windows else "pending",
            severity=severity_of(worst),
            opened=alarmed[0].start,
            updated=alarmed[-1].end,
            windows=len(alarmed),
            worst=worst,
            runbook=runbook_of(series.signal),
        )
        return msgspec.structs.replace(alarm, silenced=self.quiet.of(alarm, now))

    def _forget(self) -> None:
        quiet = [key for key, each in self._series.items() if each.alarm is None]
        quiet.sort(key=lambda key: self._series[key].newest)
        for key in quiet[: max(0, len(self._series) - MOST_SERIES)]:
            del self._series[key]
        for name in list(self._ending)[: max(0, len(self._ending) - MOST_ENDING)]:
            del self._ending[name]


def _verdict(point: SignalPoint, series: Series | None, hysteresis: float) -> Verdict | None:
    """Return what a window says; None where it has no answer.

    A value that came back under the threshold is good only by ``hysteresis`` of the way from there
    to what is usual.
    """
    if point.state == "alarm":
        return "alarm"
    if point.state != "ok":
        return None
    worst = series.alarm.worst if series is not None and series.alarm is not None else None
    if worst is None or point.value is None or point.threshold is None or point.usual is None:
        return "good"
    bound = point.threshold + hysteresis * (point.usual - point.threshold)
    # Which side is the bad one: drift and latency alarm upwards, quality alarms downwards.
    upwards = point.threshold >= point.usual
    back = point.value <= bound if upwards else point.value >= bound
    return "good" if back else "between"


def _updated(alarm: Alarm, windows: Sequence[Window]) -> Alarm:
    """Return the alarm with what the windows that it has not seen yet say."""
    new = [w for w in windows if w.verdict == "alarm" and w.end > alarm.updated]
    # A window that was told anew counts no second time, yet may be the worst one.
    points = [w.point for w in windows if w.point is not None]
    worst = max([alarm.worst, *points], key=worse)
    return msgspec.structs.replace(
        alarm,
        updated=max([alarm.updated, *(w.end for w in new)]),
        windows=alarm.windows + len(new),
        worst=worst,
        severity=severity_of(worst),
    )


def _with(alarm: Alarm, delivery: Delivery) -> Alarm:
    kept = (*alarm.deliveries, delivery)[-MOST_DELIVERIES:]
    return msgspec.structs.replace(alarm, deliveries=kept)


def _over(alarm: Alarm, end: int) -> Alarm:
    return msgspec.structs.replace(alarm, state="resolved", resolved=end, updated=end)
