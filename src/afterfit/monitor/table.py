"""Any table of predictions as a log, by naming its columns: ``score=prob,y=label,ts=time``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from afterfit.core import fingerprint as fingerprints
from afterfit.core.dataset import to_label
from afterfit.core.fingerprint import ColumnCounts, Fingerprint
from afterfit.core.frame import Frame, Predictions, is_missing, missing_mask, row_count, take
from afterfit.core.shell import shell_word
from afterfit.core.signature import Column, ColumnKind, Label, Signature
from afterfit.errors import InputError, UsageError
from afterfit.monitor.batches import Batch
from afterfit.monitor.gather import MOST_SAMPLED, gather
from afterfit.monitor.log import Log
from afterfit.monitor.sample import Sample
from afterfit.monitor.signals.multivariate import Rows, rows_of
from afterfit.monitor.signals.schema import is_index
from afterfit.monitor.sources.columns import LogColumns
from afterfit.monitor.sources.files import BATCH_ROWS, TableSource
from afterfit.store.arrow import columns_to_frame
from afterfit.store.files import os_errors
from afterfit.store.sniff import broken_file, kind_of
from afterfit.store.tables import open_table, read_frame

ROLES = (
    "score",
    "label",
    "y",
    "ts",
    "event_id",
    "entity",
    "version",
    "slice",
    "queue_us",
    "infer_us",
)
MOST_CLASSES = 20
MOST_REFERENCE = 200_000


@dataclass(frozen=True)
class Reference:
    """What live rows are compared with: the subject's digest, its signature and fingerprint.

    ``rows`` are some of its rows, where they may be kept.
    """

    subject: str
    signature: Signature
    fingerprint: Fingerprint | None = None
    rows: Rows | None = None


def parse_mapping(text: str) -> dict[str, str]:
    """Return role -> column of ``score=prob,y=label,ts=time``; raises UsageError.

    ``slice`` may come several times; its columns stand with commas between them.
    """
    mapping: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, column = part.partition("=")
        if not equals or role not in ROLES or not column:
            raise UsageError(
                f"not a mapping: {part!r}",
                where="--map",
                why=f"the roles are {', '.join(ROLES)}",
                fix="--map score=prob,y=label,ts=time",
            )
        several = role == "slice" and role in mapping
        mapping[role] = f"{mapping[role]},{column}" if several else column
    return mapping


def log_from_table(
    frame: Frame,
    mapping: Mapping[str, str],
    signature: Signature,
    *,
    since: str = "",
    until: str = "",
) -> Log:
    """Return the log of a table in memory, with a row a prediction; see ``LogColumns`` for roles.

    ``ts`` is ISO 8601 or a number since 1970 (seconds, or ms, µs or ns by its size). Raises
    InputError naming a column that is not there.
    """
    columns = LogColumns(mapping, signature)
    names = columns.wanted(list(frame))
    table = pa.table({name: to_arrow(frame[name]) for name in names})
    log = gather(columns.batches(table, where="row"), signature, since=since, until=until)
    inputs = {name: frame[name] for name in columns.inputs if name in frame}
    return replace(log, frame=take(inputs, log.rows))


def to_arrow(values: np.ndarray) -> pa.Array:
    """Return a column of a frame as Arrow has it; values of several types become their text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if is_missing(value) else str(value) for value in values.tolist()])


def reference_from_table(
    frame: Frame,
    mapping: Mapping[str, str],
    signature: Signature,
    *,
    subject: str = "",
    seed: int = 0,
) -> Reference:
    """Return the reference that a table of earlier rows is, with its outputs where it has them."""
    present = tuple(column for column in signature.columns if column.name in frame)
    score = mapping.get("score", "")
    predictions = None
    if score in frame:
        predictions = Predictions(values=np.asarray(frame[score], dtype=np.float64))
    held = msgspec.structs.replace(signature, columns=present)
    made = fingerprints.build(frame, held, predictions, seed=seed)
    return Reference(subject or "table", signature, made, _sampled(frame, made, seed))


def _sampled(frame: Frame, fingerprint: Fingerprint, seed: int) -> Rows:
    n = row_count(frame)
    sample = Sample.like(fingerprint, seed, MOST_SAMPLED)
    sample.update(np.arange(n, dtype=np.uint64), frame, np.full(n, np.nan), fingerprint)
    return rows_of(sample, fingerprint)


def reference_from_file(
    path: Path,
    mapping: Mapping[str, str],
    *,
    positive: Label | None = None,
    seed: int = 0,
    most: int = MOST_REFERENCE,
) -> Reference:
    """Return the reference that a file of earlier rows is.

    Of a Parquet file of more than ``most`` rows a sample gives the bins and the columns' kinds,
    and all rows are counted; other files are read whole.
    """
    rows = open_table(path).rows if kind_of(path) == "parquet" else None
    if rows is None or rows <= most:
        earlier = read_frame(path)
        signature = infer_signature(earlier, mapping, positive=positive)
        return reference_from_table(earlier, mapping, signature, seed=seed)
    sample = _some_rows(path, rows, most, seed)
    signature = infer_signature(sample, mapping, positive=positive)
    found = reference_from_table(sample, mapping, signature, seed=seed)
    if found.fingerprint is not None:
        known = {role: column for role, column in mapping.items() if column in sample}
        source = TableSource(path, LogColumns(known, signature))
        _count_again(found.fingerprint, (batch for batch, _ in source.read({})))
    return found


def _some_rows(path: Path, rows: int, most: int, seed: int) -> Frame:
    chosen = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    parts, begins = [], 0
    with (
        os_errors(path, "read"),
        broken_file(path),
        pq.ParquetFile(path, pre_buffer=False) as parquet,
    ):
        for batch in parquet.iter_batches(BATCH_ROWS):
            ends = begins + batch.num_rows
            first, last = np.searchsorted(chosen, [begins, ends])
            parts.append(batch.take(pa.array(chosen[first:last] - begins)))
            begins = ends
    return columns_to_frame(pa.Table.from_batches(parts), str(path))


def _count_again(fingerprint: Fingerprint, batches: Iterable[Batch]) -> None:
    """Count all rows on the bins of a sample; least and greatest values stay those of many rows."""
    counts = fingerprint.blank()
    for batch in batches:
        counts.update(batch.frame, batch.scores)
    fingerprint.n_ref = counts.n_ref
    for mine, counted in zip(_columns(fingerprint), _columns(counts), strict=True):
        for name in ("counts", "missing", "nan", "pinf", "ninf", "categories", "mean", "m2"):
            setattr(mine, name, getattr(counted, name))
        # To the reference nothing is new.
        mine.other = counted.other + counted.new


def _columns(fingerprint: Fingerprint) -> list[ColumnCounts]:
    return [*fingerprint.columns, *([] if fingerprint.output is None else [fingerprint.output])]


def infer_signature(
    frame: Frame, mapping: Mapping[str, str], *, positive: Label | None = None
) -> Signature:
    """Return the signature of a table that nobody described: kinds by dtype, classes from ``y``.

    Two classes need ``positive``, except 0 and 1 or False and True. More than two whole numbers are
    values and no classes where the scores are no probabilities, as marks from 3 to 9 that are
    predicted as 5.6. Raises InputError.
    """
    roles = {column for role, column in mapping.items() if role != "slice"}
    columns = tuple(
        Column(name=name, kind=_kind(values))
        for name, values in frame.items()
        if name not in roles and not is_index(name)
    )
    truth = frame.get(mapping.get("y", ""))
    labels = [] if truth is None else _classes(truth)
    if not labels or (len(labels) > 2 and _are_values(labels, frame.get(mapping.get("score", "")))):
        return Signature(task="regression", columns=columns)
    if len(labels) > 2:
        return Signature(task="multiclass", columns=columns, classes=tuple(labels))
    if positive is None and set(map(str, labels)) <= {"0", "1", "False", "True"}:
        positive = labels[-1]
    if positive is None or str(positive) not in map(str, labels):
        raise InputError(
            f"which of {labels} is the positive class is not known",
            where=f"y={mapping['y']}",
            why="scores are the probability of one class, and only two pairs name it by themselves",
            fix=f"--positive {shell_word(labels[-1])}",
        )
    chosen = next(label for label in labels if str(label) == str(positive))
    return Signature(task="binary", columns=columns, classes=tuple(labels), positive=chosen)


def _classes(truth: np.ndarray) -> list[Label]:
    """Return the distinct labels, sorted; none where they are numbers on a scale."""
    known = {to_label(value) for value in truth[~missing_mask(truth)].tolist()}
    if len(known) > MOST_CLASSES or any(type(label) is float for label in known):
        return []
    return sorted(
        known,
        key=lambda label: (
            isinstance(label, str),
            label if not isinstance(label, str) else 0,
            str(label),
        ),
    )


def _are_values(labels: list[Label], scores: np.ndarray | None) -> bool:
    """Return whether labels are values that scores predict: most of these are beyond 0 to 1."""
    if scores is None or scores.dtype.kind not in "fiu":
        return False
    if not all(type(label) is int for label in labels):
        return False
    known = scores[np.isfinite(scores)]
    return len(known) > 0 and float(np.mean((known < 0) | (known > 1))) > 1 / 2


def _kind(values: np.ndarray) -> ColumnKind:
    kinds: dict[str, ColumnKind] = {"f": "number", "i": "integer", "u": "integer", "b": "boolean"}
    if values.dtype.kind != "O":
        return kinds.get(values.dtype.kind, "text")
    known = set(map(type, values[~missing_mask(values)].tolist()))
    return "boolean" if known == {bool} else "category"
