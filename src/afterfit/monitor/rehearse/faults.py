"""The faults that are rehearsed, each as a rule that changes the rows of a window.

A fault hits one column, or the labels. ``size`` says how hard: the share of rows that are hit, the
factor of the odds of a class, or the drift of a window in standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from afterfit.core.frame import missing_mask
from afterfit.monitor.rehearse.traffic import Rows, Traffic
from afterfit.records.signals import SignalPoint

__all__ = [
    "COLUMN_SIGNALS",
    "FAULTS",
    "LABELS",
    "Fault",
    "Hit",
    "Level",
    "fault_called",
    "raised_share",
]

LABELS = "labels"
"""The subject of a fault that hits no single column."""
COLUMN_SIGNALS = frozenset({"drift", "missing", "new_category", "range"})
QUALITY = frozenset({"performance", "concept", "estimate"})
FACTOR = 100.0
RENAMED = "_v2"
LEAST_VALUES = 5
"""A column of numbers with fewer values is as good as a category."""


@dataclass(frozen=True)
class Level:
    """How hard a fault hits: ``strong`` or ``weak``, and what that means."""

    name: str
    size: float
    told: str


@dataclass(frozen=True)
class Hit:
    """One fault at work: on what, how hard, for how many windows by now (the first is 1)."""

    traffic: Traffic
    subject: str
    size: float
    windows: int
    generator: np.random.Generator

    def some(self, n: int) -> npt.NDArray[np.bool_]:
        """Return which of n rows are hit, bool of [n]."""
        return np.asarray(self.generator.random(n) < self.size)


@dataclass(frozen=True)
class Fault:
    """A kind of fault: ``change`` returns what it makes of rows, ``subjects`` what it can hit.

    ``needed`` says what it takes, for data that has nothing it could hit. ``signals`` are those
    that name it rightly; those of columns must name the column that was hit.
    """

    name: str
    title: str
    levels: tuple[Level, ...]
    subjects: Callable[[Traffic], list[str]]
    change: Callable[[Rows, Hit], Rows]
    needed: str
    signals: frozenset[str] = COLUMN_SIGNALS
    needs_labels: bool = False

    def is_right(self, point: SignalPoint, subject: str) -> bool:
        """Return whether an alarm names the fault: its column, or the signal of its kind."""
        if point.signal not in self.signals:
            return False
        return point.signal not in COLUMN_SIGNALS or point.subject == subject


def numbers(traffic: Traffic) -> list[str]:
    """Return columns of numbers with more than a few values."""
    return [
        column.name
        for column in traffic.signature.columns
        if column.kind in ("number", "integer")
        and len(np.unique(_present(traffic.frame[column.name]))) >= LEAST_VALUES
    ]


def categories(traffic: Traffic) -> list[str]:
    """Return columns of categories."""
    return [c.name for c in traffic.signature.columns if c.kind == "category"]


def nullable(traffic: Traffic) -> list[str]:
    """Return columns in which a value may be missing; a server refuses it in others."""
    return [c.name for c in traffic.signature.columns if c.nullable and c.kind != "text"]


def varied(traffic: Traffic) -> list[str]:
    """Return columns that hold more than one value."""
    names = [c.name for c in traffic.signature.columns if c.kind != "text"]
    return [n for n in names if len(set(_present(traffic.frame[n]).tolist())) > 1]


def labels(traffic: Traffic) -> list[str]:
    """Return the labels, where rows of two classes or more than a few values have one."""
    if traffic.truth is None:
        return []
    return [LABELS] if len(np.unique(traffic.truth[traffic.known()])) > 1 else []


def _present(values: np.ndarray) -> np.ndarray:
    known: np.ndarray = values[~missing_mask(values)]
    return known


def _with(rows: Rows, hit: Hit, values: np.ndarray, which: np.ndarray) -> Rows:
    """Return rows with other values in the column that is hit, where ``which`` says so."""
    old = rows.frame[hit.subject]
    kind = old.dtype if values.dtype.kind == old.dtype.kind else np.result_type(old, values)
    new = old.astype(kind, copy=True)
    new[which] = values[which]
    return replace(rows, frame={**rows.frame, hit.subject: new})


def scaled(rows: Rows, hit: Hit) -> Rows:
    """Return rows whose column is in another unit by a factor of 100, as cents for euros."""
    old = rows.frame[hit.subject]
    return _with(rows, hit, old * old.dtype.type(FACTOR), hit.some(len(rows)))


def converted(rows: Rows, hit: Hit) -> Rows:
    """Return rows whose column went from °C to °F, or as if it had: 1.8 times it, and 32."""
    old = rows.frame[hit.subject]
    new = old.astype(np.float64) * 1.8 + 32.0
    if old.dtype.kind == "i":
        new = np.round(new).astype(old.dtype)
    return _with(rows, hit, new, hit.some(len(rows)))


def renamed(rows: Rows, hit: Hit) -> Rows:
    """Return rows in which the commonest category is called otherwise."""
    known = _present(hit.traffic.frame[hit.subject])
    names, counts = np.unique(known.astype(str), return_counts=True)
    old = names[counts.argmax()]
    column = rows.frame[hit.subject]
    which = np.array([str(value) == old for value in column.tolist()]) & hit.some(len(rows))
    new = np.full(len(rows), f"{old}{RENAMED}", dtype=object)
    return _with(rows, hit, new, which)


def forgotten(rows: Rows, hit: Hit) -> Rows:
    """Return rows in which the value is missing."""
    column = hit.traffic.signature.column(hit.subject)
    if column.kind in ("number", "integer"):
        gone = np.full(len(rows), np.nan)
    else:
        gone = np.full(len(rows), None, dtype=object)
    return _with(rows, hit, gone, hit.some(len(rows)))


def frozen(rows: Rows, hit: Hit) -> Rows:
    """Return rows that all have one value: that of a sender which stopped measuring."""
    known = _present(hit.traffic.frame[hit.subject])
    # The same one in every window, since it is that column's middle value.
    value = np.sort(known.astype(str) if known.dtype.kind == "O" else known)[len(known) // 2]
    if known.dtype.kind == "O":
        value = next(each for each in known.tolist() if str(each) == value)
    old = rows.frame[hit.subject]
    stuck = np.full(len(rows), value, dtype=old.dtype)
    return _with(rows, hit, stuck, hit.some(len(rows)))


def drifting(rows: Rows, hit: Hit) -> Rows:
    """Return rows whose mean moved by ``size`` standard deviations for each window until now."""
    known = _present(hit.traffic.frame[hit.subject]).astype(np.float64)
    old = rows.frame[hit.subject]
    new = old.astype(np.float64) + hit.size * hit.windows * float(known.std())
    if hit.traffic.signature.column(hit.subject).kind == "integer":
        # Rounded by chance, so that the mean of whole numbers moves as it should.
        new = np.floor(new + hit.generator.random(len(rows)))
        new = new.astype(old.dtype) if old.dtype.kind == "i" else new
    return _with(rows, hit, new, np.ones(len(rows), dtype=bool))


def shifted_labels(rows: Rows, hit: Hit) -> Rows:
    """Return other rows of the traffic: the odds of the last class, or of high values, are higher.

    What each class looks like stays (label shift: Lipton, Wang and Smola 2018, arXiv 1802.03916).
    """
    traffic = hit.traffic
    known = np.flatnonzero(traffic.known())
    weights = np.where(_raised(traffic, known), hit.size, 1.0)
    return traffic.rows(hit.generator.choice(known, len(rows), p=weights / weights.sum()))


def raised_share(traffic: Traffic) -> float:
    """Return the share of the class whose odds `shifted_labels` raises; 0 of a regression."""
    known = np.flatnonzero(traffic.known())
    if traffic.signature.task == "regression" or not len(known):
        return 0.0
    return float(_raised(traffic, known).mean())


def _raised(traffic: Traffic, known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    truth = np.asarray(traffic.truth)[known]
    if traffic.signature.task == "regression":
        return np.asarray(truth > np.median(truth))
    positive = traffic.signature.positive_index
    return np.asarray(truth == (truth.max() if positive is None else positive))


def flipped(rows: Rows, hit: Hit) -> Rows:
    """Return the same rows with other truths where the column is high: what it means has changed.

    A class becomes the next one, a value its mirror image about the mean.
    """
    known = _present(hit.traffic.frame[hit.subject]).astype(np.float64)
    column = rows.frame[hit.subject].astype(np.float64)
    region = column >= np.quantile(known, 1 - hit.size)
    truth = np.asarray(rows.truth)
    if hit.traffic.signature.task == "regression":
        mean = float(np.nanmean(np.asarray(hit.traffic.truth)))
        return replace(rows, truth=np.where(region, 2 * mean - truth, truth))
    other = (truth + 1) % len(hit.traffic.signature.classes)
    return replace(rows, truth=np.where(region & (truth >= 0), other, truth))


def _shares(strong: float, weak: float, of: str = "of rows") -> tuple[Level, ...]:
    pairs = (("strong", strong), ("weak", weak))
    return tuple(Level(name, size, f"{100 * size:g} % {of}") for name, size in pairs)


FAULTS: tuple[Fault, ...] = (
    Fault("scale", "a column times 100", _shares(1.0, 0.1), numbers, scaled,
          "a column of numbers"),
    Fault("unit", "a column in another unit (1.8 x + 32)", _shares(1.0, 0.1), numbers, converted,
          "a column of numbers"),
    Fault("renamed", "the commonest category renamed", _shares(1.0, 0.1, "of its rows"),
          categories, renamed, "a column of categories"),
    Fault("missing", "a burst of missing values", _shares(0.5, 0.05), nullable, forgotten,
          "a column in which values may be missing"),
    Fault("frozen", "a column that stands still", _shares(1.0, 0.2), varied, frozen,
          "a column with more than one value"),
    Fault("slow", "a slow drift of a column",
          (Level("strong", 0.02, "0.02 standard deviations a window"),
           Level("weak", 0.005, "0.005 standard deviations a window")),
          numbers, drifting, "a column of numbers"),
    Fault("labels", "classes in other proportions",
          (Level("strong", 4.0, "odds times 4"), Level("weak", 1.5, "odds times 1.5")),
          labels, shifted_labels, "labels of two classes, or of different values",
          signals=QUALITY | {"output", "label_shift"}, needs_labels=True),
    Fault("concept", "labels flipped in a region", _shares(0.5, 0.1), numbers, flipped,
          "labels, and a column of numbers to take a region of", signals=QUALITY,
          needs_labels=True),
)  # fmt: skip


def fault_called(name: str) -> Fault:
    """Return a fault by its name; raises KeyError."""
    return {fault.name: fault for fault in FAULTS}[name]
