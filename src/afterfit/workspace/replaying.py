"""A replay: what another version would have said of rows that were served, without serving it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterfit.core.dataset import encode_labels
from afterfit.core.event import Event
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.core.shell import shell_word
from afterfit.core.signature import Label, Signature
from afterfit.errors import InputError, UsageError
from afterfit.records.codec import Stored
from afterfit.records.rollout import ReplayRecord
from afterfit.registry.version import Version
from afterfit.runtime.columns import frame_of
from afterfit.runtime.predict import Predictor, load_bundle
from afterfit.stats.interval import Interval, wilson
from afterfit.stats.paired import mean_difference
from afterfit.stats.quantile import quantile_metric
from afterfit.store.environment import current_environment
from afterfit.store.tables import read_frame
from afterfit.workspace.served import events_at, where_of

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["MOST_ROWS", "replay"]

MOST_ROWS = 200_000
"""Rows of a replay, the newest; what is older is counted and left out."""
BATCH = 1024
TIMED = 200
"""Rows that are asked one by one, for the time of a call."""


@dataclass
class _Rows:
    """Rows that were answered before: inputs, the answer, its probabilities, and the truth."""

    inputs: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    probabilities: list[tuple[float, ...]] = field(default_factory=list)
    truths: list[Any] = field(default_factory=list)
    infer_us: list[float] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    period: tuple[str, str] | None = None

    def kept(self, places: Sequence[int]) -> _Rows:
        """Return the rows at some places."""
        return _Rows(
            inputs=[self.inputs[i] for i in places],
            answers=[self.answers[i] for i in places],
            probabilities=[self.probabilities[i] for i in places],
            truths=[self.truths[i] for i in places],
            infer_us=self.infer_us,
            served=self.served,
            skipped=self.skipped,
            period=self.period,
        )


def replay(
    space: Workspace,
    name: str,
    on: str,
    *,
    since_s: float | None = None,
    log: Path | None = None,
    events: str = "",
    now: float | None = None,
) -> Stored:
    """Return the record of scoring past rows with the version ``on``, beside what was answered.

    The rows are those of events whose inputs were captured, of the last ``since_s`` seconds; or
    those of a table, which the champion answers too. ``events`` is where servers write, by default
    this machine's folder of the workspace. Raises UsageError where no row has inputs.
    """
    started = time.monotonic()
    challenger = space.registry.resolve(f"{name}@{on}")
    predictor = load_bundle(space.registry.checkout(challenger), expected=challenger.digest)
    try:
        space.progress.step("read the rows")
        if log is None:
            since = None if since_s is None else (now or time.time()) - since_s
            rows = _served(events or space.events, name, since)
        else:
            rows = _of_table(space, name, log, predictor.signature)
        space.progress.step("score them")
        rows, predictions = _scored(predictor, rows)
        metrics = _metrics(predictor, rows, predictions)
        labelled = sum(truth is not None for truth in rows.truths)
        record = ReplayRecord(
            subject=challenger.digest,
            env=current_environment(),
            resolved={
                "since_s": since_s,
                "log": "" if log is None else log.name,
                "events": where_of(events),
            },
            metrics=tuple(metrics),
            name=name,
            challenger=challenger.number,
            source="events" if log is None else log.name,
            read=len(rows.inputs),
            labelled=labelled,
            skipped=dict(rows.skipped),
            served=dict(rows.served),
            period=rows.period,
        )
    finally:
        predictor.close()
    return space.keep(record, started=started)


def _served(place: str | Path, name: str, since: float | None) -> _Rows:
    """Return the captured rows of a model's events, the newest `MOST_ROWS`, with their labels."""
    found, labels, without = _read(place, name, 0 if since is None else int(since * 1e6))
    rows = _Rows()
    rows.skipped.update({"inputs were not captured": without} if without else {})
    if len(found) > MOST_ROWS:
        rows.skipped[f"older than the newest {MOST_ROWS}"] = len(found) - MOST_ROWS
        found = found[-MOST_ROWS:]
    if not found:
        nothing = f"{without} rows were served, and capture was off" if without else "none served"
        raise UsageError(
            f"no served row of {name} has its inputs",
            where=where_of(place),
            why=nothing,
            fix=f"afterfit serve {shell_word(name)}@champion --capture all, or give --log FILE, or "
            "--events with the address that servers write to",
        )
    for event in found:
        truth = labels.get(f"id:{event.event_id}") or labels.get(f"entity:{event.entity}")
        rows.inputs.append(event.inputs or {})
        rows.answers.append(event.value if event.label is None else event.label)
        rows.probabilities.append(event.probabilities)
        rows.truths.append(_truth(truth))
        rows.infer_us.append(event.infer_us)
        rows.served[f"version {event.version}"] += 1
    rows.period = (_moment(found[0].ts), _moment(found[-1].ts))
    return rows


def _read(place: str | Path, name: str, first: int) -> tuple[list[Event], dict[str, Event], int]:
    """Return served rows with inputs from ``first`` µs on, labels by key, and rows without."""
    found: list[Event] = []
    labels: dict[str, Event] = {}
    without = 0
    for event in events_at(place, name, first):
        if event.kind == "label":
            _note_label(labels, event)
        elif (event.kind, event.model) != ("served", name) or event.role == "shadow":
            continue
        elif event.ts >= first and event.inputs is not None:
            found.append(event)
        elif event.ts >= first:
            without += 1
    found.sort(key=lambda event: event.ts)
    return found, labels, without


def _note_label(labels: dict[str, Event], event: Event) -> None:
    """Keep the label of the greatest time for its event and its entity."""
    keys = (("id", event.event_id), ("entity", event.entity))
    for key in (f"{kind}:{value}" for kind, value in keys if value):
        if key not in labels or labels[key].ts < event.ts:
            labels[key] = event


def _truth(label: Event | None) -> Any:
    if label is None:
        return None
    return label.true_value if label.true_label is None else label.true_label


def _of_table(space: Workspace, name: str, log: Path, signature: Signature) -> _Rows:
    """Return the rows of a table, answered now by the champion; its target column is the truth."""
    champion: Version = space.registry.resolve(f"{name}@champion")
    frame = read_frame(log)
    missing = [column for column in signature.names if column not in frame]
    if missing:
        raise InputError(
            f"the log has no column {missing[0]!r}",
            where=str(log),
            why=f"the columns of the version are {', '.join(signature.names)}",
            fix="give a table of the inputs, as afterfit predict takes it",
        )
    columns = {column: _plain(frame[column]) for column in signature.names}
    rows = _Rows(inputs=[dict(zip(columns, each, strict=True)) for each in zip(*columns.values())])  # noqa: B905
    if len(rows.inputs) > MOST_ROWS:
        rows.skipped[f"older than the newest {MOST_ROWS}"] = len(rows.inputs) - MOST_ROWS
        rows.inputs = rows.inputs[-MOST_ROWS:]
    target = frame.get(signature.target) if signature.target else None
    truths = [None] * len(frame[signature.names[0]]) if target is None else _plain(target)
    rows.truths = truths[-len(rows.inputs) :]
    predictor = load_bundle(space.registry.checkout(champion), expected=champion.digest)
    try:
        blank: list[Any] = [None] * len(rows.inputs)
        rows.answers, rows.probabilities = blank, [()] * len(blank)
        rows, predictions = _scored(predictor, rows)
        rows.answers = list(_answers(predictor.signature, predictions))
        if predictions.probabilities is not None:
            rows.probabilities = [tuple(each) for each in predictions.probabilities.tolist()]
    finally:
        predictor.close()
    rows.served[f"version {champion.number}, asked now"] = len(rows.inputs)
    return rows


def _scored(predictor: Predictor, rows: _Rows) -> tuple[_Rows, Predictions]:
    """Return the rows that the version takes, and its answers; others are counted by reason."""
    kept: list[int] = []
    parts: list[Predictions] = []
    for begin in range(0, len(rows.inputs), BATCH):
        places = list(range(begin, min(begin + BATCH, len(rows.inputs))))
        try:
            parts.append(_asked(predictor, [rows.inputs[i] for i in places]))
            kept += places
        except (InputError, KeyError):
            for place in places:
                try:
                    parts.append(_asked(predictor, [rows.inputs[place]]))
                    kept.append(place)
                except KeyError as error:
                    rows.skipped[f"it has no column {error.args[0]!r}"] += 1
                except InputError as error:
                    rows.skipped[error.message] += 1
    if not parts:
        raise UsageError(
            "the version takes none of these rows",
            why="; ".join(f"{n}: {why}" for why, n in rows.skipped.most_common(3)),
            fix="compare the signatures: afterfit version diff NAME@1 NAME@2",
        )
    return rows.kept(kept), _joined(parts)


def _asked(predictor: Predictor, inputs: list[dict[str, Any]]) -> Predictions:
    columns = {name: [row[name] for row in inputs] for name in predictor.signature.names}
    return predictor.predict(frame_of(columns, predictor.signature))


def _joined(parts: Sequence[Predictions]) -> Predictions:
    def whole(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return Predictions(
        probabilities=whole("probabilities"), values=whole("values"), codes=whole("codes")
    )


def _answers(signature: Signature, predictions: Predictions) -> Iterable[Any]:
    if predictions.values is not None:
        return [float(each) for each in predictions.values]
    return [signature.classes[code] for code in signature.codes(predictions)]


def _metrics(predictor: Predictor, rows: _Rows, predictions: Predictions) -> list[Metric]:
    signature = predictor.signature
    if predictions.values is None:
        found = _of_classes(signature, rows, predictions)
    else:
        found = _of_values(rows, predictions.values)
    return [*found, *_times(predictor, rows)]


def _of_classes(signature: Signature, rows: _Rows, predictions: Predictions) -> list[Metric]:
    served = _codes(rows.answers, signature.classes)
    mine = signature.codes(predictions)
    flips, n = int((served != mine).sum()), len(mine)
    found = [_metric("disagreement", flips / n, wilson(flips, n), n, "rows")]
    truth = _codes(rows.truths, signature.classes)
    known = truth >= 0
    if known.any():
        right = [(codes == truth)[known].astype(float) for codes in (mine, served)]
        found += _pair("accuracy", *right, rate=True)
        both = np.array([len(each) == len(signature.classes) for each in rows.probabilities])
        if predictions.probabilities is not None and both[known].all():
            past = np.array(
                [p for p, there in zip(rows.probabilities, known, strict=True) if there]
            )
            hot = np.eye(len(signature.classes))[truth[known]]
            losses = [
                ((p - hot) ** 2).sum(axis=1) for p in (predictions.probabilities[known], past)
            ]
            found += _pair("brier", *losses)
    return found


def _of_values(rows: _Rows, mine: np.ndarray) -> list[Metric]:
    served = np.array(rows.answers, float)
    gap, bounds = mean_difference(mine, served)
    size, sized = mean_difference(np.abs(mine - served), np.zeros(len(mine)))
    n = len(mine)
    found = [
        _metric("mean_difference", gap, bounds, n, "rows"),
        _metric("mean_absolute_difference", size, sized, n, "rows"),
    ]
    known = np.array([truth is not None for truth in rows.truths])
    if known.any():
        truth = np.array([each for each in rows.truths if each is not None], float)
        found += _pair("mae", *(np.abs(each[known] - truth) for each in (mine, served)))
    return found


def _pair(name: str, mine: np.ndarray, served: np.ndarray, *, rate: bool = False) -> list[Metric]:
    """Return the mean of both on the same rows, and of the difference, challenger less served."""
    n = len(mine)
    found = []
    for scope, values in (("challenger", mine), ("served", served)):
        value, bounds = mean_difference(values, np.zeros(n))
        bounds = wilson(int(values.sum()), n) if rate else bounds
        found.append(_metric(name, value, bounds, n, scope))
    gap, bounds = mean_difference(mine, served)
    return [*found, _metric(name, gap, bounds, n, "difference")]


def _times(predictor: Predictor, rows: _Rows) -> list[Metric]:
    """Return the median time of a call with one row: the challenger's here, and the served."""
    spent = []
    for inputs in rows.inputs[-TIMED:]:
        began = time.perf_counter()
        _asked(predictor, [inputs])
        spent.append(1000 * (time.perf_counter() - began))
    own = quantile_metric("call_p50_ms", np.array(spent), 0.5, unit="ms", scope="challenger, here")
    past = np.array([us for us in rows.infer_us if us > 0]) / 1000
    if not len(past):
        return [own]
    return [own, quantile_metric("call_p50_ms", past, 0.5, unit="ms", scope="served")]


def _codes(labels: Sequence[Any], classes: tuple[Label, ...]) -> np.ndarray:
    return encode_labels(np.array(labels, dtype=object), classes)


def _metric(name: str, value: float, bounds: Interval, n: int, scope: str) -> Metric:
    return Metric.of(name, value, bounds, n=n, scope=scope)


def _plain(values: np.ndarray) -> list[Any]:
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124


def _moment(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1e6, UTC).isoformat(timespec="seconds")
