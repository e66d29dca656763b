"""A version that is watched, and what is derived from the rows that it stands on, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, row_count
from afterfit.core.signature import Signature
from afterfit.errors import InputError
from afterfit.monitor.batches import Batch
from afterfit.monitor.budget import Budget
from afterfit.monitor.calibrate import (
    LEAST_REFERENCE,
    LEAST_ROWS,
    Calibration,
    calibrate,
    calibrate_counts,
)
from afterfit.monitor.cut import DAY, HOUR
from afterfit.monitor.grounds import Answered, Grounds, kept_rows, key_of, stretches
from afterfit.monitor.held_out import FOLDS, MeasuredRate, measured_rate
from afterfit.monitor.sample import Sample, decode_frame, encode_frame
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.season import Seasons, seasons_of
from afterfit.monitor.signals.estimate import Estimator, fit_estimator
from afterfit.monitor.signals.multivariate import Rows as SampledRows
from afterfit.monitor.signals.multivariate import rows_of
from afterfit.monitor.signals.performance import truth_of
from afterfit.monitor.signals.quality import QualityConfig
from afterfit.monitor.signals.skew import Keyed, Matcher
from afterfit.monitor.sources.columns import LogColumns
from afterfit.monitor.table import MOST_REFERENCE, Reference, to_arrow
from afterfit.store.sniff import kind_of
from afterfit.store.tables import open_table, read_frame

__all__ = ["NO_ROWS", "Watched", "measured_of", "with_rows"]

MOST_KEPT = 50_000
MOST_SAMPLED = 4_000
"""Reference rows beside a window's 2,000 when all columns are looked at together."""
LEAST_SPAN = 14 * DAY - HOUR
"""A reference has seasons where it is so long (µs): of one week each hour was seen once. Two weeks
begin with the first row's hour and end within the last one's."""
RATE_WINDOW, RATE_REPLICATES = 200, 1000
NO_ROWS = "no rows of the reference are at hand"


@dataclass
class Watched:
    """A version that is watched: what it is compared with, and thresholds from that.

    ``kept`` is the calibration that was made of the same reference before; ``scores`` those of its
    labelled rows, ``grounds`` real rows of the reference, both where they are known.
    """

    reference: Reference
    kept: Calibration | None = None
    scores: ScoreTable | None = None
    seed: int = 0
    judges: dict[Budget, object] = field(default_factory=dict)
    grounds: Grounds | None = None

    @property
    def signature(self) -> Signature:
        """The signature of the version."""
        return self.reference.signature

    @property
    def fingerprint(self) -> Fingerprint | None:
        """The fingerprint of the version."""
        return self.reference.fingerprint

    @cached_property
    def calibration(self) -> Calibration | None:
        """The thresholds; None of a reference that is too small for any.

        They are drawn from rows where some are at hand, else from counts.
        """
        fingerprint = self.fingerprint
        if self.kept is not None or fingerprint is None:
            return self.kept
        try:
            if self.grounds is not None and self.grounds.known.n >= LEAST_REFERENCE:
                return _calibrated(self.grounds, fingerprint, self.seed)
            return calibrate_counts(fingerprint, seed=self.seed)
        except InputError:
            return None

    @cached_property
    def usual(self) -> ScoreTable | None:
        """The scores of labelled rows that the model was not trained on; None where unknown."""
        if self.scores is not None or self.grounds is None:
            return self.scores
        return self.grounds.table(self.signature)

    @cached_property
    def seasons(self) -> Seasons | None:
        """What is usual by season; None of a reference that is too short, or has no times."""
        fingerprint = self.fingerprint
        if self.grounds is None or fingerprint is None:
            return None
        known = self.grounds.known
        ts = known.times()
        if ts is None or not len(ts) or ts[-1] - ts[0] < LEAST_SPAN:
            return None
        frame = known.frame(fingerprint)
        if not {column.name for column in fingerprint.columns} <= frame.keys():
            return None
        found = seasons_of(fingerprint, frame, ts, known.answers())
        for part in found.parts.values():
            _nothing_is_new(part)
        return found if found.parts else None

    @cached_property
    def estimator(self) -> Estimator | None:
        """What tells quality without labels; None without labelled rows of the reference."""
        if self.grounds is None or self.fingerprint is None:
            return None
        rows = self.grounds.quality_rows(self.signature, self.fingerprint)
        if rows is None:
            return None
        kept = tuple(c for c in self.signature.columns if c.kind != "text")
        shown = msgspec.structs.replace(self.signature, columns=kept)
        return fit_estimator(shown, rows, QualityConfig(seed=self.seed))

    @cached_property
    def sampled(self) -> SampledRows | None:
        """Rows of the reference for signals of all columns together."""
        if self.grounds is None or self.fingerprint is None:
            return self.reference.rows
        known = self.grounds.known
        sample = Sample.like(self.fingerprint, self.seed, MOST_SAMPLED)
        marks = np.arange(known.n, dtype=np.uint64)
        sample.update(marks, known.frame(self.fingerprint), known.answers(), self.fingerprint)
        return rows_of(sample, self.fingerprint)

    @cached_property
    def _matcher(self) -> Matcher | None:
        if self.grounds is None or self.fingerprint is None:
            return None
        keyed = self.grounds.keyed(self.fingerprint)
        return None if keyed is None else Matcher(keyed)

    def unequal(self, batch: Batch) -> dict[str, tuple[int, int]]:
        """Return how many rows of a batch are of entities of the reference, and how many differ."""
        fingerprint, matcher = self.fingerprint, self._matcher
        if matcher is None or fingerprint is None or self.grounds is None or not batch.frame:
            return {}
        timed = bool(self.grounds.known.ts)
        moments = batch.ts.tolist() if timed else [None] * len(batch)
        keys = [key_of(e, ts) for e, ts in zip(batch.entities.tolist(), moments, strict=True)]
        names = [c.name for c in fingerprint.columns if c.name in batch.frame and c.kind != "text"]
        matrix = encode_frame(batch.frame, names, fingerprint)
        return matcher.unequal(Keyed(keys, decode_frame(matrix, names, fingerprint)))

    def missing(self) -> dict[str, str]:
        """Return, by signal, why it is not made of this version."""
        if self.fingerprint is None:
            return {"drift": "the version has no fingerprint"}
        if self.grounds is None:
            signals = ("estimate", "concept", "domain", "structure")
            return dict.fromkeys(signals, NO_ROWS)
        if self.grounds.labelled is None:
            return dict.fromkeys(("estimate", "concept"), "the reference's rows have no labels")
        return {}


def measured_of(watched: Watched) -> list[MeasuredRate]:
    """Return how often windows of held-out reference rows would be alarms, by family.

    Nothing without rows of the reference, or with too few.
    """
    grounds, fingerprint = watched.grounds, watched.fingerprint
    if grounds is None or fingerprint is None or watched.calibration is None:
        return []
    known = grounds.known
    n = min(RATE_WINDOW, known.n // FOLDS // 4)
    if n < LEAST_ROWS:
        return []
    frame = known.frame(fingerprint)
    columns = tuple(c for c in watched.signature.columns if c.name in frame)
    return measured_rate(
        frame,
        msgspec.structs.replace(watched.signature, columns=columns),
        known.answers(),
        n=n,
        in_time_order=known.ordered,
        replicates=RATE_REPLICATES,
        seed=watched.seed,
    )


def with_rows(
    reference: Reference, path: Path, mapping: Mapping[str, str], *, seed: int = 0
) -> Watched:
    """Return the reference that a file of earlier rows is, with some of its rows.

    ``mapping`` is as `parse_mapping` gives it. A file that is too large to be read whole has none.
    """
    rows = open_table(path).rows if kind_of(path) == "parquet" else None
    if rows is not None and rows > MOST_REFERENCE:
        return Watched(reference, seed=seed)
    frame, fingerprint = read_frame(path), reference.fingerprint
    given = {role: name for role, name in mapping.items() if role != "version" and name in frame}
    if fingerprint is None or "score" not in given:
        return Watched(reference, seed=seed)
    columns = LogColumns(given, reference.signature)
    names = columns.wanted(list(frame))
    table = pa.table({name: to_arrow(frame[name]) for name in names})
    batch = next(columns.batches(table, where=str(path)))
    ordered = bool(batch.ts.any())
    batch = batch.take(np.argsort(batch.ts, kind="stable")) if ordered else batch
    batch = batch.take(stretches(len(batch), MOST_KEPT, seed))
    truth = None if batch.truth is None else truth_of(batch.truth, reference.signature)
    known = kept_rows(
        Answered(
            frame=batch.frame,
            scores=batch.scores,
            codes=batch.codes,
            truth=truth,
            ts=batch.ts if ordered else None,
            entities=batch.entities.tolist() if "entity" in given else None,
            ordered=ordered,
        ),
        fingerprint,
    )
    grounds = Grounds(subject=reference.subject, source=str(path), known=known)
    return Watched(reference, seed=seed, grounds=grounds)


def _calibrated(grounds: Grounds, fingerprint: Fingerprint, seed: int) -> Calibration:
    """Return thresholds of a fingerprint from rows of it, counted again on its bins."""
    known = grounds.known
    frame, scores = known.frame(fingerprint), known.answers()
    counted = _counted(fingerprint, frame, scores)
    made = calibrate(counted, frame, scores, in_time_order=known.ordered, seed=seed)
    return made.of(fingerprint)


def _counted(fingerprint: Fingerprint, frame: Frame, scores: np.ndarray) -> Fingerprint:
    counted = fingerprint.blank()
    counted.update(frame, scores)
    counted.n_ref = row_count(frame)
    _nothing_is_new(counted)
    return counted


def _nothing_is_new(counted: Fingerprint) -> None:
    """Count what is rare in the reference as rare: to itself nothing is new."""
    for column in counted.columns:
        column.other, column.new = column.other + column.new, 0
