"""Any table of predictions as a log, by naming its columns: ``score=prob,y=label,ts=time``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from afterfit.core import fingerprint as fingerprints
from afterfit.core.dataset import to_label
from afterfit.core.event import Event
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, Predictions, is_missing, missing_mask, row_count, take
from afterfit.core.shell import shell_word
from afterfit.core.signature import Column, ColumnKind, Label, Signature
from afterfit.errors import InputError, UsageError
from afterfit.monitor.log import Log, collect, moment

ROLES = ("score", "label", "y", "ts", "event_id", "entity", "queue_us", "infer_us")
MOST_CLASSES = 20


@dataclass(frozen=True)
class Reference:
    """What live rows are compared with: the subject's digest, its signature and fingerprint."""

    subject: str
    signature: Signature
    fingerprint: Fingerprint | None = None


def parse_mapping(text: str) -> dict[str, str]:
    """Return role -> column of ``score=prob,y=label,ts=time``; raises UsageError."""
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
        mapping[role] = column
    return mapping


def log_from_table(
    frame: Frame,
    mapping: Mapping[str, str],
    signature: Signature,
    *,
    since: str = "",
    until: str = "",
) -> Log:
    """Return the log of a table with a row a prediction; other columns of the signature are inputs.

    ``score`` is the value, the positive class's probability, or the top probability; ``label`` the
    decided class; ``y`` the true one; ``ts`` ISO 8601 or a number since 1970 (seconds, or ms, µs
    or ns by its size). Raises InputError naming a column that is not there.
    """
    for role, column in mapping.items():
        if column not in frame:
            raise InputError(
                f"the log has no column {column!r}",
                where=f"--map {role}={column}",
                why=f"its columns are: {', '.join(list(frame)[:20])}",
                fix="name a column of the log: --map score=COLUMN,y=COLUMN,ts=COLUMN",
            )
    log = collect(_events(frame, mapping, signature), signature, since=since, until=until)
    used = set(mapping.values())
    names = [c.name for c in signature.columns if c.name in frame and c.name not in used]
    inputs = take({name: frame[name] for name in names}, log.rows)
    return replace(log, frame=inputs, answers_only=True)


def _events(frame: Frame, mapping: Mapping[str, str], signature: Signature) -> Iterator[Event]:
    columns = {role: frame[column].tolist() for role, column in mapping.items()}
    nothing: list[Any] = [None] * row_count(frame)
    for row in range(row_count(frame)):
        values = {role: columns.get(role, nothing)[row] for role in ROLES}
        known = {role: None if is_missing(value) else value for role, value in values.items()}
        event_id = str(known["event_id"]) if known["event_id"] is not None else f"row {row}"
        ts = _microseconds(known["ts"], row)
        yield _served(known, event_id, ts, row, signature)
        if known["y"] is not None:
            truth = to_label(known["y"])
            yield Event(event_id=event_id, kind="label", ts=ts, **_truth(truth, signature))


def _truth(truth: Label, signature: Signature) -> dict[str, Any]:
    if signature.task == "regression":
        return {"true_value": _float(truth)}
    return {"true_label": truth}


def _served(
    known: Mapping[str, Any], event_id: str, ts: int, row: int, signature: Signature
) -> Event:
    score, label = _float(known["score"]), known["label"]
    probabilities: tuple[float, ...] = ()
    positive = signature.positive_index
    if signature.task == "binary" and positive is not None and score is not None:
        probabilities = (1 - score, score) if positive == 1 else (score, 1 - score)
        score = None
    return Event(
        event_id=event_id,
        kind="served",
        ts=ts,
        row=row,
        entity="" if known["entity"] is None else str(known["entity"]),
        label=None if label is None else to_label(label),
        value=score,
        probabilities=probabilities,
        queue_us=round(known["queue_us"] or 0),
        infer_us=round(known["infer_us"] or 0),
    )


def _float(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _microseconds(value: Any, row: int) -> int:
    if value is None:
        return 0
    if isinstance(value, int | float) and math.isfinite(value):
        scale = next(factor for limit, factor in _SCALES if abs(value) < limit)
        return round(value * scale)
    if isinstance(value, str):
        return moment(value)
    raise InputError(f"not a moment: {value!r}", where=f"row {row}", fix="use ISO 8601")


# A number of 2026 in seconds has 10 digits, in ms 13, in µs 16, in ns 19.
_SCALES = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (math.inf, 1e-3))


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
    return Reference(subject or "table", signature, made)


def infer_signature(
    frame: Frame, mapping: Mapping[str, str], *, positive: Label | None = None
) -> Signature:
    """Return the signature of a table that nobody described: kinds by dtype, classes from ``y``.

    Two classes need ``positive``, except 0 and 1 or False and True. Raises InputError.
    """
    used = set(mapping.values())
    columns = tuple(
        Column(name=name, kind=_kind(values)) for name, values in frame.items() if name not in used
    )
    truth = frame.get(mapping.get("y", ""))
    labels = [] if truth is None else _classes(truth)
    if not labels:
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


def _kind(values: np.ndarray) -> ColumnKind:
    kinds: dict[str, ColumnKind] = {"f": "number", "i": "integer", "u": "integer", "b": "boolean"}
    if values.dtype.kind != "O":
        return kinds.get(values.dtype.kind, "text")
    known = [value for value in values.tolist() if not is_missing(value)]
    return "boolean" if known and all(isinstance(value, bool) for value in known) else "category"
