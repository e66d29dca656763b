"""The columns that are judged together, in one window: the points of each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from afterfit.core.fingerprint import ColumnCounts, Fingerprint
from afterfit.core.metric import in_percent
from afterfit.monitor.bins import LEAST_PRESENT, Group, line_of
from afterfit.monitor.calibrate import LEAST_REFERENCE, Calibration
from afterfit.monitor.moved import Moved, moved
from afterfit.monitor.signals.drift_config import DriftConfig
from afterfit.monitor.signals.drift_shares import Share, shares_of
from afterfit.records.signals import PointState, Scope, SignalPoint
from afterfit.stats.surprise import Law, deviation, share, surprising_count

__all__ = ["FamilyWindow"]

UNIT = "share of rows"


class FamilyWindow:
    """One family in one window while it is judged."""

    def __init__(
        self,
        reference: Fingerprint,
        live: Sequence[ColumnCounts],
        calibration: Calibration,
        config: DriftConfig,
        scope: Scope,
        span: tuple[int, int],
    ) -> None:
        self.reference, self.config, self.calibration = reference, config, calibration
        self.n, self.n_ref = max(counts.total for counts in live), reference.n_ref
        self.scope, self.span = scope, span
        self.chance = config.chance(*span)

    def family(
        self,
        family: str,
        line: np.ndarray,
        groups: Sequence[Group],
        columns: Sequence[ColumnCounts],
        live: Sequence[ColumnCounts],
    ) -> Iterator[SignalPoint]:
        """Yield the points of columns that are judged together."""
        after = line_of(live)
        by_name = {old.name: (old, new) for old, new in zip(columns, live, strict=True)}
        limit = self.calibration.threshold(family, self.n, self.chance)
        for group in groups:
            found = group.surprises(line[None], after[None], self.n)
            law = group.law(self.n)
            pairs = group.counts(line), group.counts(after)
            for i, column in enumerate(group.columns):
                old, new = by_name[column.name]
                bins = slice(0, column.bins)
                change = moved(old, pairs[0][i, bins], pairs[1][i, bins], int(found.place[0, i]))
                ratio = _ratio(found, law, i, column.bins, limit)
                worst = float(max(found.shape[0, i], found.spike[0, i]))
                yield self._drift(family, old, new, change, ratio, worst)
        if family == "inputs":
            found_shares = [each for pair in by_name.values() for each in shares_of(*pair)]
            yield from self._shares([each for each in found_shares if each.both], limit)
            yield from self._shares([each for each in found_shares if not each.both], limit)

    def _drift(
        self,
        family: str,
        old: ColumnCounts,
        new: ColumnCounts,
        change: Moved,
        ratio: float,
        worst: float,
    ) -> SignalPoint:
        signal = "output" if family == "output" else "drift"
        subject = "" if family == "output" else old.name
        least = self.config.least_of.get(old.name, self.config.least)
        state, needed, why = self._state(old, new)
        if state != "ok":
            return self._point(signal, subject, state, n=_present(new), needed=needed, message=why)
        if ratio < 1 and change.share >= least:
            state = "alarm"
        return self._point(
            signal,
            subject,
            state,
            n=_present(new),
            value=change.share,
            usual=0.0,
            threshold=min(1.0, change.share * ratio) if math.isfinite(ratio) else None,
            least=least,
            message=change.told() if state == "alarm" else "",
            evidence=self._evidence(family, old, new, worst),
        )

    def _shares(self, shares: Sequence[Share], limit: float) -> Iterator[SignalPoint]:
        """Yield the points of shares that are all judged on both sides, or all on one."""
        if not shares:
            return
        r, n_ref, k, n = np.array([(*s.before, *s.after) for s in shares], np.int64).T
        both = shares[0].both
        more = (k / np.maximum(n, 1) >= r / n_ref) | (not both)
        surprises = share(r, n_ref, k, n, more_only=not both)
        beyond = surprising_count(r, n_ref, n, limit, more=more, more_only=not both)
        # The last count that is still usual, so that what is beyond it is an alarm.
        last = np.where(more, beyond - 1, beyond + 1)
        for each, surprise, usual in zip(shares, surprises, last, strict=True):
            yield self._share(each, float(surprise), int(usual), limit)

    def _share(self, each: Share, surprise: float, last: int, limit: float) -> SignalPoint:
        (r, n_ref), (k, n) = each.before, each.after
        state, needed, why = self._enough(n)
        if state != "ok":
            return self._point(each.signal, each.subject, state, n=n, needed=needed, message=why)
        usual, value = r / n_ref, k / n
        least = self.config.least_of.get(each.subject, self.config.least_share)
        far = surprise > limit and (value > usual or each.both) and abs(value - usual) >= least
        told = f"{in_percent(value, 2)} of {n} rows, usually {in_percent(usual, 2)}" if far else ""
        return self._point(
            each.signal,
            each.subject,
            "alarm" if far else "ok",
            n=n,
            value=value,
            usual=usual,
            threshold=last / n,
            least=least,
            message="; ".join(filter(None, (told, each.note))),
            evidence=self._chance("inputs", surprise) if far else {},
        )

    def flagged(self, count: int, n: int) -> SignalPoint:
        """Return the point of ``count`` of ``n`` rows with any value out of the reference's range.

        A row beyond both ends of so many exchangeable ones is as rare as two of the reference's
        own in each column (Wilks 1941, Ann. Math. Stat. 12:91).
        """
        numbers = sum(c.kind in ("number", "integer") for c in self.reference.columns)
        limit = self.calibration.threshold("inputs", self.n, self.chance)
        r = min(2 * numbers, self.n_ref)
        flagged = Share("range", "", (r, self.n_ref), (count, n))
        return next(self._shares([flagged], limit))

    def _enough(self, n: int) -> tuple[PointState, int, str]:
        if n < self.config.min_rows:
            return "insufficient", self.config.min_rows, f"{n} rows are too few"
        if n > self.n_ref:
            parts = -(-n // self.n_ref)
            why = (
                f"a window of {n} rows is larger than the reference of {self.n_ref}, whose own "
                f"noise it would take for drift: make {parts} windows of it ([monitor] window), "
                "or give a reference of more rows"
            )
            return "cannot_tell", 0, why
        return "ok", 0, ""

    def _state(self, old: ColumnCounts, new: ColumnCounts) -> tuple[PointState, int, str]:
        if old.kind == "text":
            return "not_applicable", 0, "free text has no distribution"
        if _present(old) < LEAST_REFERENCE:
            return "not_applicable", 0, f"the reference has {_present(old)} values of it only"
        found = self._enough(new.total)
        if found[0] == "ok" and _present(new) < LEAST_PRESENT:
            usual = _present(old) / old.total
            needed = max(self.config.min_rows, math.ceil(LEAST_PRESENT / usual))
            return "insufficient", needed, f"{_present(new)} values are too few"
        return found

    def _evidence(
        self, family: str, old: ColumnCounts, new: ColumnCounts, surprise: float
    ) -> dict[str, Any]:
        """Return what plots need: shares by bin, and how often chance does as much."""
        if old.kind == "category":
            bins: dict[str, Any] = {"categories": [*old.categories, "rare or new"]}
        else:
            bins = {"edges": old.edges}
        pairs = (("before", old), ("after", new))
        shares = {name: _rounded(line_of([counts])[:-2]) for name, counts in pairs}
        return bins | shares | self._chance(family, surprise)

    def _chance(self, family: str, surprise: float) -> dict[str, Any]:
        """Return in what share of windows a column of this family is by chance as surprising."""
        chance = self.calibration.chance(family, self.n, surprise)
        return {"chance": chance, "asked": self.chance, "method": self.calibration.method}

    def _point(self, signal: str, subject: str, state: PointState, **said: Any) -> SignalPoint:
        start, end = self.span
        return SignalPoint(
            signal=signal,
            subject=subject,
            scope=self.scope,
            start=start,
            end=end,
            state=state,
            unit=UNIT,
            **said,
        )


def _ratio(found: Any, law: Law, i: int, bins: int, limit: float) -> float:
    """Return how many times its change a column would need to reach the limit; below 1 alarms.

    A statistic of squares grows with the square of a change, a deviate in proportion to it.
    """
    ratios = [math.inf]
    statistic, spike = float(found.statistic[0, i]), float(found.spike[0, i])
    if found.shape[0, i] > 0 and statistic > 0:
        ratios.append(math.sqrt(max(0.0, float(law.value(limit)[i])) / statistic))
    if spike > 0:
        worth = math.log(bins)
        ratios.append(
            float(deviation(np.array(limit + worth)) / deviation(np.array(spike + worth)))
        )
    return min(ratios)


def _present(counts: ColumnCounts) -> int:
    return counts.finite + counts.new + counts.other + sum(counts.categories.values())


def _rounded(counts: np.ndarray) -> list[float]:
    return [float(f"{value:.4g}") for value in counts / max(1.0, counts.sum())]
