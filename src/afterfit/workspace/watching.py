"""What served versions saw and said: events or anyone's prediction log beside the fingerprint."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from afterfit.core.shell import shell_word
from afterfit.core.signature import Label, Signature
from afterfit.errors import InputError, UsageError
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.held_out import MeasuredRate
from afterfit.monitor.run import log_of, monitor_report
from afterfit.monitor.sources import LogColumns, QuerySource, TableSource
from afterfit.monitor.sources.files import log_files
from afterfit.monitor.table import Reference, reference_from_file
from afterfit.monitor.watched import Watched, measured_of, with_rows
from afterfit.predict.scores import score_names
from afterfit.records.codec import Stored
from afterfit.registry.version import Version
from afterfit.runtime.counts import read_counts
from afterfit.runtime.events import read_segments, segments
from afterfit.runtime.predict import load_bundle
from afterfit.store.environment import current_environment
from afterfit.store.tables import open_table
from afterfit.workspace.grounding import grounded, keep_file, thresholds_of

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace


def report_on_events(
    space: Workspace,
    ref: str,
    config: MonitorConfig,
    *,
    folder: Path | None = None,
    rows: Path | None = None,
) -> Stored:
    """Return the record of a version's own events and live counts.

    ``folder`` is where its server wrote them, by default the workspace's own; ``rows`` a file of
    rows to judge by, which are kept beside the version. Raises UsageError for a folder that holds
    no events.
    """
    started = time.monotonic()
    version, watched = _watched(space, ref, rows)
    reference = watched.reference
    place = space.events if folder is None else folder
    windows = read_counts(place)
    if folder is not None and not windows and next(iter(segments(folder)), None) is None:
        raise UsageError(
            "the folder holds no events",
            where=str(folder),
            why="no server wrote events or live counts there",
            fix="name the folder of: afterfit serve NAME@champion --events FOLDER",
        )
    counts = [
        window
        for window in windows
        if window.digest == version.digest and window.model == version.name
    ]
    events = (
        event
        for event in read_segments(place)
        if event.model == version.name or (event.kind == "label" and not event.model)
    )
    wanted = MonitorConfig(gates=config.gates, since=config.since, until=config.until,
                           digest=version.digest, seed=config.seed)  # fmt: skip
    record = monitor_report(
        events,
        reference,
        wanted,
        env=current_environment(),
        windows=counts,
        watched=watched,
        rates=_rates(space, watched),
        progress=space.progress,
    )
    return space.keep(record, started=started)


def report_on_log(
    space: Workspace,
    log: str | Path,
    mapping: Mapping[str, str],
    config: MonitorConfig,
    *,
    ref: str = "",
    reference: Path | None = None,
    positive: Label | None = None,
    query: str = "",
) -> Stored:
    """Return the record of a prediction log, beside a version or beside a table of earlier rows.

    A log is a table, a folder of tables, or a folder that a server wrote the events of the version
    to; with ``query`` it is a database (``postgresql://…``, a file of DuckDB; empty: the files
    that the query names). It is read a batch at a time.
    """
    if not query and holds_events(Path(log), tables=bool(mapping) or bool(reference and not ref)):
        _require_version_alone(Path(log), ref, mapping)
        return report_on_events(space, ref, config, folder=Path(log), rows=reference)
    started = time.monotonic()
    if not ref and reference is None:
        raise UsageError(
            "nothing to compare the log with",
            fix="name a version, or give --reference earlier.parquet",
        )
    space.progress.step("read the reference")
    if ref:
        watched = _watched(space, ref, reference)[1]
    else:
        table = reference_from_file(reference, mapping, positive=positive, seed=config.seed)  # type: ignore[arg-type]
        watched = with_rows(table, reference, mapping, seed=config.seed)  # type: ignore[arg-type]
        if not query and _unlabelled(mapping, Path(log), reference):  # type: ignore[arg-type]
            space.warnings.append(f"the log has no column {mapping['y']!r}: no label is known yet")
            mapping = {role: column for role, column in mapping.items() if role != "y"}
    beside = watched.reference
    if ref and not mapping:
        mapping = own_mapping(_names(log, query), beside.signature)
    space.progress.step("read the log")
    read = log_of(_source(log, query, LogColumns(mapping, beside.signature)), beside, config)
    _require_numbers(read.scores, mapping)
    rates = _rates(space, watched) if ref else _measured(space, watched)
    record = monitor_report(
        read,
        beside,
        config,
        env=current_environment(),
        watched=watched,
        rates=rates,
        progress=space.progress,
    )
    return space.keep(record, started=started)


def holds_events(folder: Path, *, tables: bool = False) -> bool:
    """Return whether a log is a folder of events: one without a table, or with events in it.

    ``tables`` says that somebody named its columns, as tables have them.
    """
    if not folder.is_dir():
        return False
    if next(iter(segments(folder)), None) is not None or read_counts(folder):
        return True
    return not tables


def _source(log: str | Path, query: str, columns: LogColumns) -> TableSource | QuerySource:
    return QuerySource(str(log), query, columns) if query else TableSource(Path(log), columns)


def _names(log: str | Path, query: str) -> list[str]:
    if query:
        raise UsageError(
            "what the columns of a query mean is not known",
            fix="--map score=COLUMN,y=COLUMN,ts=COLUMN",
        )
    return open_table(log_files(Path(log))[0]).names


def _unlabelled(mapping: Mapping[str, str], log: Path, reference: Path) -> bool:
    """Return whether the reference has the column of labels, and the log has not."""
    truth = mapping.get("y", "")
    if not truth or truth in _names(log, ""):
        return False
    return truth in open_table(reference).names


def _require_numbers(scores: np.ndarray, mapping: Mapping[str, str]) -> None:
    """Raise InputError where rows were read and none has a score, though a column was named."""
    if "score" in mapping and len(scores) and not np.isfinite(scores).any():
        raise InputError(
            f"none of {len(scores):,} rows has a score that is a number",
            where=f"--map score={mapping['score']}",
            why="it is the value, or a probability such as 0.453: no 45.3 %, and no 0,453",
            fix="write the column as numbers, or name the one that is: --map score=COLUMN",
        )


def _require_version_alone(folder: Path, ref: str, mapping: Mapping[str, str]) -> None:
    """Do nothing for a folder of events with a version; raises UsageError for anything else."""
    if not ref:
        raise UsageError(
            "a folder of events needs the name of its version",
            where=str(folder),
            fix=f"afterfit monitor report NAME@champion --log {shell_word(folder)}",
        )
    if mapping:
        raise UsageError(
            "events tell their own columns",
            where=str(folder),
            fix="leave out --map, or give a table with --log",
        )


def own_mapping(rows: Collection[str], signature: Signature) -> dict[str, str]:
    """Return the columns of a file that ``afterfit predict`` wrote, the target among them."""
    names = score_names(signature)
    mapping = {}
    if "value" in names:
        mapping["score"] = "value"
    elif len(names) > 1 and signature.positive_index is not None:
        mapping["score"] = names[1 + signature.positive_index]
    if "label" in names:
        mapping["label"] = "label"
    missing = sorted(set(mapping.values()) - set(rows))
    if missing:
        raise UsageError(
            f"the log has no column {missing[0]!r}",
            why="without --map the log is taken for one that `afterfit predict` wrote",
            fix="--map score=COLUMN,y=COLUMN,ts=COLUMN",
        )
    if signature.target in rows:
        mapping["y"] = signature.target
    return mapping


def _watched(space: Workspace, ref: str, rows: Path | None) -> tuple[Version, Watched]:
    """Return a version with the rows that are kept beside it, after keeping those of a file."""
    version = space.registry.resolve(ref)
    predictor = load_bundle(space.registry.checkout(version), expected=version.digest)
    try:
        if rows is not None:
            keep_file(space, predictor, rows)
        reference = Reference(version.digest, predictor.signature, predictor.fingerprint)
        return version, grounded(space, Watched(reference, seed=space.config.line.seed))
    finally:
        predictor.close()


def _rates(space: Workspace, watched: Watched) -> Sequence[MeasuredRate]:
    return () if watched.grounds is None else thresholds_of(space, watched).rates


def _measured(space: Workspace, watched: Watched) -> Sequence[MeasuredRate]:
    space.progress.step("draw thresholds from the reference, and try them on rows held out")
    return measured_of(watched)
