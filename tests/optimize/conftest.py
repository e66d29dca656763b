"""Models in this process, asked through the same door as those in a process of their own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from afterfit.core.frame import Frame, Predictions, missing_mask
from afterfit.core.signature import Column, Signature, Task
from afterfit.models.native import Hints, NativeModel, adapter_for_object
from afterfit.models.tables import to_array, to_pandas


@pytest.fixture(autouse=True)
def _inline(inline: None) -> None:
    """Hold models in this process."""


class InProcess:
    """What ``LoadedModel`` offers to the ladder, without a process: quick for many models."""

    def __init__(self, native: NativeModel) -> None:
        self.native = native
        self.description = native.description

    def predict(self, frame: Frame) -> Predictions:
        """Return the model's predictions, with the errors that the other process would report."""
        from afterfit.errors import AfterfitError, InputError

        try:
            return self.native.predict(frame)
        except AfterfitError:
            raise
        except Exception as error:  # noqa: BLE001 - as the model's own process does
            raise InputError("the model refuses these rows", why=str(error)[:200]) from None

    def call(self, target: str, /, **arguments: Any) -> Any:
        """Return ``function(native, **arguments)``."""
        module, _, name = target.partition(":")
        return getattr(import_module(module), name)(self.native, **arguments)


def signature_of(frame: Frame, task: Task, classes: tuple[Any, ...] = ()) -> Signature:
    """Return the signature that ``inspect`` would make of these columns."""
    columns = []
    for name, values in frame.items():
        gone = missing_mask(values)
        present = values[~gone]
        nullable = bool(gone.any())
        if values.dtype.kind == "O":
            known = tuple(sorted(set(present.tolist())))
            columns.append(Column(name=name, kind="category", nullable=nullable, categories=known))
            continue
        whole = values.dtype.kind in "iu"
        columns.append(
            Column(
                name=name,
                kind="integer" if whole else "number",
                nullable=nullable,
                low=float(present.min()),
                high=float(present.max()),
            )
        )
    positive = classes[-1] if task == "binary" else None
    return Signature(task=task, columns=tuple(columns), classes=classes, positive=positive)


def fit(
    estimator: Any, frame: Frame, target: np.ndarray, task: Task, *, named: bool = True
) -> tuple[InProcess, Signature]:
    """Return the fitted model and its signature; ``named`` trains on a DataFrame, else an array."""
    names = tuple(frame)
    table = to_pandas(frame, names) if named else to_array(frame, names)
    estimator.fit(table, target)
    classes = () if task == "regression" else tuple(np.unique(target).tolist())
    signature = signature_of(frame, task, classes)
    native = adapter_for_object(estimator).wrap(estimator, Hints.of(signature))
    return InProcess(native), signature


@pytest.fixture(scope="session")
def fitted() -> Callable[..., tuple[InProcess, Signature]]:
    """The function ``fit``."""
    return fit


@pytest.fixture(scope="session")
def signed() -> Callable[..., Signature]:
    """The function ``signature_of``."""
    return signature_of


@pytest.fixture(scope="session")
def table() -> Callable[..., dict[str, np.ndarray]]:
    """A function from (rows, seed) to a table of numbers, integers and text with holes."""

    def make(rows: int = 600, seed: int = 0, *, holes: bool = True) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        frame: dict[str, np.ndarray] = {
            "income": np.exp(rng.normal(10, 1, rows)),
            "ratio": rng.normal(size=rows),
            "age": rng.integers(17, 90, rows),
            "job": rng.choice(np.array(["clerk", "nurse", "smith", "none"], dtype=object), rows),
            "town": rng.choice(np.array(["north", "south", "ö ü"], dtype=object), rows),
        }
        if holes:
            frame["ratio"] = np.where(rng.random(rows) < 0.06, np.nan, frame["ratio"])
            frame["job"][rng.random(rows) < 0.06] = None
        return frame

    return make


@pytest.fixture(scope="session")
def target() -> Callable[..., np.ndarray]:
    """A function from (table, task) to labels or values that depend on every column."""

    def make(frame: Frame, task: Task, seed: int = 1) -> np.ndarray:
        rng = np.random.default_rng(seed)
        score = (
            np.nan_to_num(frame["ratio"])
            + frame["age"] / 40
            + np.log(frame["income"]) / 5
            + np.isin(frame["job"], ["nurse", "smith"])
            + (frame["town"] == "north")
        )
        score = score + rng.normal(scale=0.4, size=len(score))
        if task == "regression":
            return np.asarray(score * 100)
        edges = np.quantile(score, [0.6] if task == "binary" else [0.3, 0.7])
        words = np.array(["no", "yes"] if task == "binary" else ["a", "b", "c"], dtype=object)
        return np.asarray(words[np.digitize(score, edges)])

    return make
