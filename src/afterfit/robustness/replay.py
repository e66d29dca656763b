"""A kept case, asked again: whether what must hold of its rows holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from afterfit.core import frame as frames
from afterfit.core.frame import Frame, Predictions, concatenate, is_missing
from afterfit.core.signature import Column, Signature
from afterfit.records.robustness_cases import KeptCase
from afterfit.robustness.probe import Asked, same

__all__ = ["Ask", "Row", "Seen", "frame_of", "replayed", "rows_of"]

Row = dict[str, Any]
Ask = Callable[[Frame], Asked]
USABLE = frozenset({"answered", "refused"})


class Seen(NamedTuple):
    """Whether a case holds, what became of it in a word, and the model's words."""

    holds: bool
    happened: str
    message: str = ""


def replayed(ask: Ask, signature: Signature, case: KeptCase) -> Seen:
    """Return what became of a kept case; ``ask`` answers frames and never raises."""
    rows = frame_of(signature, case.rows)
    if case.expectation == "same_decision":
        return _decisions(ask, signature, case, rows)
    answer, outcome, message = ask(rows)
    if case.expectation == "answers" or answer is None:
        return Seen(outcome in USABLE, outcome, message)
    if case.expectation == "same_in_batch":
        return _alike(answer, _alone(ask, rows), "answered otherwise alone")
    if case.expectation == "same_in_any_order":
        turned = {name: rows[name] for name in reversed(list(rows))}
        return _alike(answer, ask(turned), "answered otherwise with its columns reversed")
    return _alike(answer, ask(rows), "answered otherwise when asked again")


def rows_of(frame: Frame) -> list[Row]:
    """Return the rows of a frame as JSON has them; what is missing is None."""
    names = list(frame)
    columns = [frame[name].tolist() for name in names]
    return [
        {name: None if is_missing(value) else value for name, value in zip(names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]


def frame_of(signature: Signature, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return rows as a frame of the signature; a column that a row does not have is missing."""
    return {
        column.name: _column(column, [row.get(column.name) for row in rows])
        for column in signature.columns
    }


def _column(column: Column, values: list[Any]) -> np.ndarray:
    gone = any(value is None for value in values)
    if column.kind == "number" or (column.kind == "integer" and gone):
        numbers = [np.nan if value is None else float(value) for value in values]
        return np.array(numbers, dtype=np.float64)
    if column.kind == "integer":
        return np.array([int(value) for value in values], dtype=np.int64)
    if column.kind == "boolean" and not gone:
        return np.array(values, dtype=bool)
    held = np.empty(len(values), dtype=object)
    held[:] = values
    return held


def _decisions(ask: Ask, signature: Signature, case: KeptCase, rows: Frame) -> Seen:
    answers = []
    for place in (0, 1):
        answer, outcome, message = ask(frames.take(rows, slice(place, place + 1)))
        if answer is None or outcome != "answered":
            return Seen(outcome in USABLE, outcome, message)
        answers.append(answer)
    first, second = answers
    if first.values is not None and second.values is not None:
        gap = float(abs(first.values[0] - second.values[0]))
        return Seen(gap <= case.tolerance, "decided otherwise", f"its value moved by {gap:.3g}")
    codes = [int(signature.codes(answer)[0]) for answer in answers]
    said = " and ".join(repr(signature.classes[code]) for code in codes)
    return Seen(codes[0] == codes[1], "decided otherwise", f"the two are decided {said}")


def _alone(ask: Ask, rows: Frame) -> Asked:
    parts: list[Predictions] = []
    for row in range(frames.row_count(rows)):
        answer, outcome, message = ask(frames.take(rows, slice(row, row + 1)))
        if answer is None:
            return None, outcome, message
        parts.append(answer)
    return concatenate(parts), "answered", ""


def _alike(expected: Predictions, asked: Asked, text: str) -> Seen:
    found, outcome, message = asked
    if found is None:
        return Seen(outcome in USABLE, outcome, message)
    told = same("", expected, found, len(expected))
    holds = told.outcome == "answered" and not told.changed
    return Seen(holds, text, told.message or f"{told.changed} of {len(expected)} rows")
