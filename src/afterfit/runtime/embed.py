"""A bundle in the caller's own process, with the checks, flags and events of a server."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from afterfit.core.event import new_id
from afterfit.core.frame import Predictions, is_missing, row_count
from afterfit.core.signature import Signature
from afterfit.errors import InputError
from afterfit.runtime.answers import Answer
from afterfit.runtime.decode import Limits, Rows
from afterfit.runtime.events import SegmentWriter
from afterfit.runtime.journal import Capture, Journal
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.ood import unusual
from afterfit.runtime.predict import load_bundle

__all__ = ["EmbeddedModel"]

MATRIX = 2
UNLIMITED = Limits(rows=1 << 31, string_characters=1 << 31)


class EmbeddedModel:
    """A loaded bundle that answers as the server would, without one.

    ``events`` is a folder for events and live counts; nothing is written where it is None.
    Raises as ``load_bundle`` does. Use it as a context manager, or ``close`` it, to write the
    last events.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "model",
        version: int = 0,
        threads: int = 1,
        events: Path | None = None,
        capture: Capture | None = None,
        expected: str | None = None,
    ) -> None:
        predictor = load_bundle(folder, threads=threads, expected=expected)
        metrics = Metrics()
        self._journal: Journal | None = None
        if events is not None:
            worker = f"embedded-{uuid.uuid4().hex[:12]}"
            self._journal = Journal(
                metrics,
                endpoint="embedded",
                worker=worker,
                sink=SegmentWriter(events, worker),
                folder=events,
                capture=capture,
            )
        self._live = LiveModel(name, version, predictor, UNLIMITED)
        self._service = Service(metrics, self._journal)

    @property
    def digest(self) -> str:
        """The version digest."""
        return self._live.predictor.digest

    @property
    def signature(self) -> Signature:
        """The columns and outputs."""
        return self._live.predictor.signature

    def predict(self, rows: Any) -> list[dict[str, Any]]:
        """Return ``{id, label, probabilities}`` or ``{id, value}`` for each row.

        ``rows`` is one object, a list of objects, an object of columns, or a DataFrame.
        Raises FieldError with the path of every wrong field.
        """
        if isinstance(rows, list | tuple) and not rows:
            return []
        return self._answer(self._frame(rows)).rows()

    def flags(self, rows: Any) -> list[tuple[str, ...]]:
        """Return what is unusual about each row: ``range``, ``new_category``, ``missing``, ``ood``.

        The last one only where the bundle has a scorer.
        """
        frame = self._frame(rows)
        predictor = self._live.predictor
        # Only a scorer looks at the answers.
        answers = predictor.predict(frame) if predictor.ood else Predictions()
        flags = unusual(self._live.decoder, predictor.ood, frame, answers)
        return [flags.of(row) for row in range(row_count(frame))]

    def close(self) -> None:
        """Write the events that wait, and end the model's process where it has one."""
        if self._journal is not None:
            self._journal.close()
        self._live.predictor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, frame: dict[str, np.ndarray]) -> Answer:
        return self._service.predict(self._live, Rows(frame), new_id())

    def _frame(self, rows: Any) -> dict[str, np.ndarray]:
        decoder = self._live.decoder
        if isinstance(rows, list | tuple):
            return decoder.from_rows([_plain_row(row) for row in rows])
        if isinstance(rows, Mapping):
            if any(_is_column(value) for value in rows.values()):
                columns = {str(name): _plain_column(values) for name, values in rows.items()}
                return decoder.from_columns(columns, "$.{}")
            return decoder.from_rows([_plain_row(rows)])
        if isinstance(rows, np.ndarray) and rows.ndim == MATRIX:
            return decoder.from_columns(self._named(rows), "$.{}")
        if isinstance(rows, str | bytes) or not hasattr(rows, "columns"):
            raise InputError(
                f"rows cannot be given as {type(rows).__name__}",
                fix="give a list of dicts, a dict of columns, a DataFrame or a 2-D array",
            )
        # A DataFrame of any library: it has columns and gives each by its name.
        columns = {str(name): _plain_column(rows[name]) for name in rows.columns}
        return decoder.from_columns(columns, "$.{}")

    def _named(self, rows: np.ndarray) -> dict[str, list[Any]]:
        names = self._live.decoder.signature.names
        if rows.shape[1] != len(names):
            raise InputError(
                f"the array has {rows.shape[1]} columns, the model takes {len(names)}",
                fix=f"give them in this order: {', '.join(names)}",
            )
        return {name: _plain_column(rows[:, i]) for i, name in enumerate(names)}


def _is_column(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _plain_row(row: Any) -> Any:
    if not isinstance(row, Mapping):
        return row
    return {str(name): _plain(value) for name, value in row.items()}


def _plain_column(values: Any) -> list[Any]:
    items: Sequence[Any] = values.tolist() if hasattr(values, "tolist") else list(values)
    return [_plain(value) for value in items]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; what stands for missing in Python and pandas becomes None."""
    item = value.item() if isinstance(value, np.generic) else value
    return None if is_missing(item) or type(item).__name__ in {"NAType", "NaTType"} else item
