"""The public check of an adapter: what every adapter must do, whoever wrote it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core import frame as frames
from afterfit.core.frame import Frame, Predictions
from afterfit.errors import InputError
from afterfit.models.native import (
    NO_HINTS,
    Adapter,
    Hints,
    NativeModel,
    Source,
    adapter_for_format,
)
from afterfit.models.save import save_object

__all__ = ["AdapterFaultError", "check_adapter"]

TOLERANCE = 1e-6
SINGLE_ROWS = 16


class AdapterFaultError(AssertionError):
    """An adapter does not do what every adapter must; the text says what."""


def check_adapter(
    adapter: Adapter,
    model_factory: Callable[[], Any],
    data: Mapping[str, np.ndarray],
    *,
    hints: Hints = NO_HINTS,
) -> tuple[str, ...]:
    """Return the names of the checks that were made; raises AdapterFaultError at the first fault.

    ``model_factory`` gives a fitted object of the adapter's framework, or a
    :class:`~afterfit.models.native.Source` for what has no object; ``data`` is a frame of at least
    two rows with exactly its columns. What makes no sense for the model is not in the answer:
    columns by name where the model knows none, a round trip where it has no file.
    """
    _require(frames.row_count(data) >= 2, "give at least two rows")
    made = model_factory()
    is_source = isinstance(made, Source)
    if is_source:
        native = adapter.load(made)
    else:
        _require(adapter.owns(made), f"owns() says no to its own {type(made).__name__}")
        native = adapter.wrap(made, hints)
    whole = native.predict(data)
    _check_description(native, whole, frames.row_count(data))
    _check_batches(native, data, whole)
    done = ["description", "batches"]
    if native.description.features:
        _check_names(native, data, whole)
        done += ["missing column", "column order"]
    if not is_source:
        _check_round_trip(native, data, whole, hints)
        done.append("round trip")
    return tuple(done)


def _check_description(native: NativeModel, answer: Predictions, n: int) -> None:
    description = native.description
    _require(len(answer) == n, f"{len(answer)} answers to {n} rows")
    classifies = answer.values is None
    _require(
        (description.task != "regression") == classifies,
        f"the task is {description.task}, and the answers are "
        f"{'classes' if classifies else 'numbers'}",
    )
    _require(
        not classifies or description.probabilities == (answer.probabilities is not None),
        "the description and the answers differ about probabilities",
    )
    if answer.probabilities is not None:
        width = answer.probabilities.shape[1]
        _require(
            width == len(description.classes),
            f"{width} probabilities for {len(description.classes)} classes",
        )
        sums = answer.probabilities.sum(axis=1)
        _require(bool(np.allclose(sums, 1.0, atol=1e-4)), "probabilities do not sum to 1")


def _check_batches(native: NativeModel, data: Frame, whole: Predictions) -> None:
    for row in range(min(SINGLE_ROWS, frames.row_count(data))):
        single = native.predict(frames.take(data, slice(row, row + 1)))
        _equal(single, whole.take(slice(row, row + 1)), f"row {row} alone and among others")


def _check_names(native: NativeModel, data: Frame, whole: Predictions) -> None:
    features = native.description.features or ()
    turned = {name: data[name] for name in reversed(list(data))}
    _equal(native.predict(turned), whole, "the columns in another order")
    for name in features:
        rest = {other: array for other, array in data.items() if other != name}
        try:
            native.predict(rest)
        except InputError as error:
            _require(name in str(error), f"the error about the missing {name} does not name it")
        else:
            raise AdapterFaultError(f"the missing column {name} is no InputError")


def _check_round_trip(native: NativeModel, data: Frame, whole: Predictions, hints: Hints) -> None:
    with tempfile.TemporaryDirectory(prefix="afterfit-check-") as folder:
        saved = save_object(native.estimator, Path(folder))
        source = Source(
            format=saved.format, path=str(saved.path), trusted=saved.trusted, hints=hints
        )
        again = adapter_for_format(saved.format).load(source)
        _equal(again.predict(data), whole, "the model and the model from its file")
        _require(
            again.description.classes == native.description.classes,
            "the model from its file has other classes",
        )


def _equal(one: Predictions, other: Predictions, what: str) -> None:
    same = np.allclose(one.main, other.main, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    _require(bool(same), f"answers differ: {what}")


def _require(fine: bool, what: str) -> None:  # noqa: FBT001  # reads like assert
    if not fine:
        raise AdapterFaultError(what)
