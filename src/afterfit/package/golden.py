"""Golden rows: synthetic rows that a bundle carries, with what the model must answer.

They are drawn from the fingerprint, a column at a time, so no row of anybody's data is in them.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from afterfit.core.bundle import Golden
from afterfit.core.finding import Finding
from afterfit.core.fingerprint import ColumnCounts, Fingerprint
from afterfit.core.frame import Frame, Predictions, concatenate, is_missing, row_count, take
from afterfit.core.model import Model
from afterfit.core.scale import AnswerScale
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError, ModelError
from afterfit.package.findings import GoldenRows

MAX_ROWS = 64
_WORDS = ("alpha", "beta", "gamma delta", "epsilon", "zeta eta theta")
_INTEGER_LIMIT = 2.0**53
"""Beyond it a float64 cannot tell two integers apart."""


def golden_rows(
    fingerprint: Fingerprint, signature: Signature, *, n: int = MAX_ROWS, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return a frame of ``n`` (at most 64) synthetic rows; the same seed gives the same rows.

    A number falls in a bin drawn by the reference's counts, uniformly inside it; a category is
    drawn by its count; a value is missing as often as in the reference, where the signature lets
    it be. Columns are independent of each other. Raises ValueError for another ``n``.
    """
    if not 1 <= n <= MAX_ROWS:
        raise ValueError(f"1 to {MAX_ROWS} golden rows, not {n}")
    frame: dict[str, np.ndarray] = {}
    for index, column in enumerate(signature.columns):
        counts = fingerprint.column(column.name) or ColumnCounts(name="", kind=column.kind)
        # A stream a column: another column more or less leaves the others' values alone.
        rng = np.random.default_rng([seed, index])
        frame[column.name] = _with_missing(_present(column, counts, n, rng), column, counts, rng)
    return frame


def make_golden(
    frame: Frame,
    model: Model,
    signature: Signature,
    tolerance: float = 1e-5,
    scale: AnswerScale | None = None,
) -> Golden:
    """Return the rows with the model's answers; raises ModelError for an answer that is no number.

    Rows that the model refuses are left out: they are made up, and a step of the user's may want
    text that reads as a date or a number. ``tolerance`` is the largest difference allowed, for a
    regression times what ``scale`` says of the answer.
    """
    frame = {name: frame[name] for name in signature.names}
    kept = _answered(model, frame, np.arange(row_count(frame)))
    if not kept:
        return Golden(columns={name: [] for name in signature.names}, tolerance=tolerance)
    frame = take(frame, np.concatenate([rows for rows, _ in kept]))
    answers = concatenate([answers for _, answers in kept])
    _check_answers(answers, row_count(frame))
    return Golden(
        columns={name: plain(array) for name, array in frame.items()},
        probabilities=_listed(answers.probabilities),
        values=_listed(answers.values),
        codes=_listed(answers.codes),
        tolerance=tolerance,
        scale=msgspec.UNSET if scale is None else scale,
    )


def golden_finding(golden: Golden, asked: int = MAX_ROWS) -> Finding:
    """Return how many of the rows that were ``asked`` the model answers."""
    n = len(next(iter(golden.columns.values()), []))
    if n == asked:
        return GoldenRows.passed(f"{n} made-up rows with their answers are in the bundle")
    text = f"the model refuses {asked - n} of {asked} made-up rows, which were left out"
    return GoldenRows.tip(
        f"{text}: {n or 'none'} can tell whether it answers alike elsewhere",
        fix="let the first step answer text that it cannot read, as it does a missing value",
        n=n,
    )


def _answered(
    model: Model, frame: dict[str, np.ndarray], rows: np.ndarray
) -> list[tuple[np.ndarray, Predictions]]:
    """Return [(rows, answers)] of those that the model does not refuse, in order."""
    try:
        return [(rows, model.predict(take(frame, rows)))]
    except (InputError, ModelError) as error:
        if error.code == "child_died":
            raise
    if len(rows) == 1:
        return []
    half = len(rows) // 2
    return _answered(model, frame, rows[:half]) + _answered(model, frame, rows[half:])


def plain(values: np.ndarray) -> list[Any]:
    """Return a column as JSON has it, a missing value as None."""
    return [None if is_missing(value) else value for value in values.tolist()]


def _present(column: Column, counts: ColumnCounts, n: int, rng: np.random.Generator) -> np.ndarray:
    if column.kind == "boolean":
        share = counts.mean if counts.finite else 0.5
        return rng.random(n) < share
    if column.numeric:
        return _numbers(column, counts, n, rng)
    if column.kind == "text":
        return _choices(list(_WORDS), None, n, rng)
    known = {name: count for name, count in counts.categories.items() if count > 0}
    if known:
        return _choices(list(known), np.array(list(known.values()), dtype=np.float64), n, rng)
    return _choices(list(column.categories) or list(_WORDS[:2]), None, n, rng)


def _numbers(column: Column, counts: ColumnCounts, n: int, rng: np.random.Generator) -> np.ndarray:
    if not counts.finite or counts.min is None or counts.max is None:
        return _between(column, np.zeros(n), np.ones(n), np.ones(n, dtype=bool), rng)
    weights = np.asarray(counts.counts, dtype=np.float64)
    bins = rng.choice(len(weights), size=n, p=weights / weights.sum())
    # The last edge may lie just above the greatest value, which is then a bin of its own.
    low = np.minimum([counts.min, *counts.edges], counts.max)[bins]
    high = np.minimum([*counts.edges, counts.max], counts.max)[bins]
    return _between(column, low, high, bins == len(weights) - 1, rng)


def _between(
    column: Column, low: np.ndarray, high: np.ndarray, last: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return one value of each [low, high), the last bin's [low, high]."""
    share = rng.random(len(low))
    if column.kind != "integer":
        # Halves first: the width of a bin may be beyond the largest float.
        values: np.ndarray = np.clip(low + 2 * (share * (high / 2 - low / 2)), low, high)
        return values
    low, high = (np.clip(side, -_INTEGER_LIMIT, _INTEGER_LIMIT) for side in (low, high))
    start = np.ceil(low)
    stop = np.where(last, np.floor(high), np.maximum(np.ceil(high) - 1, start))
    drawn: np.ndarray = np.minimum(start + np.floor(share * (stop - start + 1)), stop)
    return drawn.astype(np.int64)


def _choices(
    values: list[str], weights: np.ndarray | None, n: int, rng: np.random.Generator
) -> np.ndarray:
    share = None if weights is None else weights / weights.sum()
    drawn = rng.choice(len(values), size=n, p=share)
    return np.array([values[index] for index in drawn], dtype=object)


def _with_missing(
    values: np.ndarray, column: Column, counts: ColumnCounts, rng: np.random.Generator
) -> np.ndarray:
    absent = counts.missing + counts.nan
    if not column.nullable or not absent:
        return values
    gone = rng.random(len(values)) < absent / counts.total
    if not gone.any():
        return values
    if column.kind in {"number", "integer"}:
        return np.where(gone, np.nan, values.astype(np.float64))
    held = values.astype(object)
    held[gone] = None
    return held


def _check_answers(answers: Predictions, rows: int) -> None:
    if len(answers) != rows:
        raise ModelError(
            f"the model gave {len(answers)} answers for {rows} rows",
            fix="answer one row for each row that is asked",
        )
    finite = np.isfinite(answers.main.astype(np.float64).reshape(rows, -1)).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise ModelError(
            f"the model's answer to golden row {row} is no finite number",
            where=f"golden row {row} of {rows}",
            why="the row is drawn from the distribution of the reference data",
            fix="look at how the model treats missing and extreme values",
        )


def _listed(array: np.ndarray | None) -> Any:
    return None if array is None else array.tolist()
