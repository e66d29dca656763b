"""Whether a variant answers as the native model does, row by row.

A graph that was made is only a claim. *Exact* means: on every row that the model answers, the
variant answers within the tolerance and decides the same label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from afterfit.core.frame import Predictions, concatenate, row_count, take
from afterfit.core.model import Model
from afterfit.core.scale import AnswerScale, answer_scale
from afterfit.core.signature import Signature
from afterfit.errors import InputError, ModelError, in_record
from afterfit.models.convert import Converted
from afterfit.optimize.rows import RowSet
from afterfit.records.optimize import Parity

__all__ = [
    "Answers",
    "Judgement",
    "answered_anyway",
    "answers_of",
    "blame",
    "compare",
    "is_exact",
    "refusing",
]

BATCHES = (1, 7, 1000)
SINGLES = 20
"""Rows that are asked one at a time."""


@dataclass(frozen=True)
class Answers:
    """What the model answered to a row set, and which rows it refused.

    ``rows`` are the row set's indices that were answered, in order; ``predictions`` belongs to
    them. ``refused`` are the names of the cases that the model raised on, with its words.
    """

    row_set: RowSet
    rows: np.ndarray
    predictions: Predictions | None
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Judgement:
    """A comparison on one row set, and the row that differs most (an index into the set).

    Of the rows that the model refuses, ``answered_refused`` get a finite answer from the variant
    and ``nan_refused`` get NaN.
    """

    parity: Parity
    worst: int | None = None
    answered_refused: int = 0
    nan_refused: int = 0

    @property
    def exact(self) -> bool:
        """Whether no row was beyond the tolerance and no label flipped."""
        return self.parity.beyond == 0 and self.parity.flips == 0


def answers_of(model: Model, row_set: RowSet) -> Answers:
    """Return the model's answers, leaving out the cases that it refuses."""
    cases = np.unique(row_set.case)
    found, refused = _ask(model, row_set, cases)
    rows = [rows for rows, _ in found]
    return Answers(
        row_set=row_set,
        rows=np.concatenate(rows) if rows else np.empty(0, np.int64),
        predictions=concatenate([part for _, part in found]) if found else None,
        refused=tuple(refused),
    )


def _ask(
    model: Model, row_set: RowSet, cases: np.ndarray
) -> tuple[list[tuple[np.ndarray, Predictions]], list[tuple[str, str]]]:
    """Return [(rows, answers)] and [(case, words)], halving what is refused."""
    if len(cases) == 0:
        return [], []
    rows = np.flatnonzero(np.isin(row_set.case, cases))
    try:
        return [(rows, model.predict(take(row_set.frame, rows)))], []
    except (InputError, ModelError) as error:
        if len(cases) == 1:
            return [], [(row_set.cases[int(cases[0])], in_record(error))]
    half = len(cases) // 2
    left, left_refused = _ask(model, row_set, cases[:half])
    right, right_refused = _ask(model, row_set, cases[half:])
    return left + right, left_refused + right_refused


def compare(
    variant: Model,
    native: Answers,
    signature: Signature,
    tolerance: float,
    scale: AnswerScale | None = None,
) -> Judgement:
    """Return how the variant's answers to the same rows differ; one that raises is not exact.

    ``scale`` is that of a regression's usual answers, by default of these.
    """
    name, count = native.row_set.name, len(native.rows)
    if native.predictions is None:
        message = f"the model refused all of them: {native.refused[0][1]}" if native.refused else ""
        return Judgement(_parity(name, 0, None, 0, 0, tolerance, message))
    frame = take(native.row_set.frame, native.rows)
    try:
        answers = variant.predict(frame)
        again = _in_batches(variant, frame, count)
    except (InputError, ModelError) as error:
        message = f"the variant raised: {in_record(error)}"
        return Judgement(_parity(name, count, None, count, 0, tolerance, message))
    difference = np.maximum(
        differences(native.predictions, answers, scale),
        differences(native.predictions, again, scale),
    )
    flipped = _flips(native.predictions, answers, signature)
    flipped |= _flips(native.predictions, again, signature)
    beyond = ~(difference <= tolerance)
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    finite, nan = answered_anyway(variant, native)
    return Judgement(
        _parity(
            name,
            count,
            _largest(difference),
            int(beyond.sum()),
            int(flipped.sum()),
            tolerance,
            _message(native, int(beyond.sum()), int(flipped.sum()), worst),
        ),
        worst=int(native.rows[worst]) if (beyond | flipped).any() else None,
        answered_refused=finite,
        nan_refused=nan,
    )


def is_exact(judgements: Sequence[Judgement]) -> bool:
    """Return whether rows were compared, and none of them differs."""
    compared = sum(judgement.parity.n for judgement in judgements)
    return compared > 0 and all(judgement.exact for judgement in judgements)


def differences(
    first: Predictions, second: Predictions, scale: AnswerScale | None = None
) -> np.ndarray:
    """Return each row's largest difference, float64 of [n].

    Probabilities differ by their absolute difference, values by that over what ``scale`` (by
    default the first's) says of their size, codes by 0 or 1. Equal infinities and two NaN do not
    differ; one NaN differs by NaN.
    """
    a, b = np.asarray(first.main, np.float64), np.asarray(second.main, np.float64)
    if a.shape != b.shape:
        return np.full(len(a), np.inf)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        gap = np.abs(a - b)
        if first.values is not None:
            gap = gap / (scale or answer_scale(a)).of(a)
    if first.labels_only:
        gap = (a != b).astype(np.float64)
    gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, gap)
    return gap if gap.ndim == 1 else gap.max(axis=1)


def blame(
    model: Model,
    variant: Model,
    row_set: RowSet,
    worst: int,
    calm: int,
    tolerance: float,
    scale: AnswerScale | None = None,
) -> str:
    """Return the columns of the worst row without whose value the difference is gone.

    Each column in turn gets the value of a row on which both agree (``calm``).
    """
    names = list(row_set.frame)
    repeated = take(row_set.frame, np.full(len(names), worst))
    quiet = take(row_set.frame, np.array([calm]))
    for index, name in enumerate(names):
        repeated[name][index] = quiet[name][0]
    try:
        gap = differences(model.predict(repeated), variant.predict(repeated), scale)
    except (InputError, ModelError):
        return ""
    return ", ".join(name for name, left in zip(names, gap, strict=True) if left <= tolerance)


def _in_batches(variant: Model, frame: dict[str, np.ndarray], count: int) -> Predictions:
    """Return the answers asked for in batches of 1, 7 and 1000 rows, one size after the other."""
    parts: list[Predictions] = []
    start = 0
    for size, limit in zip(BATCHES, (SINGLES, SINGLES * 8, count), strict=True):
        stop = min(count, limit)
        parts += [
            variant.predict(take(frame, slice(first, min(first + size, stop))))
            for first in range(start, stop, size)
        ]
        start = max(start, stop)
    return concatenate(parts)


def _flips(first: Predictions, second: Predictions, signature: Signature) -> np.ndarray:
    if first.values is not None or first.main.shape != second.main.shape:
        return np.zeros(len(first), dtype=bool)
    return np.asarray(signature.codes(first) != signature.codes(second))


def _largest(difference: np.ndarray) -> float | None:
    """Return the largest difference; None where one is not a finite number."""
    top = float(np.max(difference)) if len(difference) else 0.0
    return top if np.isfinite(top) else None


def _message(native: Answers, beyond: int, flips: int, worst: int) -> str:
    parts = []
    if beyond or flips:
        case = native.row_set.cases[int(native.row_set.case[native.rows[worst]])]
        parts.append(f"{beyond} rows beyond the tolerance, {flips} other labels; worst: {case}")
    if native.refused:
        cases = ", ".join(case for case, _ in native.refused[:3])
        more = f" and {len(native.refused) - 3} more" if len(native.refused) > 3 else ""
        parts.append(f"not compared, because the model refuses them: {cases}{more}")
    return "; ".join(parts)


def answered_anyway(variant: Model, native: Answers) -> tuple[int, int]:
    """Return how many rows that the model refuses the variant answers: finitely, and with NaN."""
    rows = np.setdiff1d(np.arange(row_count(native.row_set.frame)), native.rows)
    cases = np.unique(native.row_set.case[rows])
    found, _ = _ask(variant, native.row_set, cases)
    mains = [np.asarray(part.main, np.float64).reshape(len(part), -1) for _, part in found]
    finite = sum(int(np.isfinite(main).all(axis=1).sum()) for main in mains)
    return finite, sum(int(np.isnan(main).any(axis=1).sum()) for main in mains)


def refusing(made: Converted, answers: Sequence[Answers], nan: int) -> Converted:
    """Return a graph that refuses what it answers with NaN, where the model refuses such rows.

    ``nan`` is how many rows that the model refuses get NaN. One that answers NaN itself on some
    of its rows is left to do so.
    """
    known = [each.predictions for each in answers if each.predictions is not None]
    itself = any(np.isnan(np.asarray(each.main, np.float64)).any() for each in known)
    if not nan or itself or made.output is None:
        return made
    output = msgspec.structs.replace(made.output, refuses_nan=True)
    told = "rows that the graph answers with NaN are refused, as the model refuses them"
    return msgspec.structs.replace(made, output=output, repaired=(*made.repaired, told))


def _parity(
    rows: str,
    n: int,
    largest: float | None,
    beyond: int,
    flips: int,
    tolerance: float,
    message: str,
) -> Parity:
    return Parity(
        rows=rows,
        n=n,
        max_difference=largest,
        beyond=beyond,
        flips=flips,
        tolerance=tolerance,
        message=message,
    )
