"""A prediction log in memory: predictions once each, and the label that counts for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from afterfit.core.dataset import encode_labels
from afterfit.core.event import Event
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame
from afterfit.core.signature import Label, Signature
from afterfit.errors import ConfigError
from afterfit.monitor.sample import Sample
from afterfit.monitor.signals.schema import Change

Truth = Label | float
MOST_UNKNOWN = 20


@dataclass(frozen=True)
class Log:
    """Predictions of primaries and canaries, one entry each, in the order they were read.

    ``scores`` float64 of [n], NaN where there is none: the value, the positive class's or the top
    probability. ``probabilities`` float64 of [n, classes] or None; ``codes`` int64 of [n], -1
    where unknown; ``truth`` object of [n], None without a label. ``waits`` maps ``queue`` and
    ``infer`` to microseconds. ``frame`` holds captured inputs, which may be fewer rows.
    ``rows`` is the row number that each event carried. ``answers_only`` says that the log could
    hold neither failures nor flags, so that their absence means nothing. ``live`` has inputs and
    outputs that were counted as they were read; then there is no frame, and the arrays may be of a
    sample of the predictions. ``sample`` are some rows of inputs, ``changes`` how the log's schema
    differs from the reference's; None where nobody looked. ``ts`` int64 µs of [n] is when each was
    made, 0 unknown, or empty; ``label_ts`` when its label was known, 0 without one.
    """

    counts: dict[str, int]
    versions: dict[str, dict[str, int]]
    period: tuple[str, str] | None
    scores: np.ndarray
    probabilities: np.ndarray | None
    codes: np.ndarray
    truth: np.ndarray
    waits: dict[str, np.ndarray]
    flags: dict[str, int]
    errors: dict[str, int]
    frame: Frame
    rows: np.ndarray
    unknown: tuple[str, ...] = ()
    answers_only: bool = False
    live: Fingerprint | None = None
    sample: Sample | None = None
    changes: tuple[Change, ...] | None = None
    ts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    label_ts: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of answered predictions."""
        return self.counts["served"]


@dataclass
class _Tally:
    """What was read so far; an event that comes twice counts once."""

    served: dict[str, Event] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    labels: set[tuple[str, str, int, Truth]] = field(default_factory=set)
    versions: dict[str, Counter[str]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    shadows: int = 0
    elsewhere: int = 0


def collect(
    events: Iterable[Event],
    signature: Signature,
    *,
    since: str = "",
    until: str = "",
    digest: str = "",
) -> Log:
    """Return the log of some events, in any order and with repetitions.

    A label joins its prediction by ``event_id``, else by ``entity``; of several the greatest
    ``ts`` wins. Labels of any time count; ``since``, ``until`` and ``digest`` bound predictions.
    """
    bounds = (moment(since) if since else 0, moment(until) if until else 2**63)
    tally = _Tally()
    for event in events:
        if event.kind == "label":
            _add_label(tally, event)
        elif bounds[0] <= event.ts < bounds[1]:
            _add_prediction(tally, event, digest)
    return _log(tally, signature)


def moment(text: str) -> int:
    """Return an ISO 8601 moment as microseconds since 1970; UTC where no zone is given."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"not a moment: {text!r}", why="it must be ISO 8601", fix='write "2026-11-23T14:00:00Z"'
        ) from None
    zoned = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return round(zoned.timestamp() * 1_000_000)


def iso(ts: int) -> str:
    """Return microseconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(ts / 1_000_000, tz=UTC).isoformat(timespec="seconds")


def _add_prediction(tally: _Tally, event: Event, digest: str) -> None:
    if event.event_id in tally.served or event.event_id in tally.others:
        tally.duplicates += 1
        return
    if event.kind == "served":
        version = event.digest or (f"{event.model}@{event.version}" if event.model else "unknown")
        tally.versions.setdefault(version, Counter())[event.role] += 1
    if event.role == "shadow":
        tally.shadows += 1
        tally.others[event.event_id] = "shadow"
    elif digest and event.digest != digest:
        tally.elsewhere += 1
        tally.others[event.event_id] = "elsewhere"
    elif event.kind == "served":
        tally.served[event.event_id] = event
    else:
        tally.others[event.event_id] = event.kind
        tally.errors[event.error or event.kind] += 1


def _add_label(tally: _Tally, event: Event) -> None:
    truth = event.true_value if event.true_label is None else event.true_label
    if truth is None:
        return
    label = (event.event_id, event.entity, event.ts, truth)
    if label in tally.labels:
        tally.duplicates += 1
    tally.labels.add(label)


def _log(tally: _Tally, signature: Signature) -> Log:
    served = list(tally.served.values())
    truth, label_ts, joined, unknown = _join(tally, served)
    times = [event.ts for event in served if event.ts]
    kinds = Counter(tally.others.values())
    counts = {
        "served": len(served),
        "refused": kinds["refused"],
        "failed": kinds["failed"],
        "label": len(tally.labels),
    }
    more = {
        "label_joined": joined,
        "label_unknown": len(unknown),
        "duplicate": tally.duplicates,
        "shadow": tally.shadows,
        "of_other_versions": tally.elsewhere,
    }
    probabilities = _probabilities(served, signature)
    return Log(
        counts=counts | {name: value for name, value in more.items() if value},
        versions={name: dict(roles) for name, roles in sorted(tally.versions.items())},
        period=(iso(min(times)), iso(max(times))) if times else None,
        scores=_scores(served, probabilities, signature),
        probabilities=probabilities,
        codes=_codes(served, probabilities, signature),
        truth=truth,
        waits={
            "queue": np.array([event.queue_us for event in served], dtype=np.int64),
            "infer": np.array([event.infer_us for event in served], dtype=np.int64),
        },
        flags=dict(Counter(flag for event in served for flag in set(event.flags))),
        errors=dict(tally.errors.most_common(5)),
        frame=_captured(served, signature),
        rows=np.array([event.row for event in served], dtype=np.int64),
        unknown=tuple(unknown[:MOST_UNKNOWN]),
        ts=np.array([event.ts for event in served], dtype=np.int64),
        label_ts=label_ts,
    )


def _join(tally: _Tally, served: Sequence[Event]) -> tuple[np.ndarray, np.ndarray, int, list[str]]:
    """Return each prediction's truth and when it was known, joined labels, and ids of the rest."""
    by_id: dict[str, tuple[int, Truth]] = {}
    by_entity: dict[str, tuple[int, Truth]] = {}
    entities = {event.entity for event in served if event.entity}
    joined, unknown = 0, []
    # Sorted, so that the greatest ts comes last and equal ts are settled the same way each time.
    for event_id, entity, ts, truth in sorted(
        tally.labels, key=lambda label: (label[2], str(label))
    ):
        if event_id in tally.served:
            by_id[event_id] = (ts, truth)
        elif entity and entity in entities:
            by_entity[entity] = (ts, truth)
        elif event_id not in tally.others:
            unknown.append(event_id or entity)
            continue
        joined += 1
    values = np.full(len(served), None, dtype=object)
    times = np.zeros(len(served), np.int64)
    for place, event in enumerate(served):
        found = [by_id.get(event.event_id), by_entity.get(event.entity) if event.entity else None]
        known = [label for label in found if label is not None]
        if known:
            times[place], values[place] = max(known, key=lambda label: label[0])
    return values, times, joined, unknown


def _probabilities(served: Sequence[Event], signature: Signature) -> np.ndarray | None:
    size = len(signature.classes)
    if not size or not any(len(event.probabilities) == size for event in served):
        return None
    gap = (float("nan"),) * size
    rows = [e.probabilities if len(e.probabilities) == size else gap for e in served]
    return np.array(rows, dtype=np.float64)


def _scores(
    served: Sequence[Event], probabilities: np.ndarray | None, signature: Signature
) -> np.ndarray:
    values = [float("nan") if event.value is None else event.value for event in served]
    scores = np.array(values, dtype=np.float64)
    if probabilities is None:
        return scores
    positive = signature.positive_index
    given = probabilities.max(axis=1) if positive is None else probabilities[:, positive]
    return np.where(np.isnan(given), scores, given)


def _codes(
    served: Sequence[Event], probabilities: np.ndarray | None, signature: Signature
) -> np.ndarray:
    """Return the decided class of each prediction: the label that was sent, else the likely one."""
    if not signature.classes:
        return np.full(len(served), -1, dtype=np.int64)
    said = np.array([event.label for event in served], dtype=object)
    codes = encode_labels(said, signature.classes)
    if probabilities is None:
        return codes
    from afterfit.core.frame import Predictions

    known = ~np.isnan(probabilities).any(axis=1)
    filled = np.where(known[:, None], probabilities, 0.0)
    probable = signature.codes(Predictions(probabilities=filled))
    return np.where((codes < 0) & known, probable, codes)


def _captured(served: Sequence[Event], signature: Signature) -> dict[str, np.ndarray]:
    rows = [event.inputs for event in served if event.inputs]
    names = {name for row in rows for name in row}
    return {
        column.name: _column([row.get(column.name) for row in rows], column.kind)
        for column in signature.columns
        if column.name in names
    }


def _column(values: list[Any], kind: str) -> np.ndarray:
    if kind in ("number", "integer"):
        return np.array([_number(value) for value in values], dtype=np.float64)
    if kind == "boolean":
        values = [value if isinstance(value, bool) else None for value in values]
    else:
        values = [None if value is None else str(value) for value in values]
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _number(value: Any) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError):
        return float("nan")
