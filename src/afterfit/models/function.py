"""The user's own function: ``module:function`` with the folder that holds its code.

The function takes a pandas DataFrame with the signature's columns and returns, for n rows, one of

* probabilities of [n, classes], or of [n] for the second class of two (floats in 0..1);
* class labels of [n] (strings, integers or booleans);
* numbers of [n] for a regression.

What ``module:name`` names may also be a class: it is made once, without arguments, and asked by its
``predict`` method (``__call__`` where it has none). Where the module has a function ``load()``, it
is called once before the first row, to read weights that lie beside the code. Attributes
``features``, ``classes`` and ``task`` of the function describe the model where the data cannot.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.core.dataset import encode_labels, to_label
from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.model import ModelDescription
from afterfit.core.signature import Label, Task
from afterfit.errors import InputError, ModelError
from afterfit.models.native import Hints, NativeModel, Source
from afterfit.models.tables import require_columns, to_pandas

__all__ = ["Adapter", "FunctionModel"]


class Adapter:
    """Imports the user's function from the code folder."""

    name = "function"
    formats = frozenset({"function"})
    order = 80

    def owns(self, estimator: object) -> bool:
        """Return whether the object is a plain function."""
        return inspect.isfunction(estimator)

    def load(self, source: Source) -> NativeModel:
        """Return the model around ``module:function``; raises ModelError."""
        return FunctionModel(_resolve(source.function), source.hints)

    def wrap(self, estimator: Any, hints: Hints) -> NativeModel:
        """Return the model around a function of this process."""
        return FunctionModel(estimator, hints)


class FunctionModel:
    """The user's function behind Afterfit's interface."""

    def __init__(self, estimator: Any, hints: Hints) -> None:
        self.estimator = estimator
        self._hints = hints
        features = hints.features or tuple(getattr(estimator, "features", ()))
        classes = hints.classes or tuple(map(to_label, getattr(estimator, "classes", ())))
        self._features: tuple[str, ...] = features
        self._classes: tuple[Label, ...] = classes
        self._task: Task | None = hints.task or getattr(estimator, "task", None) or _of(classes)
        name = getattr(estimator, "__qualname__", type(estimator).__qualname__)
        self.description = ModelDescription(
            framework="function",
            estimator=str(name),
            task=self._task,
            features=features or None,
            classes=classes,
            probabilities=self._task != "regression",
        )

    def adopt(self, hints: Hints) -> NativeModel:
        """Return the same function with other hints."""
        return FunctionModel(self.estimator, hints)

    def predict(self, frame: Frame) -> Predictions:
        """Return what the function says of n rows; raises InputError or ModelError."""
        n = row_count(frame)
        if n == 0:
            raise InputError("no rows to predict", fix="give at least one row")
        features = self._features or tuple(frame)
        require_columns(frame, features)
        answer = np.asarray(self.estimator(to_pandas(frame, features)))
        if answer.ndim == 2 and answer.shape[1] == 1:
            answer = answer[:, 0]
        if answer.ndim not in {1, 2} or len(answer) != n:
            raise ModelError(
                f"the function answered {list(answer.shape)} for {n} rows",
                why="it must return one answer a row: [n] or [n, classes]",
                fix="return one probability, label or number for each row of the DataFrame",
            )
        return self._read(answer)

    def _read(self, answer: np.ndarray) -> Predictions:
        if self._task == "regression" or (self._task is None and answer.ndim == 1):
            return Predictions(values=answer.astype(np.float64))
        if answer.ndim == 2:
            return Predictions(probabilities=_matrix(answer, len(self._classes)))
        if answer.dtype.kind == "f" and len(self._classes) <= 2:
            second = answer.astype(np.float64)
            if not ((second >= 0) & (second <= 1)).all():
                raise ModelError(
                    "the function answered a probability outside of 0 to 1",
                    why=f"its answers go from {second.min():g} to {second.max():g}",
                    fix="return numbers from 0 to 1, or set the task: --task regression",
                )
            return Predictions(probabilities=np.column_stack([1.0 - second, second]))
        return self._labels(answer)

    def _labels(self, answer: np.ndarray) -> Predictions:
        codes = encode_labels(answer, self._classes)
        if (codes < 0).any():
            strange = to_label(answer[int(np.argmax(codes < 0))])
            raise ModelError(
                "the function answered what is none of the classes",
                why=f"it answered {strange!r}, the classes are {list(self._classes)}",
                fix="set the classes in afterfit.toml, or as an attribute of the function",
            )
        return Predictions(codes=codes)

    def save(self, path: Path) -> None:
        """Raise ModelError: a function is carried as its code folder."""
        raise ModelError(
            "a function has no file of its own",
            where=str(path),
            fix="give its folder: --code FOLDER",
        )


def _resolve(name: str) -> Callable[[Any], Any]:
    module_name, _, attribute = name.partition(":")
    module = importlib.import_module(module_name)
    target = getattr(module, attribute, None)
    if target is None:
        raise ModelError(
            f"{module_name} has no {attribute}",
            where=name,
            fix="name it as module:function",
        )
    loader = getattr(module, "load", None)
    if callable(loader) and loader is not target:
        loader()
    if inspect.isclass(target):
        made = target()
        target = made if not hasattr(made, "predict") else made.predict
    if not callable(target):
        raise ModelError(f"{name} cannot be called", where=name, fix="name a function or a class")
    found: Callable[[Any], Any] = target
    return found


def _of(classes: tuple[Label, ...]) -> Task | None:
    if not classes:
        return None
    return "binary" if len(classes) == 2 else "multiclass"


def _matrix(answer: np.ndarray, classes: int) -> np.ndarray:
    matrix = answer.astype(np.float64)
    if classes and matrix.shape[1] != classes:
        raise ModelError(
            f"the function answered {matrix.shape[1]} columns for {classes} classes",
            fix="return one probability for each class, in the order of the classes",
        )
    if not np.allclose(matrix.sum(axis=1), 1.0, atol=1e-3):
        raise ModelError(
            "the function's probabilities do not sum to 1",
            why=f"the first row sums to {matrix[0].sum():g}",
            fix="apply a softmax to the scores before returning them",
        )
    return matrix
