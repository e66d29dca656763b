"""Whether predictions and labels still come, who answers, and how fast budgets of errors burn."""

from __future__ import annotations

from afterfit.monitor.batches import Batch, Labels
from afterfit.monitor.budget import Budget
from afterfit.monitor.cut import HOUR
from afterfit.monitor.log import iso
from afterfit.monitor.settings import Watch
from afterfit.monitor.setup import Kept
from afterfit.monitor.signals.service import burn_points
from afterfit.monitor.signals.timely import timely_points
from afterfit.monitor.tempo import TICK, Rhythm, Tempo
from afterfit.monitor.usage import usage_points
from afterfit.records.signals import Alarm, Scope, SignalPoint

__all__ = ["Pulse", "scope_of_model", "whole"]

MOST_HOURS = 31 * 24
"""So many hours back silence is looked for after the daemon itself was away."""
MOST_VERSIONS = 100
"""Of a model: those that answered last are known."""


class Pulse:
    """The pace of an endpoint's versions, from and to what a daemon keeps."""

    def __init__(self, kept: Kept, watch: Watch) -> None:
        self._kept, self._watch = kept, watch
        self.tempos = {each.scope: each for each in kept.tempos}
        self.rhythms = {each.scope: each for each in kept.rhythms}

    def take(self, item: Batch | Labels) -> None:
        """Add predictions, none of them of the future, or labels."""
        if isinstance(item, Labels):
            for rhythm in self.rhythms.values():
                if item.model in ("", rhythm.scope.model):
                    rhythm.update(item)
            return
        scope = whole(item.scope)
        if item.role != "shadow":
            self.tempos.setdefault(scope, Tempo(scope=scope)).update(item, self._watch.objectives)
        model = scope_of_model(scope)
        self.rhythms.setdefault(model, Rhythm(scope=model)).update(item)
        if len(item):
            self._answered(scope, int(item.ts.max()))

    def keep(self) -> None:
        """Put everything where it is kept."""
        self._kept.tempos = list(self.tempos.values())
        self._kept.rhythms = list(self.rhythms.values())

    def silence(self, now: int, budget: Budget) -> list[SignalPoint]:
        """Return what each hour that is over says of silence and of what a server used, once."""
        progress, watch = self._kept.progress, self._watch
        last = (now - watch.grace_us) // HOUR * HOUR - HOUR
        firsts = [min(r.predictions) for r in self.rhythms.values() if r.predictions]
        if not firsts or last <= progress.hour:
            return []
        first = max(progress.hour + HOUR, min(firsts), last - MOST_HOURS * HOUR)
        points: list[SignalPoint] = []
        for hour in range(first, last + HOUR, HOUR):
            chance = budget.per_window(hour, hour + HOUR)
            for rhythm in self.rhythms.values():
                points += timely_points(rhythm, hour, chance, usd_per_hour=watch.usd_per_hour)
            points += usage_points(self._kept.usage, next(iter(self.rhythms)), hour)
        progress.hour = last
        return points

    def burn(self, now: int) -> list[SignalPoint]:
        """Return how fast the budgets of errors burn, every five minutes."""
        tick = now // TICK * TICK
        if not self._watch.objectives or tick <= self._kept.progress.tick:
            return []
        self._kept.progress.tick = tick
        return [
            point
            for tempo in self.tempos.values()
            if any(start >= tick - 7 * HOUR for start in tempo.bins)
            for point in burn_points(tempo, self._watch.objectives, now)
        ]

    def gone(self, alarm: Alarm, windows: int) -> str:
        """Return why an alarm's version is over; empty while it answers, or while nobody does.

        It is where another version of its model answered ``windows`` windows (hours, where windows
        are by count) after its own last prediction: what nobody is served harms nobody.
        """
        scope, model = alarm.scope, self._kept.answered.get(alarm.scope.model, {})
        name = _name(scope)
        if not scope.digest and not scope.version:
            return ""
        last = model.get(name, alarm.updated)
        others = {other: ts for other, ts in model.items() if other != name}
        if not others:
            return ""
        newest = max(others, key=lambda other: others[other])
        if others[newest] - last < windows * (self._watch.width_us or HOUR):
            return ""
        number = newest.partition(" ")[0]
        return (
            f"version {scope.version} has answered nothing since {iso(last)}; "
            f"version {number} answers"
        )

    def _answered(self, scope: Scope, ts: int) -> None:
        known = self._kept.answered.setdefault(scope.model, {})
        name = _name(scope)
        known[name] = max(ts, known.get(name, 0))
        for old in sorted(known, key=lambda each: known[each])[:-MOST_VERSIONS]:
            del known[old]


def whole(scope: Scope) -> Scope:
    """Return the scope of all rows of a version."""
    return Scope(
        endpoint=scope.endpoint, model=scope.model, version=scope.version, digest=scope.digest
    )


def scope_of_model(scope: Scope) -> Scope:
    """Return the scope of all versions of a model."""
    return Scope(endpoint=scope.endpoint, model=scope.model)


def _name(scope: Scope) -> str:
    return f"{scope.version} {scope.digest}"
