"""Smaller models that were taught by the model: boosted trees, a network of one layer, a line.

A student learns the teacher's probabilities or values, so its rows need no labels, and rows made
between the given ones are welcome. Where there are labels it learns them too. It reads the
signature's columns by itself, so whatever the teacher did to them first is left out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import numpy as np

from afterfit.core.digest import sha256_bytes
from afterfit.core.frame import Frame, frame_digest, join, row_count, take
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, ModelError
from afterfit.models.convert import Converted, brief
from afterfit.models.distil_dense import Training, train
from afterfit.models.distil_graph import network_graph, trees_graph
from afterfit.models.distil_rows import Reader, impact, mixed, read_rows, reader
from afterfit.models.distil_trees import Growth, grow
from afterfit.models.native import NativeModel
from afterfit.models.proposal import Proposal

__all__ = ["proposals", "student"]

LEAST_ROWS = 200
"""Rows below which nothing can be taught."""

MOST_ROWS = 40_000
"""Rows that a student learns from at most, so that teaching takes seconds."""

MOST_COLUMNS = 500

SCOUTS = 20
"""Rounds that tell which columns matter."""

CHUNK = 2000
"""Rows that the teacher is asked for at once, to look at the clock between."""

MAKE = "afterfit.models.distil:student"

_BOOSTED = (
    ("distil-boosting-200", {"rounds": 200, "leaves": 16, "rate": 0.1}),
    ("distil-boosting-100", {"rounds": 100, "leaves": 16, "rate": 0.15}),
    ("distil-boosting-40", {"rounds": 40, "leaves": 16, "rate": 0.25}),
    ("distil-boosting-20", {"rounds": 20, "leaves": 8, "rate": 0.4}),
)


def proposals(
    native: NativeModel, *, signature: Signature, labelled: bool, rows: int
) -> list[Proposal]:
    """Return students of several sizes; none for a model that is as small as a student."""
    if rows < LEAST_ROWS or not _teaches(signature) or not _heavy(native):
        return []
    classes = max(1, len(signature.classes) - 1)
    seconds = 5.0 + 4e-4 * min(rows, MOST_ROWS) * classes
    taught = "the model's answers and the labels" if labelled else "the model's answers"
    found = [
        _proposal(name, {"kind": "boosting", **options}, seconds, f"boosted trees taught {taught}")
        for name, options in _BOOSTED
    ]
    network = {"kind": "network", "hidden": 32, "epochs": 30}
    line = {"kind": "network", "hidden": 0, "epochs": 15}
    found.append(_proposal("distil-network-32", network, seconds, f"a network taught {taught}"))
    found.append(_proposal("distil-linear", line, seconds / 2, f"a linear model taught {taught}"))
    return found


def _proposal(name: str, options: dict[str, Any], seconds: float, told: str) -> Proposal:
    return Proposal(
        name=name,
        technique="distil",
        make=MAKE,
        options=options,
        needs=("rows",),
        seconds=seconds,
        told=told,
    )


def student(
    native: NativeModel,
    *,
    signature: Signature,
    options: dict[str, Any],
    rows: Frame,
    target: np.ndarray | None,
    graph: Converted | None,
    seed: int,
    seconds: float,
) -> Converted:
    """Return a student as a graph, or the reason why there is none.

    ``options``: ``kind`` (boosting: ``rounds``, ``leaves``, ``rate``; network: ``hidden``,
    ``epochs``), ``labels`` (the share that labels have in what is learned, 0.5) and ``mixed`` (how
    many rows are made between the given ones, as a share of them, 0.5).
    """
    del graph
    begun = time.monotonic()
    if row_count(rows) < LEAST_ROWS:
        return Converted(error=f"{row_count(rows)} rows teach nothing; {LEAST_ROWS} would")
    try:
        asking, end = begun + 0.5 * seconds, begun + 0.85 * seconds
        lesson = _lesson(native, signature, options, rows, target, seed, asking)
        teach = _boosting if options["kind"] == "boosting" else _network
        return msgspec.structs.replace(teach(lesson, options, seed, end), notes=(lesson.note,))
    except AfterfitError as error:
        return Converted(error=brief(error))


@dataclass(frozen=True)
class _Lesson:
    """What a student learns: rows as it reads them, and soft targets [n, classes] or [n, 1]."""

    read: Reader
    numbers: np.ndarray
    places: np.ndarray
    soft: np.ndarray
    weight: np.ndarray
    classifier: bool
    note: str


_LESSONS: WeakKeyDictionary[NativeModel, tuple[tuple[Any, ...], _Lesson]] = WeakKeyDictionary()
"""The last whole lesson of a model: asking it is most of the work, and all students learn alike."""


def _lesson(
    native: NativeModel,
    signature: Signature,
    options: dict[str, Any],
    rows: Frame,
    target: np.ndarray | None,
    seed: int,
    deadline: float,
) -> _Lesson:
    rows = {name: rows[name] for name in signature.names}
    labels = b"" if target is None else target.tobytes()
    key = (frame_digest(rows), sha256_bytes(labels), seed, _share(options), _mixed(options))
    known = _LESSONS.get(native)
    if known is not None and known[0] == key:
        return known[1]
    order = np.random.default_rng(seed).permutation(row_count(rows))[:MOST_ROWS]
    asked = _asked(native, take(rows, order), deadline)
    whole = len(asked) == len(order)
    order = order[: len(asked)]
    if len(asked) < LEAST_ROWS:
        raise ModelError(
            f"the model answered {len(asked)} rows in the time, too few to teach",
            fix="give more time (--budget 600s) or more rows (--train train.csv)",
        )
    rows = take(rows, order)
    target = None if target is None else target[order]
    lesson, complete = _written(native, signature, options, rows, target, asked, seed, deadline)
    if whole and complete:
        _LESSONS[native] = (key, lesson)
    return lesson


def _share(options: dict[str, Any]) -> float:
    return float(options.get("labels", 0.5))


def _mixed(options: dict[str, Any]) -> float:
    return float(options.get("mixed", 0.5))


def _written(
    native: NativeModel,
    signature: Signature,
    options: dict[str, Any],
    rows: dict[str, np.ndarray],
    target: np.ndarray | None,
    asked: np.ndarray,
    seed: int,
    deadline: float,
) -> tuple[_Lesson, bool]:
    """Return the lesson, and whether the time sufficed for all of it."""
    read = reader(signature, rows)
    soft, weight, extra, said = asked, np.ones(len(asked)), 0, 0
    if target is not None:
        soft = (1 - _share(options)) * soft + _share(options) * _hard(target, soft)
    extra = min(MOST_ROWS - len(asked), round(_mixed(options) * len(asked)))
    if extra > 0:
        more = mixed(rows, _scaled(read, rows, asked), extra, seed)
        answers = _asked(native, more, deadline)
        said = len(answers)
        rows = dict(join([rows, take(more, slice(0, said))]))
        soft = np.concatenate([soft, answers])
        weight = np.concatenate([weight, np.full(said, 0.5)])
    numbers, places = read_rows(read, rows)
    labels = f", and by labels ({_share(options):.0%})" if target is not None else ""
    note = f"taught by the model's answers to {len(asked):,} rows and {said:,} mixed ones{labels}"
    classifier = signature.task != "regression"
    return _Lesson(read, numbers, places, soft, weight, classifier, note), said == max(0, extra)


def _asked(native: NativeModel, rows: Frame, deadline: float) -> np.ndarray:
    """Return the teacher's probabilities, [n, classes], or values, [n, 1].

    Fewer rows than were given where the time is over before.
    """
    parts = []
    for start in range(0, row_count(rows), CHUNK):
        answer = native.predict(take(rows, slice(start, start + CHUNK)))
        if answer.values is None and answer.probabilities is None:
            raise ModelError(
                "the model gives labels alone, which teach too little",
                fix="give a model with probabilities, or leave out --allow distil",
            )
        values = answer.probabilities if answer.values is None else answer.values[:, None]
        parts.append(np.asarray(values, dtype=np.float64))
        if time.monotonic() >= deadline:
            break
    return np.concatenate(parts)


def _hard(target: np.ndarray, soft: np.ndarray) -> np.ndarray:
    if soft.shape[1] == 1:
        return np.asarray(target, dtype=np.float64)[:, None]
    known = target >= 0
    hard = soft.copy()
    hard[known] = np.eye(soft.shape[1])[target[known]]
    return hard


def _scaled(read: Reader, rows: Frame, soft: np.ndarray) -> np.ndarray:
    """Return the rows as points: numbers and the impact of texts, each in its own deviations."""
    numbers, places = read_rows(read, rows)
    points = np.concatenate([numbers, _coded(places, impact(places, read.width, soft))], axis=1)
    points[~np.isfinite(points)] = np.nan
    middle = np.nan_to_num(np.nanmedian(points, axis=0)) if len(points) else 0.0
    points = np.where(np.isnan(points), middle, points)
    spread = points.std(axis=0)
    return np.asarray((points - middle) / np.where(spread > 0, spread, 1.0))


def _coded(places: np.ndarray, codes: np.ndarray) -> np.ndarray:
    columns = [code[place] for code, place in zip(codes, places.T, strict=True)]
    return np.column_stack(columns) if columns else np.empty((len(places), 0))


def _boosting(lesson: _Lesson, options: dict[str, Any], seed: int, deadline: float) -> Converted:
    """Return trees over the columns that matter: reading a column costs more than a tree."""
    read = lesson.read
    codes = impact(lesson.places, read.width, lesson.soft)
    rows = np.concatenate([lesson.numbers, _coded(lesson.places, codes)], axis=1)
    growth = Growth(
        rounds=int(options["rounds"]),
        leaves=int(options["leaves"]),
        rate=float(options["rate"]),
        classifier=lesson.classifier,
        seed=seed,
        deadline=deadline,
    )
    scout = replace(growth, rounds=SCOUTS, leaves=16, rate=0.3)
    _, gains = grow(rows, lesson.soft, lesson.weight, scout)
    kept = _worth(gains, float(options.get("gain", 0.99)))
    trees, _ = grow(rows[:, kept], lesson.soft, lesson.weight, growth)
    first = len(read.numbers)
    return trees_graph(read.only(kept.tolist()), codes[kept[kept >= first] - first], trees)


def _worth(gains: np.ndarray, share: float) -> np.ndarray:
    """Return the fewest features that hold a share of all gain, in their order."""
    order = np.argsort(-gains, kind="stable")
    held = np.cumsum(gains[order])
    if held[-1] <= 0:
        return order[:1]
    count = int(np.searchsorted(held, share * held[-1])) + 1
    return np.sort(order[:count])


def _network(lesson: _Lesson, options: dict[str, Any], seed: int, deadline: float) -> Converted:
    training = Training(
        hidden=int(options["hidden"]),
        epochs=int(options["epochs"]),
        classifier=lesson.classifier,
        seed=seed,
        deadline=deadline,
    )
    width = lesson.read.width
    network = train(lesson.numbers, lesson.places, width, lesson.soft, training)
    return network_graph(lesson.read, network)


def _teaches(signature: Signature) -> bool:
    """Return whether the model's answers are soft, and its columns plain values."""
    soft = signature.task == "regression" or (
        signature.probabilities and signature.own_labels is not True
    )
    columns = signature.columns
    plain = all(column.kind != "text" and not column.shape for column in columns)
    return soft and plain and len(columns) <= MOST_COLUMNS


_LIGHT = ("coef_", "theta_")


def _heavy(native: NativeModel) -> bool:
    """Return whether the model is more than a line, a tree or a table of means."""
    final = native.estimator
    while hasattr(final, "steps") and final.steps:
        final = final.steps[-1][1]
    attributes = getattr(final, "__dict__", {})
    if "tree_" in attributes:
        return int(final.tree_.node_count) > 1000
    return not any(name in attributes for name in _LIGHT)
