"""Rows at the edges, which every lossy variant must cope with where the model does.

A guard, and no certificate: nobody knows how often such rows come, and no label is known for them.
A variant must answer each of them with a number, and decide as the model does on most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Frame, Predictions, take
from afterfit.core.model import Model
from afterfit.core.scale import answer_scale
from afterfit.core.signature import Signature
from afterfit.errors import InputError, ModelError, in_record
from afterfit.models.convert import Converted
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.parity import Answers, answered_anyway, answers_of, refusing
from afterfit.optimize.rows import RowSet, edge_rows
from afterfit.runtime.onnx import OnnxModel

__all__ = ["Edges", "Tried", "edges_of"]

BEYOND = ("lowest - 1", "highest + 1", "highest x 10", "highest x 1e6", "-highest x 1e6")
"""Changes that leave what is known of a column: there nobody says that the model is right."""

HALF = 0.5


@dataclass(frozen=True)
class Tried:
    """What became of a variant on the rows at the edges.

    ``why`` says what rejects it; ``made`` is the variant, which refuses NaN where the model
    refuses the row. ``differ`` is the share of ``rows`` (those within what is known of the columns)
    that are decided otherwise; ``answered_refused`` counts rows that the model refuses.
    """

    made: Converted
    why: str = ""
    differ: float | None = None
    rows: int = 0
    answered_refused: int = 0


@dataclass(frozen=True)
class Edges:
    """The rows with the model's answers; ``spread`` is that of a regression's usual answers.

    ``holes`` are those with a hole where the signature allows none: nothing is asked of them but
    that what the model refuses gets no NaN.
    """

    signature: Signature
    known: Answers
    holes: Answers
    spread: float
    limit: float

    def try_variant(self, made: Converted) -> Tried:
        """Return what becomes of a variant; never raises for what it cannot answer."""
        native = self.known.predictions
        if native is None or made.output is None:
            return Tried(made)
        variant = OnnxModel(made.data, made.inputs, made.output, self.signature.classes, threads=1)
        frame = take(self.known.row_set.frame, self.known.rows)
        try:
            answers = variant.predict(frame)
        except (InputError, ModelError):
            return Tried(made, self._refused(variant, frame))
        gone = ~_finite(answers) & _finite(native)
        if gone.any():
            cases = self._cases(np.flatnonzero(gone))
            return Tried(made, f"it answers no number where the model does: {cases}")
        finite, nan = answered_anyway(variant, self.known)
        _, more = answered_anyway(variant, self.holes)
        made = refusing(made, [self.known], nan + more)
        counted = self._within()
        n = int(counted.sum())
        if not n:
            return Tried(made, answered_refused=finite)
        others = self._others(native, answers) & counted
        share = float(others.sum() / n)
        why = ""
        if share > self.limit:
            cases = self._cases(np.flatnonzero(others))
            why = f"it decides {share:.1%} of {n:,} edge rows otherwise ({cases})"
            why = f"{why}; {self.limit:.0%} is allowed"
        return Tried(made, why, share, n, finite)

    def _refused(self, variant: Model, frame: Frame) -> str:
        """Return which case the variant raises on, asked one after the other."""
        case = self.known.row_set.case[self.known.rows]
        for index in np.unique(case):
            try:
                variant.predict(take(frame, np.flatnonzero(case == index)))
            except (InputError, ModelError) as error:
                name = self.known.row_set.cases[int(index)]
                return f"it raises where the model answers: {name} ({in_record(error)})"
        return "it raises on all edge rows at once, which the model answers"

    def _others(self, native: Predictions, answers: Predictions) -> np.ndarray:
        """Return which rows are decided otherwise: another label, or a value far from it."""
        if native.values is None or answers.values is None:
            codes = self.signature.codes
            return np.asarray(codes(native) != codes(answers), bool)
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.abs(native.values - answers.values)
        return np.asarray((gap > HALF * self.spread) & _finite(native), bool)

    def _within(self) -> np.ndarray:
        """Return which answered rows stay within what is known of the columns."""
        beyond = np.array([name.endswith(BEYOND) for name in self.known.row_set.cases], bool)
        return np.asarray(~beyond[self.known.row_set.case[self.known.rows]], bool)

    def _cases(self, rows: np.ndarray) -> str:
        """Return the names of the cases of these rows, at most three."""
        index = np.unique(self.known.row_set.case[self.known.rows[rows]])
        names = [self.known.row_set.cases[int(each)] for each in index]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more


def edges_of(
    model: Model, signature: Signature, frame: Frame, usual: Predictions, config: OptimizeConfig
) -> Edges:
    """Return the edges of the rows in ``frame``, to which the model answers ``usual``.

    A column is missing only where the signature allows it: a server refuses it elsewhere.
    """
    rows = edge_rows(Dataset(frame=dict(frame)), signature, config.seed)
    never = {f"{column.name}: missing" for column in signature.columns if not column.nullable}
    hole = np.array([name in never for name in rows.cases], bool)[rows.case]
    known, holes = (answers_of(model, _part(rows, mask)) for mask in (~hole, hole))
    spread = 0.0 if usual.values is None else answer_scale(usual.values).spread
    return Edges(signature, known, holes, spread, config.max_edge_flips)


def _part(rows: RowSet, mask: np.ndarray) -> RowSet:
    frame = dict(take(rows.frame, np.flatnonzero(mask)))
    return RowSet(rows.name, frame, rows.case[mask], rows.cases)


def _finite(answers: Predictions) -> np.ndarray:
    main = np.asarray(answers.main, np.float64)
    return np.asarray(np.isfinite(main.reshape(len(main), -1)).all(axis=1))
