"""Asking the model strange things, and telling what became of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from afterfit.core import frame as frames
from afterfit.core.frame import Frame, Predictions
from afterfit.core.model import Model
from afterfit.core.scale import answer_scale
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, InputError, in_record
from afterfit.records.robustness import Case, CaseOutcome
from afterfit.robustness.cases import MISSING, Spoiled

UNHARMED = "rows as they are"
ZERO_ROWS = "zero rows"
AGAIN = "the same rows again"
COLUMNS_TURNED = "columns in reverse"
BATCHES = ("one row at a time", "rows in reverse", "rows shuffled", "one row repeated")
ALONE = 25
# float32 kernels sum in another order by batch size: differences up to about 1e-6 are no defect.
SAME = 1e-5
# A value of a regression counts as another decision beyond this share of the answers' spread.
SPREAD_SHARE = 0.01
# Probabilities of float32 sum to 1 within about 1e-6; a rounded table of them within 1e-3.
OFF_ONE = 1e-3
MOST_WORDS = 300

Asked = tuple[Predictions | None, CaseOutcome, str]


def ask(model: Model, rows: Frame) -> Asked:
    """Return the answer, what became of the question, and what a record may hold of an exception.

    A refusal names the column; an exception without one is the model's own, however it came. Its
    own words may quote the rows: `ask_in_words` has them.
    """
    return _asked(model, rows, in_record)


def ask_in_words(model: Model, rows: Frame) -> Asked:
    """Return what `ask` does, with the model's own words, which must not leave the workspace."""
    return _asked(model, rows, _words)


def _words(error: Exception) -> str:
    if isinstance(error, AfterfitError):
        return f"{error.message}: {error.why}".strip(": ")
    return f"{type(error).__name__}: {error}"


def _asked(model: Model, rows: Frame, told: Callable[[Exception], str]) -> Asked:
    n = frames.row_count(rows)
    try:
        answer = model.predict(rows)
    except InputError as error:
        return None, "refused" if error.where or not n else "crashed", told(error)[:MOST_WORDS]
    except Exception as error:  # noqa: BLE001 - whatever a user's model raises is the finding
        return None, "crashed", told(error)[:MOST_WORDS]
    if len(answer) != n:
        return None, "crashed", f"{n} rows gave {len(answer)} answers"
    return answer, *verdict(answer)


def verdict(answer: Predictions) -> tuple[CaseOutcome, str]:
    """Return whether the answers can be used, and what is wrong with those that cannot."""
    n = len(answer)
    lost = int(unusable(answer).sum())
    if not lost:
        return "answered", ""
    finite = np.isfinite(answer.main.astype(np.float64)).reshape(n, -1).all(axis=1)
    if not finite.all():
        return "not_finite", f"{int((~finite).sum())} of {n} rows were answered NaN or infinity"
    return "no_probability", f"{lost} of {n} rows have probabilities outside of 0 to 1, or no sum 1"


def unusable(answer: Predictions) -> np.ndarray:
    """Return which rows have an answer that is no number, or no probability; bool of [n]."""
    n = len(answer)
    if not n:
        return np.zeros(0, dtype=bool)
    main = answer.main.astype(np.float64).reshape(n, -1)
    bad = np.asarray(~np.isfinite(main).all(axis=1))
    if answer.probabilities is not None:
        with np.errstate(invalid="ignore"):
            outside = (main < -OFF_ONE).any(axis=1) | (main > 1 + OFF_ONE).any(axis=1)
            bad = bad | outside | (np.abs(main.sum(axis=1) - 1) > OFF_ONE)
    return bad


def known_beforehand(signature: Signature, rows: Frame, spoiled: Spoiled) -> Case | None:
    """Return the case where it need not be asked: it does not apply, or the server refuses it."""
    n = frames.row_count(rows)
    if spoiled.change is None and not spoiled.source:
        return _case(spoiled, 0, "not_applicable", spoiled.why)
    if spoiled.case == MISSING and not signature.column(spoiled.column).nullable:
        message = "the signature says not nullable: a request with null is refused with 422"
        return _case(spoiled, n, "refused", message)
    if spoiled.alike and not touched(rows, spoiled).any():
        return _case(spoiled, 0, "not_applicable", "no value of these rows is written otherwise")
    return None


def touched(rows: Frame, spoiled: Spoiled) -> np.ndarray:
    """Return which rows a case changes, bool of [n]."""
    before, after = rows[spoiled.column], spoiled.applied(rows)[spoiled.column]
    gone = frames.missing_mask(before)
    return np.asarray(~gone & (before != after), dtype=bool)


def case_of(
    signature: Signature, rows: Frame, before: Predictions, spoiled: Spoiled, asked: Asked
) -> Case:
    """Return what one case did to the rows; of cases alike, ``n`` is the rows that they touch."""
    after, outcome, message = asked
    n = int(touched(rows, spoiled).sum()) if spoiled.alike else frames.row_count(rows)
    if after is None:
        return _case(spoiled, n, outcome, message)
    lost = int(unusable(after).sum())
    if outcome != "answered":
        tried = len(after)
        return _case(spoiled, n, outcome, message, failed=lost, tried=tried)
    shifts = _shifts(signature, before, after)
    return Case(
        case=spoiled.case,
        column=spoiled.column,
        n=n,
        outcome="answered",
        changed=int(decided_otherwise(signature, before, after).sum()),
        max_shift=None if shifts is None else _largest(shifts),
        mean_shift=None if shifts is None or not n else float(shifts.sum() / n),
    )


def _case(
    spoiled: Spoiled, n: int, outcome: CaseOutcome, message: str, *, failed: int = 0, tried: int = 0
) -> Case:
    return Case(
        case=spoiled.case,
        column=spoiled.column,
        n=n,
        outcome=outcome,
        message=message,
        failed=failed,
        tried=tried,
    )


def _shifts(signature: Signature, before: Predictions, after: Predictions) -> np.ndarray | None:
    """Return the change of the score of each row; labels alone have none."""
    if after.labels_only:
        return None
    positive = signature.positive_index
    return np.asarray(np.abs(after.score(positive) - before.score(positive)))


def _largest(differences: np.ndarray) -> float | None:
    known = differences[np.isfinite(differences)]
    return float(known.max()) if known.size else None


def decided_otherwise(signature: Signature, before: Predictions, after: Predictions) -> np.ndarray:
    """Return which rows are decided otherwise, bool of [n].

    A value of a regression is another decision where it moves by more than 1 % of the answers'
    standard deviation.
    """
    if before.values is None or after.values is None:
        return np.asarray(signature.codes(before) != signature.codes(after))
    gaps = np.abs(after.values - before.values)
    return np.asarray(~(gaps <= decisive(before.values)))


def decisive(values: np.ndarray) -> np.ndarray:
    """Return by how much each value of a regression must move to count as another decision."""
    known = values[np.isfinite(values)]
    spread = float(known.std()) if known.size else 0.0
    return np.asarray(np.maximum(SPREAD_SHARE * spread, SAME * answer_scale(values).of(values)))


def zero_rows(model: Model, signature: Signature) -> Case:
    """Return what a frame without rows did; to refuse it, or to answer nothing, is fine."""
    _, outcome, message = ask(model, signature.empty())
    return Case(case=ZERO_ROWS, column="", n=0, outcome=outcome, message=message)


def again(model: Model, rows: Frame, before: Predictions) -> Case:
    """Return whether the same rows get the same answers when they are asked once more."""
    return _compared(model, AGAIN, rows, before)


def columns_turned(model: Model, rows: Frame, before: Predictions) -> Case:
    """Return whether the rows are answered alike when their columns come in another order."""
    turned = {name: rows[name] for name in reversed(list(rows))}
    return _compared(model, COLUMNS_TURNED, turned, before)


def batches(model: Model, rows: Frame, before: Predictions, seed: int = 0) -> list[Case]:
    """Return whether rows alone, reversed, shuffled and repeated are answered as in the batch."""
    n = frames.row_count(rows)
    alone = min(n, ALONE)
    shuffled = np.random.default_rng(seed).permutation(n)
    repeated = np.zeros(max(2, alone), dtype=np.int64)
    orders: tuple[np.ndarray | slice, ...] = (slice(None, None, -1), shuffled, repeated)
    return [
        _alone(model, rows, before.take(slice(0, alone)), alone),
        *(
            _compared(model, case, frames.take(rows, order), before.take(order))
            for case, order in zip(BATCHES[1:], orders, strict=True)
        ),
    ]


def _alone(model: Model, rows: Frame, expected: Predictions, n: int) -> Case:
    parts = []
    for row in range(n):
        answer, outcome, message = ask(model, frames.take(rows, slice(row, row + 1)))
        if answer is None:
            return Case(case=BATCHES[0], column="", n=n, outcome=outcome, message=message)
        parts.append(answer)
    return same(BATCHES[0], expected, frames.concatenate(parts), n)


def _compared(model: Model, case: str, rows: Frame, expected: Predictions) -> Case:
    """Return whether ``rows`` are answered as ``expected``, which stand in the same order."""
    n = frames.row_count(rows)
    answer, outcome, message = ask(model, rows)
    if answer is None:
        return Case(case=case, column="", n=n, outcome=outcome, message=message)
    return same(case, expected, answer, n)


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
