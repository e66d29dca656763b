"""Predictions as columns of a table, in the user's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from afterfit.core.frame import Predictions
from afterfit.core.signature import Label, Signature
from afterfit.runtime.answers import word

__all__ = ["score_columns", "score_names"]


def score_names(signature: Signature) -> tuple[str, ...]:
    """Return the names of the columns that a prediction has.

    ``value`` for a regression; else ``label`` and, where the model gives them, one
    ``probability_<class>`` a class.
    """
    if signature.task == "regression":
        return ("value",)
    if not signature.probabilities:
        return ("label",)
    return ("label", *(f"probability_{word(label)}" for label in signature.classes))


def score_columns(predictions: Predictions, signature: Signature) -> list[Any]:
    """Return one Arrow array a name of ``score_names``, of [n]."""
    if predictions.values is not None:
        return [pa.array(predictions.values)]
    labels = label_array(signature.classes).take(pa.array(signature.codes(predictions)))
    if predictions.probabilities is None:
        return [labels]
    by_class = np.ascontiguousarray(predictions.probabilities.T)
    return [labels, *(pa.array(each) for each in by_class)]


def label_array(classes: tuple[Label, ...]) -> Any:
    """Return the classes with their own type where all have one, else as text."""
    kinds = {type(label) for label in classes}
    if len(kinds) == 1:
        return pa.array(list(classes))
    return pa.array([word(label) for label in classes])
