"""A rehearsal of the monitor of a version, or of anyone's log beside earlier rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from afterfit.core.digest import digest_of
from afterfit.core.frame import Frame, Predictions, frame_digest, row_count, take
from afterfit.core.shell import shell_word
from afterfit.core.signature import Label, Signature
from afterfit.errors import InputError, UsageError
from afterfit.monitor.batches import Batch
from afterfit.monitor.rehearse.config import RehearsalConfig
from afterfit.monitor.rehearse.run import Plan, halved, limits_of, own_monitor, pace_of, rehearse
from afterfit.monitor.rehearse.traffic import Traffic
from afterfit.monitor.settings import watch_of
from afterfit.monitor.sources.columns import LogColumns, fitted
from afterfit.monitor.sources.times import microseconds
from afterfit.monitor.table import Reference, reference_from_file
from afterfit.monitor.watched import Watched, with_rows
from afterfit.records.codec import Stored
from afterfit.records.rehearsal import RehearsalRecord
from afterfit.runtime.predict import Predictor, load_bundle
from afterfit.store.environment import current_environment
from afterfit.store.tables import read_frame
from afterfit.workspace.grounding import grounded, known_truth

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["rehearse_log", "rehearse_version"]

LEAST_ROWS = 400
"""Fewer rows, drawn again and again, are not traffic."""


def rehearse_version(
    space: Workspace, ref: str, data: Path, config: RehearsalConfig, *, ts: str = ""
) -> Stored:
    """Return the record of rehearsing a version's monitor on rows of a table.

    The version answers the rows in this process. The target, where the table has it, gives labels;
    ``ts`` names the column of times, by default that of ``[data] time``. Raises InputError for
    columns that are not there.
    """
    started = time.monotonic()
    version = space.registry.resolve(ref)
    predictor = load_bundle(space.registry.checkout(version), expected=version.digest)
    try:
        reference = Reference(version.digest, predictor.signature, predictor.fingerprint)
        # Thresholds are those of the daemon, from rows that are kept; which season a window is of,
        # no replayed row can tell.
        kept = grounded(space, Watched(reference, seed=space.config.line.seed)).kept
        rows = _Table(read_frame(data), data)
        order, times = rows.in_time(ts or space.config.data.time, asked=bool(ts))
        traffic = _traffic(rows, predictor, order)
        record = _rehearsed(
            space, Watched(reference, kept=kept, seed=config.seed), traffic, times, config
        )
        return space.keep(record, started=started)
    finally:
        predictor.close()


def rehearse_log(
    space: Workspace,
    log: Path,
    reference: Path,
    mapping: Mapping[str, str],
    config: RehearsalConfig,
    *,
    positive: Label | None = None,
) -> Stored:
    """Return the record of rehearsing the monitor of a log beside a table of earlier rows.

    Nobody answers the rows anew, so the scores stay those of the log whatever a fault does to them.
    """
    started = time.monotonic()
    beside = reference_from_file(reference, mapping, positive=positive, seed=config.seed)
    batch = _one_batch(read_frame(log), mapping, beside.signature, log)
    answers = Predictions(
        probabilities=batch.probabilities,
        values=batch.scores,
        codes=None if beside.signature.task == "regression" else batch.codes,
    )
    traffic = Traffic(
        signature=_held(beside.signature, batch.frame),
        frame=batch.frame,
        answer=lambda _, places: answers.take(places),
        truth=known_truth(batch.truth, beside.signature),
        rescored=False,
    )
    watched = with_rows(beside, reference, mapping, seed=config.seed)
    watched = Watched(beside, kept=watched.calibration, seed=config.seed)
    record = _rehearsed(space, watched, traffic, batch.ts, config)
    return space.keep(record, started=started)


def _rehearsed(
    space: Workspace,
    watched: Watched,
    traffic: Traffic,
    times: np.ndarray | None,
    config: RehearsalConfig,
) -> RehearsalRecord:
    watch = watch_of(space.config.monitor, seed=config.seed)
    if len(traffic) < LEAST_ROWS:
        raise InputError(
            f"{len(traffic)} rows are too few to replay",
            why="they would be drawn again and again, and show no more than themselves",
            fix=f"give {LEAST_ROWS} rows or more; a few thousand are better",
        )
    pace = pace_of(watch, len(traffic), times, config.window_rows)
    quality, later = halved(traffic, watch)
    plan = Plan(
        traffic=later,
        make=own_monitor(
            watched, watch, space.config.alarms, quality, pace, label_delay=config.label_delay
        ),
        pace=pace,
        subject=watched.reference.subject,
        inputs=_inputs(watched.reference, traffic),
        asked_per_month=watch.false_alarms_per_month,
        labelled=quality is not None,
        limits=limits_of(watched, watch),
    )
    return rehearse(plan, config, env=current_environment(), progress=space.progress)


def _inputs(reference: Reference, traffic: Traffic) -> dict[str, str]:
    found = {"data": frame_digest(dict(traffic.frame))}
    if reference.fingerprint is not None:
        found["fingerprint"] = digest_of(reference.fingerprint)
    return found


def _traffic(table: _Table, predictor: Predictor, order: np.ndarray) -> Traffic:
    signature = predictor.signature
    frame = {}
    for column in signature.columns:
        if column.name not in table.frame:
            raise table.without(column.name, "give rows with all columns that the model takes")
        frame[column.name] = fitted(table.frame[column.name], column)
    target = table.frame.get(signature.target)
    return Traffic(
        signature=signature,
        frame=take(frame, order),
        answer=lambda rows, _: predictor.predict(rows),
        truth=None if target is None else known_truth(target[order], signature),
    )


def _held(signature: Signature, frame: Frame) -> Signature:
    """Return the signature with the columns that a log has."""
    columns = tuple(column for column in signature.columns if column.name in frame)
    if not columns:
        raise InputError(
            "the log has none of the reference's columns",
            why="there is nothing that a fault could change",
            fix="give a log with its inputs",
        )
    return msgspec.structs.replace(signature, columns=columns)


def _one_batch(frame: Frame, mapping: Mapping[str, str], signature: Signature, log: Path) -> Batch:
    """Return a log as one batch in the order of time."""
    if "version" in mapping:
        raise UsageError(
            "a rehearsal replays the rows of one version",
            where=f"--map version={mapping['version']}",
            fix=f"leave out version=, and give a log of one version: {shell_word(log)}",
        )
    columns = LogColumns(mapping, signature)
    table = pa.table({name: pa.array(frame[name]) for name in columns.wanted(list(frame))})
    batch = next(columns.batches(table, where=str(log)))
    return batch.take(np.argsort(batch.ts, kind="stable"))


class _Table:
    """The rows of a file, with the errors that name it."""

    def __init__(self, frame: Frame, path: Path) -> None:
        self.frame, self.path = frame, path

    def in_time(self, name: str, *, asked: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the order of time and the times in it (µs); that of the file without times."""
        n = row_count(self.frame)
        if name not in self.frame:
            if asked:
                raise self.without(name, "name the column of times: --ts COLUMN")
            return np.arange(n), None
        times = microseconds(pa.array(self.frame[name]), where=f"{self.path}, {name}")
        order = np.argsort(times, kind="stable")
        return order, times[order]

    def without(self, name: str, fix: str) -> InputError:
        """Return the error of a column that is not there."""
        return InputError(
            f"the table has no column {name!r}",
            where=str(self.path),
            why=f"its columns are: {', '.join(list(self.frame)[:20])}",
            fix=fix,
        )
