"""The columns of anyone's log as predictions: what each means, and values that fit its kind."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from afterfit.core.dataset import encode_labels, to_label
from afterfit.core.frame import Predictions, is_missing, missing_mask
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.monitor.batches import Batch
from afterfit.monitor.sources.times import microseconds
from afterfit.records.signals import Scope
from afterfit.store.arrow import column_to_numpy

__all__ = ["LogColumns", "decided", "fitted", "numbers_of", "same", "slice_columns"]

_WAITS = ("queue_us", "infer_us")


@dataclass(frozen=True)
class LogColumns:
    """What the columns of a log mean: ``mapping`` names them by role, as ``parse_mapping`` gives.

    ``score`` is the value, the positive class's probability, or the top probability; ``label`` the
    decided class; ``y`` the true one; ``version`` tells versions apart; columns of the signature
    that have no role are inputs, and so are those of ``slice``.
    """

    mapping: Mapping[str, str]
    signature: Signature
    scope: Scope = field(default_factory=Scope)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that are inputs, in the order of the signature, those of slices last."""
        roles = {column for role, column in self.mapping.items() if role != "slice"}
        names = [name for name in self.signature.names if name not in roles]
        return tuple(dict.fromkeys([*names, *slice_columns(self.mapping)]))

    def wanted(self, names: Sequence[str]) -> list[str]:
        """Return those of a log's columns that are read; raises InputError for one not there."""
        roles = [(role, column) for role, column in self.mapping.items() if role != "slice"]
        roles += [("slice", column) for column in slice_columns(self.mapping)]
        for role, column in roles:
            if column not in names:
                raise InputError(
                    f"the log has no column {column!r}",
                    where=f"--map {role}={column}",
                    why=f"its columns are: {', '.join(list(names)[:20])}",
                    fix="leave out y, if no label is known yet"
                    if role == "y"
                    else "name a column of the log: --map score=COLUMN,y=COLUMN,ts=COLUMN",
                )
        used = {column for _, column in roles} | set(self.inputs)
        return [name for name in names if name in used]

    def batches(self, table: Any, *, where: str = "", first_row: int = 0) -> Iterator[Batch]:
        """Yield the rows of an Arrow table or record batch, those of each version apart.

        ``where`` names the log and ``first_row`` its row that comes first here, from 0: both make
        the number of a row, which is the same whenever the log is read.
        """
        n = table.num_rows
        given = {role: column for role, column in self.mapping.items() if role != "slice"}
        columns = {role: table.column(name) for role, name in given.items()}
        plain = {
            role: column_to_numpy(column, given[role], where)
            for role, column in columns.items()
            if role != "ts"
        }
        score = numbers_of(plain["score"]) if "score" in plain else np.full(n, np.nan)
        probabilities = self._probabilities(score)
        times = columns.get("ts")
        whole = Batch(
            scope=self.scope,
            role="primary",
            ts=same(0, n, np.int64) if times is None else microseconds(times, where, first_row),
            kinds=same("served", n),
            scores=score,
            probabilities=probabilities,
            codes=decided(plain.get("label"), probabilities, self.signature, n),
            ids=_texts(plain.get("event_id"), n),
            entities=_texts(plain.get("entity"), n),
            queue_us=_waits(plain.get("queue_us"), n),
            infer_us=_waits(plain.get("infer_us"), n),
            flags=same(-1, n, np.int64),
            errors=same("", n),
            frame=self._frame(table, where),
            truth=None if "y" not in plain else self._truth(plain["y"]),
            marks=_marks(where, first_row, n),
        )
        yield from self._by_version(whole, plain.get("version"))

    def _probabilities(self, score: np.ndarray) -> np.ndarray | None:
        positive = self.signature.positive_index
        if self.signature.task != "binary" or positive is None or "score" not in self.mapping:
            return None
        both = (1 - score, score) if positive == 1 else (score, 1 - score)
        return np.column_stack(both)

    def _truth(self, values: np.ndarray) -> np.ndarray:
        """Return true classes or numbers, object of [n] with None where there is none yet."""
        found = np.full(len(values), None, dtype=object)
        known = np.flatnonzero(~missing_mask(values))
        if self.signature.task == "regression":
            found[known] = numbers_of(values[known]).tolist()
        else:
            items = values[known].tolist()
            labels = {item: to_label(item) for item in set(items)}
            found[known] = [labels[item] for item in items]
        return found

    def _frame(self, table: Any, where: str) -> dict[str, np.ndarray]:
        known = {column.name: column for column in self.signature.columns}
        names = set(table.schema.names)
        frame = {}
        for name in self.inputs:
            if name in names:
                values = column_to_numpy(table.column(name), name, where)
                column = known.get(name)
                frame[name] = values if column is None else fitted(values, column)
        return frame

    def _by_version(self, whole: Batch, versions: np.ndarray | None) -> Iterator[Batch]:
        if versions is None:
            yield whole
            return
        words = _texts(versions, len(whole))
        for word in sorted(set(words.tolist())):
            scope = msgspec.structs.replace(self.scope, digest=word)
            yield replace(whole.take(np.flatnonzero(words == word)), scope=scope)


def slice_columns(mapping: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns whose values are slices."""
    return tuple(filter(None, mapping.get("slice", "").split(",")))


def decided(
    said: np.ndarray | None, probabilities: np.ndarray | None, signature: Signature, n: int
) -> np.ndarray:
    """Return the decided class of each row, int64 of [n]: what was said, else the likely one."""
    if not signature.classes:
        return np.full(n, -1, dtype=np.int64)
    codes = np.full(n, -1, np.int64) if said is None else encode_labels(said, signature.classes)
    if probabilities is None:
        return codes
    known = ~np.isnan(probabilities).any(axis=1)
    filled = np.where(known[:, None], probabilities, 0.0)
    probable = signature.codes(Predictions(probabilities=filled))
    return np.where((codes < 0) & known, probable, codes)


def fitted(values: np.ndarray, column: Column) -> np.ndarray:
    """Return a column as its kind in the signature has it, whatever type the log gave it.

    What is no number in a column of numbers is missing; numbers in a column of text are their
    digits.
    """
    if column.kind in ("number", "integer"):
        return values if values.dtype.kind in "fiu" else numbers_of(values)
    if column.kind == "boolean":
        return values if values.dtype.kind == "b" else _booleans(values)
    return values if values.dtype.kind == "O" else _digits(values)


def numbers_of(values: np.ndarray) -> np.ndarray:
    """Return float64 of [n], NaN for what is no number."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    try:
        return np.asarray(pa.array(values, pa.string()).cast(pa.float64()), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return np.array([_number(value) for value in values.tolist()], dtype=np.float64)


def same(value: Any, n: int, dtype: Any = object) -> np.ndarray:
    """Return one value for all of n rows, in the memory of one."""
    return np.broadcast_to(np.array(value, dtype=dtype), (n,))


def _number(value: Any) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError):
        return float("nan")


_WORDS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def _booleans(values: np.ndarray) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = [_WORDS.get(str(value).lower()) for value in values.tolist()]
    return found


def _digits(values: np.ndarray) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = [None if is_missing(v) else str(to_label(v)) for v in values.tolist()]
    return found


def _texts(values: np.ndarray | None, n: int) -> np.ndarray:
    if values is None:
        return same("", n)
    if values.dtype.kind == "O":
        found = values.copy()
        found[missing_mask(values)] = ""
        return found
    return _texts(_digits(values), n)


def _waits(values: np.ndarray | None, n: int) -> np.ndarray:
    if values is None:
        return same(-1, n, np.int64)
    numbers = numbers_of(values)
    return np.where(np.isfinite(numbers), np.round(numbers), -1).astype(np.int64)


def _marks(where: str, first_row: int, n: int) -> np.ndarray:
    place = np.arange(first_row, first_row + n, dtype=np.uint64)
    return place + np.uint64(zlib.crc32(where.encode()) << 32)
