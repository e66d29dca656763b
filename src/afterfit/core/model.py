"""The model, as every part of Afterfit sees it, behind one adapter."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Label, Task


@runtime_checkable
class Model(Protocol):
    """Anything that turns rows into predictions: a native model, an ONNX session, a server."""

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows; raises InputError for rows it cannot take."""
        ...


class ModelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter could tell of a model without any data.

    ``features`` is None where the file holds no names, ``classes`` is empty for a regression or
    where unknown. ``saved_with`` and ``installed`` map library to version. ``custom`` lists the
    user's own classes ("module.Name") that the model cannot be loaded without.
    """

    framework: str
    estimator: str
    task: Task | None = None
    features: tuple[str, ...] | None = None
    n_features: int | None = None
    classes: tuple[Label, ...] = ()
    probabilities: bool = True
    refittable: bool = False
    steps: tuple[str, ...] = ()
    saved_with: dict[str, str] = {}
    installed: dict[str, str] = {}
    custom: tuple[str, ...] = ()
    categorical: dict[str, tuple[str, ...]] = {}
    size_bytes: int = 0
