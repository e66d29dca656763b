"""What the model does with real rows and with missing values, asked of the model itself."""

from __future__ import annotations

import re

import numpy as np

from afterfit.core import frame as frames
from afterfit.core.frame import Frame, Predictions, missing_mask
from afterfit.core.model import Model
from afterfit.errors import InputError, ModelError

__all__ = ["SAMPLE_ROWS", "accepts_missing", "sample_answer", "sample_rows"]

SAMPLE_ROWS = 1000
MOST_CALLS = 256


def sample_answer(model: Model, frame: Frame, source: str) -> Predictions:
    """Return the model's answers to a sample of the rows; raises InputError naming the column.

    ``frame`` holds the sample's rows (see :func:`sample_rows`).
    """
    try:
        answer = model.predict(frame)
    except InputError as error:
        raise _named(model, error, frame, source) from None
    if not np.isfinite(np.asarray(answer.main, dtype=np.float64)).all():
        raise ModelError(
            "the model answers NaN or infinity for some of the rows",
            where=source,
            fix="look where model.predict(rows) is not finite, and train the model again",
        )
    return answer


def sample_rows(frame: Frame) -> np.ndarray:
    """Return the first 1,000 rows and, for each column, the first row in which it is missing."""
    n = frames.row_count(frame)
    chosen = set(range(min(n, SAMPLE_ROWS)))
    for array in frame.values():
        gaps = np.flatnonzero(missing_mask(array))
        chosen |= set(gaps[:1].tolist())
    return np.array(sorted(chosen), dtype=np.int64)


def _named(model: Model, error: InputError, frame: Frame, source: str) -> InputError:
    quoted = re.search(r"could not convert string to float: '(.*)'", error.why)
    if quoted:
        name = next((n for n, a in frame.items() if quoted[1] in a.tolist()), "")
        return InputError(
            f"column {name} holds text where the model needs numbers",
            where=f"{source}: column {name}",
            why=f"for example {quoted[1]!r}",
            fix=f"give numbers in {name}, or a model whose pipeline encodes it",
        )
    gaps = [name for name, array in frame.items() if missing_mask(array).any()]
    taken = accepts_missing(model, frame, tuple(gaps)) if gaps else frozenset()
    refused = [name for name in gaps if name not in taken]
    if refused and "NaN" in error.why:
        return InputError(
            f"column {refused[0]} has missing values, which the model does not take",
            where=f"{source}: column {refused[0]}",
            why=error.why.splitlines()[0],
            fix=f"fill {refused[0]}, or put an imputer into the model's pipeline",
        )
    return InputError(
        error.message, where=error.where or source, why=error.why, fix=error.fix, code=error.code
    )


def accepts_missing(model: Model, frame: Frame, names: tuple[str, ...]) -> frozenset[str]:
    """Return the columns of which the model answers finitely when that one value is missing.

    All columns are asked about in one call, a row each; where it raises, in halves, so that one
    column that is refused hides no other. What is not known after 256 calls is not taken.
    """
    base = _whole_row(frame)
    calls = 0

    def ask(part: tuple[str, ...]) -> frozenset[str]:
        nonlocal calls
        calls += 1
        if not part or calls > MOST_CALLS:
            return frozenset()
        try:
            answer = model.predict(_rows(base, part))
        except (InputError, ModelError):
            if len(part) == 1:
                return frozenset()
            half = len(part) // 2
            return ask(part[:half]) | ask(part[half:])
        main = np.asarray(answer.main, dtype=np.float64).reshape(len(part), -1)
        good = np.isfinite(main)
        return frozenset(name for index, name in enumerate(part) if good[index].all())

    return ask(names)


def _whole_row(frame: Frame) -> dict[str, np.ndarray]:
    """Return one row in which nothing is missing: the first value of each column that is there."""
    row = {}
    for name, array in frame.items():
        there = np.flatnonzero(~missing_mask(array))
        row[name] = array[there[:1]] if len(there) else array[:1]
    return row


def _rows(base: Frame, missing: tuple[str, ...]) -> dict[str, np.ndarray]:
    rows = {name: np.repeat(array, len(missing)) for name, array in base.items()}
    for index, name in enumerate(missing):
        array = rows[name]
        if array.dtype.kind in "iuf":
            array = array.astype(np.float64)
            array[index] = np.nan
        else:
            array = array.astype(object)
            array[index] = None
        rows[name] = array
    return rows
