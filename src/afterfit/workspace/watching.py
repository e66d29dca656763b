"""What served versions saw and said: events or anyone's prediction log beside the fingerprint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from afterfit.core.frame import Frame
from afterfit.core.shell import shell_word
from afterfit.core.signature import Label, Signature
from afterfit.errors import UsageError
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.log import Log
from afterfit.monitor.run import monitor_report
from afterfit.monitor.table import (
    Reference,
    infer_signature,
    log_from_table,
    reference_from_table,
)
from afterfit.predict.scores import score_names
from afterfit.records.codec import Stored
from afterfit.registry.version import Version
from afterfit.runtime.counts import read_counts
from afterfit.runtime.events import read_segments, segments
from afterfit.runtime.predict import load_bundle
from afterfit.store.environment import current_environment
from afterfit.store.tables import read_frame

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace


def report_on_events(
    space: Workspace, ref: str, config: MonitorConfig, *, folder: Path | None = None
) -> Stored:
    """Return the record of a version's own events and live counts.

    ``folder`` is where its server wrote them, by default the workspace's own. Raises UsageError
    for one that holds none.
    """
    started = time.monotonic()
    version, reference = _reference(space, ref)
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
        progress=space.progress,
    )
    return space.keep(record, started=started)


def report_on_log(
    space: Workspace,
    log: Path,
    mapping: Mapping[str, str],
    config: MonitorConfig,
    *,
    ref: str = "",
    reference: Path | None = None,
    positive: Label | None = None,
) -> Stored:
    """Return the record of a prediction log, beside a version or beside a table of earlier rows.

    A folder is one that a server wrote the events of the version to.
    """
    if log.is_dir():
        _require_version_alone(log, ref, mapping, reference)
        return report_on_events(space, ref, config, folder=log)
    started = time.monotonic()
    rows = read_frame(log)
    if ref:
        _, beside = _reference(space, ref)
        mapping = dict(mapping) or own_mapping(rows, beside.signature)
    elif reference is not None:
        earlier = read_frame(reference)
        signature = infer_signature(earlier, mapping, positive=positive)
        beside = reference_from_table(earlier, mapping, signature)
    else:
        raise UsageError(
            "nothing to compare the log with",
            fix="name a version, or give --reference earlier.parquet",
        )
    record = monitor_report(
        _as_log(rows, mapping, beside.signature, config),
        beside,
        config,
        env=current_environment(),
        progress=space.progress,
    )
    return space.keep(record, started=started)


def _require_version_alone(
    folder: Path, ref: str, mapping: Mapping[str, str], reference: Path | None
) -> None:
    """Do nothing for a folder of events with a version; raises UsageError for anything else."""
    if not ref:
        raise UsageError(
            "a folder of events needs the name of its version",
            where=str(folder),
            fix=f"afterfit monitor report NAME@champion --log {shell_word(folder)}",
        )
    if mapping or reference is not None:
        raise UsageError(
            "events tell their own columns, and are compared with what the version was made of",
            where=str(folder),
            fix="leave out --map and --reference, or give a table with --log",
        )


def own_mapping(rows: Frame, signature: Signature) -> dict[str, str]:
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


def _as_log(
    rows: Frame, mapping: Mapping[str, str], signature: Signature, config: MonitorConfig
) -> Log:
    return log_from_table(rows, mapping, signature, since=config.since, until=config.until)


def _reference(space: Workspace, ref: str) -> tuple[Version, Reference]:
    version = space.registry.resolve(ref)
    predictor = load_bundle(space.registry.checkout(version), expected=version.digest)
    return version, Reference(version.digest, predictor.signature, predictor.fingerprint)
