"""Drift of columns and of the output, missing values, new categories, values out of range.

All of a version's input columns are one family with one chance of a false alarm a window: the
threshold is what the most surprising of them exceeds so seldom. The output is a family of its own.
A point is an alarm where it is that surprising and also large enough to be worth knowing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from afterfit.core.digest import digest_of
from afterfit.core.fingerprint import ColumnCounts, Fingerprint
from afterfit.errors import InputError
from afterfit.monitor.bins import families, groups_of, line_of
from afterfit.monitor.calibrate import Calibration
from afterfit.monitor.signals.drift_config import DriftConfig
from afterfit.monitor.signals.drift_window import FamilyWindow
from afterfit.records.signals import Scope, SignalPoint

__all__ = ["DriftConfig", "DriftJudge", "drift_points"]


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
            window = FamilyWindow(
                self._reference, live, self._calibration, self._config, scope, span
            )
            found += window.family(family, *self._groups[family], columns, live)
            if flags is not None and family == "inputs":
                n = window.n if flags_n is None else flags_n
                found.append(window.flagged(flags.get("range", 0), n))
        return found


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
