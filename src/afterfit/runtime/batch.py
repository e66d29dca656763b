"""How the rows of requests reach a model.

The direct dispatcher runs each request at once in the process that read it, which is the fastest
way for models that take microseconds. Anything with this method can stand in its place; one that
answers later returns an awaitable of the predictions.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from afterfit.core.frame import Frame, Predictions
from afterfit.core.model import Model

__all__ = ["DirectDispatcher", "Dispatcher"]


class Dispatcher(Protocol):
    """Something that brings rows to a model."""

    def predict(self, model: Model, frame: Frame) -> Predictions | Awaitable[Predictions]:
        """Return the predictions, or a promise of them."""
        ...


class DirectDispatcher:
    """Runs each request at once, on the calling thread."""

    def predict(self, model: Model, frame: Frame) -> Predictions:
        """Return the predictions of n rows; raises InputError for rows the model cannot take."""
        return model.predict(frame)
