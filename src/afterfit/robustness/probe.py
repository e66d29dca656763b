"""Asking the model strange things, and telling what became of each."""

from __future__ import annotations

import numpy as np

from afterfit.core import frame as frames
from afterfit.core.frame import Frame, Predictions
from afterfit.core.model import Model
from afterfit.core.scale import answer_scale
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, InputError
from afterfit.records.robustness import Case, CaseOutcome
from afterfit.robustness.cases import Spoiled

UNHARMED = "rows as they are"
ZERO_ROWS = "zero rows"
BATCHES = ("one row at a time", "rows in reverse")
ALONE = 25
# float32 kernels sum in another order by batch size: differences up to about 1e-6 are no defect.
SAME = 1e-5
# A value of a regression counts as another decision beyond this share of the answers' spread.
SPREAD_SHARE = 0.01


def ask(model: Model, rows: Frame) -> tuple[Predictions | None, CaseOutcome, str]:
    """Return the answer, what became of the question, and the model's words.

    A refusal names the column; an exception without one is the model's own, however it came.
    """
    n = frames.row_count(rows)
    try:
        answer = model.predict(rows)
    except InputError as error:
        told = f"{error.message}: {error.why}".strip(": ")[:300]
        return None, "refused" if error.where or not n else "crashed", told
    except AfterfitError as error:
        return None, "crashed", f"{error.message}: {error.why}".strip(": ")[:300]
    except Exception as error:  # noqa: BLE001 - whatever a user's model raises is the finding
        return None, "crashed", f"{type(error).__name__}: {error}"[:300]
    if len(answer) != n:
        return None, "crashed", f"{n} rows gave {len(answer)} answers"
    finite = np.isfinite(answer.main.astype(np.float64))
    if not finite.all():
        bad = int((~finite.reshape(n, -1).all(axis=1)).sum())
        return answer, "not_finite", f"{bad} of {n} rows were answered NaN or infinity"
    return answer, "answered", ""


def run_case(
    model: Model, signature: Signature, rows: Frame, before: Predictions, spoiled: Spoiled
) -> Case:
    """Return what one case did; a null where the signature has none is refused by the server."""
    n, column = frames.row_count(rows), spoiled.column
    if spoiled.change is None:
        return Case(
            case=spoiled.case, column=column, n=0, outcome="not_applicable", message=spoiled.why
        )
    if spoiled.case == "missing" and not signature.column(column).nullable:
        message = "the signature says not nullable: a request with null is refused with 422"
        return Case(case=spoiled.case, column=column, n=n, outcome="refused", message=message)
    names = [column] if column else list(signature.names)
    changed = {**rows, **{name: spoiled.change(rows[name]) for name in names}}
    after, outcome, message = ask(model, changed)
    if after is None or outcome != "answered":
        return Case(case=spoiled.case, column=column, n=n, outcome=outcome, message=message)
    return Case(
        case=spoiled.case,
        column=column,
        n=n,
        outcome="answered",
        changed=_decisions_changed(signature, before, after),
        max_shift=_shift(signature, before, after),
    )


def _shift(signature: Signature, before: Predictions, after: Predictions) -> float | None:
    """Return the largest change of the score; labels alone have none."""
    if after.labels_only:
        return None
    positive = signature.positive_index
    return _largest(np.abs(after.score(positive) - before.score(positive)))


def _largest(differences: np.ndarray) -> float | None:
    known = differences[np.isfinite(differences)]
    return float(known.max()) if known.size else None


def _decisions_changed(signature: Signature, before: Predictions, after: Predictions) -> int:
    if before.values is None or after.values is None:
        return int((signature.codes(before) != signature.codes(after)).sum())
    known = before.values[np.isfinite(before.values)]
    spread = float(known.std()) if known.size else 0.0
    size = answer_scale(before.values).of(before.values)
    allowed = np.maximum(SPREAD_SHARE * spread, SAME * size)
    return int((~(np.abs(after.values - before.values) <= allowed)).sum())


def zero_rows(model: Model, signature: Signature) -> Case:
    """Return what a frame without rows did; to refuse it, or to answer nothing, is fine."""
    _, outcome, message = ask(model, signature.empty())
    return Case(case=ZERO_ROWS, column="", n=0, outcome=outcome, message=message)


def batches(model: Model, rows: Frame, before: Predictions) -> list[Case]:
    """Return whether rows alone, and rows in reverse, are answered as in the batch."""
    n = frames.row_count(rows)
    alone = min(n, ALONE)
    return [
        _alone(model, rows, before.take(slice(0, alone)), alone),
        _reversed(model, rows, before, n),
    ]


def _alone(model: Model, rows: Frame, expected: Predictions, n: int) -> Case:
    parts = []
    for row in range(n):
        answer, outcome, message = ask(model, frames.take(rows, slice(row, row + 1)))
        if answer is None:
            return Case(case=BATCHES[0], column="", n=n, outcome=outcome, message=message)
        parts.append(answer)
    return same(BATCHES[0], expected, frames.concatenate(parts), n)


def _reversed(model: Model, rows: Frame, expected: Predictions, n: int) -> Case:
    backwards = slice(None, None, -1)
    answer, outcome, message = ask(model, frames.take(rows, backwards))
    if answer is None:
        return Case(case=BATCHES[1], column="", n=n, outcome=outcome, message=message)
    return same(BATCHES[1], expected, answer.take(backwards), n)


def same(case: str, expected: Predictions, found: Predictions, n: int) -> Case:
    """Return a case whose ``changed`` counts the rows that were answered differently.

    NaN twice is the same answer; that it is none is told elsewhere.
    """
    first, second = expected.main.astype(np.float64), found.main.astype(np.float64)
    if first.shape != second.shape:
        message = f"answers of shape {list(second.shape)}, expected {list(first.shape)}"
        return Case(case=case, column="", n=n, outcome="crashed", message=message)
    with np.errstate(invalid="ignore"):
        difference = np.abs(first - second)
    both = np.isfinite(first) & np.isfinite(second)
    size = np.ones(first.shape) if expected.values is None else answer_scale(first).of(first)
    alike = both & (difference <= SAME * size) | (first == second)
    alike |= np.isnan(first) & np.isnan(second)
    return Case(
        case=case,
        column="",
        n=n,
        outcome="answered",
        changed=int((~alike).reshape(n, -1).any(axis=1).sum()),
        max_shift=None if found.labels_only else _largest(difference),
    )
