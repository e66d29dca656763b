"""Drift of columns and of the output, missing values, new categories, values out of range.

All of a version's input columns are one family with one chance of a false alarm a window: the
threshold is what the most surprising of them exceeds so seldom. The output is a family of its own.
A point is an alarm where it is that surprising and also large enough to be worth knowing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from afterfit.core.digest import digest_of
from afterfit.core.fingerprint import ColumnCounts, Fingerprint
from afterfit.core.metric import in_percent
from afterfit.errors import ConfigError, InputError
from afterfit.monitor.bins import LEAST_PRESENT, Group, families, groups_of, line_of
from afterfit.monitor.budget import Budget
from afterfit.monitor.calibrate import LEAST_REFERENCE, LEAST_ROWS, Calibration
from afterfit.monitor.moved import Moved, moved
from afterfit.records.signals import PointState, Scope, SignalPoint
from afterfit.stats.surprise import Law, deviation, share, surprising_count

__all__ = ["DriftConfig", "DriftJudge", "drift_points"]

UNIT = "share of rows"


class DriftConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is a drift worth an alarm.

    ``budget`` is divided over windows; of windows by count ``windows_per_month`` says how many
    there are, else it is a month over the window's length. Below ``min_rows`` rows nothing is said.
    ``least`` is the smallest effect worth knowing: the share of a column's values that lies
    elsewhere (a normal column moved by d standard deviations: about 0.4 d); ``least_share`` that of
    the share of rows that are missing, new or out of range. ``least_of`` has it by column.
    """

    budget: Budget = Budget()
    windows_per_month: float | None = None
    min_rows: int = 100
    least: float = 0.05
    least_share: float = 0.01
    least_of: dict[str, float] = {}

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that mean nothing."""
        shares = {"least": self.least, "least_share": self.least_share, **self.least_of}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ConfigError(
                    "the smallest effect is out of range",
                    where=f"monitor.{name}",
                    why="it is a share of rows",
                    fix="a number from 0 to 1",
                )
        if self.min_rows < LEAST_ROWS:
            raise ConfigError(
                "min_rows is out of range",
                where="monitor.min_rows",
                why="no threshold was calibrated for fewer rows",
                fix=f"{LEAST_ROWS} or more",
            )

    def chance(self, start: int, end: int) -> float:
        """Return the chance of a false alarm of one family in a window (µs, end excluded)."""
        if self.windows_per_month is not None:
            return self.budget.of_windows(self.windows_per_month)
        return self.budget.per_window(start, end)


def drift_points(
    reference: Fingerprint,
    counts: Fingerprint,
    calibration: Calibration,
    scope: Scope,
    span: tuple[int, int],
    config: DriftConfig | None = None,
    *,
    flags: Mapping[str, int] | None = None,
) -> list[SignalPoint]:
    """Return the points of one window; see `DriftJudge`, which many windows of one version need."""
    judge = DriftJudge(reference, calibration, config)
    return judge.points(counts, scope, span, flags=flags)


class DriftJudge:
    """Judges windows of one version beside its reference."""

    def __init__(
        self, reference: Fingerprint, calibration: Calibration, config: DriftConfig | None = None
    ) -> None:
        """Raise InputError for a calibration of another reference."""
        if calibration.reference != digest_of(reference):
            raise InputError(
                "the calibration is of another reference",
                why="thresholds of other columns promise nothing",
                fix="calibrate anew: afterfit.monitor.calibrate",
            )
        self._reference = reference
        self._calibration = calibration
        self._config = config or DriftConfig()
        self._groups = {
            family: (line_of(columns), groups_of(columns))
            for family, columns in families(reference)
        }

    def points(
        self,
        counts: Fingerprint,
        scope: Scope,
        span: tuple[int, int],
        *,
        flags: Mapping[str, int] | None = None,
        flags_n: int | None = None,
    ) -> list[SignalPoint]:
        """Return the points of a window, of every column and of the output.

        Signals are ``drift``, ``missing``, ``new_category``, ``range`` and ``output``. ``counts``
        are on the reference's edges, of ``span`` (µs, end excluded); ``flags`` counts its rows by
        flag (``range``: any value out of range), of ``flags_n`` with known flags, all by default.
        Raises InputError for counts on other edges.
        """
        found: list[SignalPoint] = []
        for family, columns in families(self._reference):
            live = dict(families(counts)).get(family)
            if live is None:
                continue
            _check_edges(columns, live)
            window = _Window(self._reference, live, self._calibration, self._config, scope, span)
            found += window.family(family, *self._groups[family], columns, live)
            if flags is not None and family == "inputs":
                n = window.n if flags_n is None else flags_n
                found.append(window.flagged(flags.get("range", 0), n))
        return found


@dataclass(frozen=True)
class _Share:
    """Rows that count and all rows, of the reference and of a window; fewer count with ``both``."""

    signal: str
    subject: str
    before: tuple[int, int]
    after: tuple[int, int]
    both: bool = False
    note: str = ""


class _Window:
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
            found_shares = [each for pair in by_name.values() for each in _shares_of(*pair)]
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

    def _shares(self, shares: Sequence[_Share], limit: float) -> Iterator[SignalPoint]:
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

    def _share(self, each: _Share, surprise: float, last: int, limit: float) -> SignalPoint:
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
        flagged = _Share("range", "", (r, self.n_ref), (count, n))
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


def _shares_of(old: ColumnCounts, new: ColumnCounts) -> Iterator[_Share]:
    """Yield the shares of rows of a column that may have changed."""
    counts = {"missing": (old.missing + old.nan, new.missing + new.nan)}
    if old.kind == "category":
        counts["new_category"] = old.other + old.new, new.other + new.new
    elif old.kind not in ("text", "boolean"):
        counts["range"] = old.pinf + old.ninf, new.pinf + new.ninf
    for signal, (r, k) in counts.items():
        note = _beyond(old, new) if signal == "range" else ""
        both = signal == "missing"
        yield _Share(signal, old.name, (r, old.total), (k, new.total), both=both, note=note)


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


def _beyond(old: ColumnCounts, new: ColumnCounts) -> str:
    """Return in words by how much the least or greatest value left the reference's range."""
    said = []
    if old.min is not None and new.min is not None and new.min < old.min:
        said.append(f"the least value is {new.min:.6g}, the reference begins at {old.min:.6g}")
    if old.max is not None and new.max is not None and new.max > old.max:
        said.append(f"the greatest value is {new.max:.6g}, the reference ends at {old.max:.6g}")
    return "; ".join(said)


def _check_edges(columns: Sequence[ColumnCounts], live: Sequence[ColumnCounts]) -> None:
    for old, new in zip(columns, live, strict=False):
        if (
            old.name != new.name
            or old.edges != new.edges
            or old.categories.keys() != new.categories.keys()
        ):
            raise InputError(
                "these counts are of another version",
                where=old.name,
                why="they have other bins",
                fix="count on the reference's own edges",
            )
    if len(columns) != len(live):
        raise InputError(
            "these counts are of another version",
            why="they have other columns",
            fix="count on the reference's own columns",
        )
