"""What labels say of windows that are closed already: judged again whenever more of them come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from afterfit.core.signature import Signature
from afterfit.monitor.batches import Batch, Cursor, Labels
from afterfit.monitor.budget import Budget
from afterfit.monitor.concepts import CONCEPT, Stream, concept_points, fit_stream
from afterfit.monitor.cut import HOUR
from afterfit.monitor.labels import LabelJoin, Series
from afterfit.monitor.maturity import MaturityCurve, maturity_curve
from afterfit.monitor.rank import with_losses
from afterfit.monitor.score_metrics import judged_metrics
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.settings import Watch
from afterfit.monitor.signals.fairness import fairness_points
from afterfit.monitor.signals.label_shift import label_shift_points
from afterfit.monitor.signals.performance import (
    coverage_points,
    group_tables,
    performance_points,
    table_of,
)
from afterfit.monitor.signals.quality import QualityConfig, Window
from afterfit.monitor.watched import Watched
from afterfit.records.signals import Scope, SignalPoint

__all__ = ["BASELINE", "LabelFeed", "Told"]

BASELINE = "baseline/"
LEAST_BASELINE = 500
SOURCE = "log"


class Told(NamedTuple):
    """The points of windows whose labels changed, the hours that they are of, and baselines.

    ``parts`` are pieces of state to be kept with the points.
    """

    points: list[SignalPoint]
    hours: list[tuple[Series, int]]
    parts: dict[str, bytes | None]


class _Judged(NamedTuple):
    """A window that is judged: its series and version, its beginning and the moment, both µs."""

    series: Series
    watched: Watched
    start: int
    now: int
    config: QualityConfig


@dataclass
class LabelFeed:
    """Joins labels to predictions, and judges quality by the labels that came.

    What is usual of a version is told by the labelled rows of its reference where some are at hand,
    else by its own first windows with 500 labels together, which are then frozen: a later decline
    is seen beside these. ``streams`` are the error streams of versions by
    digest and role. ``named`` are metrics that the user asks for beside those that matter most.
    """

    join: LabelJoin
    watched_of: Callable[[Scope], Watched | None]
    watch: Watch
    baselines: dict[str, ScoreTable]
    streams: dict[str, Stream] = field(default_factory=dict)
    named: tuple[str, ...] = ()

    def take(self, item: Batch | Labels, cursor: Cursor) -> None:
        """Add predictions or labels; those that are there already change nothing."""
        if isinstance(item, Batch) and self.watched_of(item.scope) is None:
            return
        with self.join.transaction(SOURCE, cursor):
            self.join.add(item)

    def tell(self, before: int, now: int, budget: Budget) -> Told:
        """Return what is new of the windows that end by ``before`` (µs)."""
        width = self.watch.width_us or HOUR
        touched = [
            (series, hour)
            for series, hour in self.join.touched()
            if _starts(hour, width)[-1] + width <= before and series.role != "shadow"
        ]
        told = Told([], touched, {})
        windows = sorted({(s, start) for s, hour in touched for start in _starts(hour, width)},
                         key=lambda found: (found[1], msgspec.json.encode(found[0])))  # fmt: skip
        curves: dict[Series, MaturityCurve] = {}
        tallies = self.join.tallies() if windows else {}
        for series, start in windows:
            watched = self.watched_of(series.scope)
            if watched is None:
                continue
            if series not in curves:
                curves[series] = maturity_curve(self.join, series, now)
            config = self._config(budget.per_window(start, start + width))
            judged = _Judged(series, watched, start, now, config)
            told.points.extend(self._of_window(judged, curves[series], tallies, told.parts))
        for series in curves:
            changed = [start for each, start in windows if each == series]
            told.points.extend(self._concept(series, changed, budget, told.parts))
        return told._replace(points=with_losses(told.points))

    def _of_window(
        self,
        judged: _Judged,
        curve: MaturityCurve,
        tallies: Mapping[str, int],
        parts: dict[str, bytes | None],
    ) -> Iterator[SignalPoint]:
        """Yield coverage, performance, the proportions of classes and fairness of one window."""
        series, start, config = judged.series, judged.start, judged.config
        signature, end = judged.watched.signature, start + (self.watch.width_us or HOUR)
        window = Window(series.scope, start, end)
        table = table_of(self.join, series, signature, start, end)
        if not table.answered:
            return  # Of an hour with predictions some short windows have none.
        yield from coverage_points(table, window, config, tallies, curve=curve)
        usual = judged.watched.usual or self._baseline(series, signature, start, parts)
        if usual is not None or table.labelled:
            # The metrics and the proportions of classes are one family, and share its chance.
            names = judged_metrics(signature.task, self.named)
            chance = config.chance / (len(names) + bool(signature.classes))
            each = msgspec.structs.replace(config, chance=chance, metrics=names)
            maturity = curve.of_window(start, end, judged.now)
            yield from performance_points(usual, table, window, each, maturity=maturity)
            yield from label_shift_points(
                usual, table, signature.classes, window, each,
                positive=signature.positive_index, maturity=maturity,
            )  # fmt: skip
        groups = group_tables(self.join, series, signature, start, end)
        for column, tables in groups.items():
            yield from fairness_points(tables, column, window, config)

    def _config(self, chance: float) -> QualityConfig:
        return QualityConfig(chance=chance, min_rows=self.watch.min_rows, seed=self.watch.seed)

    def _concept(
        self, series: Series, changed: list[int], budget: Budget, parts: dict[str, bytes | None]
    ) -> list[SignalPoint]:
        """Return concept drift from the first window on whose labels changed."""
        watched, name = self.watched_of(series.scope), f"{series.scope.digest}/{series.role}"
        if watched is None or series.scope.slice:
            return []
        stream = self.streams.get(name) or fit_stream(self.join, series, watched, budget)
        if stream is None:
            return []
        self.streams[name] = stream
        width = self.watch.width_us or HOUR
        points = concept_points(self.join, series, watched, stream, changed, width)
        parts[f"{CONCEPT}{name}"] = msgspec.msgpack.encode(stream)
        return points

    def written(self, hours: Sequence[tuple[Series, int]]) -> None:
        """Take note that what is told of some hours is kept."""
        self.join.forget_touched(hours)

    def _baseline(
        self, series: Series, signature: Signature, start: int, parts: dict[str, bytes | None]
    ) -> ScoreTable | None:
        """Return the first windows of a version with enough labels; None up to their end."""
        digest = series.scope.digest
        if digest not in self.baselines:
            found = self._first(series, signature, start)
            if found is None:
                return None
            self.baselines[digest] = found
            parts[f"{BASELINE}{digest}"] = msgspec.msgpack.encode(found)
        return self.baselines[digest]

    def _first(self, series: Series, signature: Signature, until: int) -> ScoreTable | None:
        table = ScoreTable.of(signature)
        width = self.watch.width_us or HOUR
        for start in self._labelled(series, until, width):
            table.merge(table_of(self.join, series, signature, start, start + width))
            if table.labelled >= LEAST_BASELINE:
                return table
        return None

    def _labelled(self, series: Series, until: int, width: int) -> Iterator[int]:
        """Yield the windows before a moment that have a label, in order."""
        rows = self.join.query(
            "SELECT DISTINCT ts / ? FROM predictions WHERE truth IS NOT NULL AND ts < ? AND "
            "series = (SELECT number FROM series WHERE key = ?) ORDER BY 1",
            (width, until, msgspec.json.encode(series).decode()),
        )
        for (place,) in rows:
            yield place * width


def _starts(hour: int, width: int) -> list[int]:
    """Return the windows that an hour is in, or that are in it."""
    first = hour // width * width
    return list(range(first, hour + HOUR, width))
