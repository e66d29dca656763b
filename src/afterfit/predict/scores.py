"""Predictions as columns of a table, in the user's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from afterfit.core.frame import Predictions
from afterfit.core.signature import Label, Signature
from afterfit.runtime.answers import word
from afterfit.runtime.formats.scores import label_type, score_names

__all__ = ["score_columns", "score_names"]


def score_columns(predictions: Predictions, signature: Signature) -> list[Any]:
    """Return one Arrow array a name of ``score_names``, of [n]."""
    if predictions.values is not None:
        return [pa.array(predictions.values)]
    labels = _label_array(signature.classes).take(pa.array(signature.codes(predictions)))
    if predictions.probabilities is None:
        return [labels]
    by_class = np.ascontiguousarray(predictions.probabilities.T)
    return [labels, *(pa.array(each) for each in by_class)]


def _label_array(classes: tuple[Label, ...]) -> Any:
    """Return the classes with their own type where a column can have it, else as text."""
    if label_type(classes) is str:
        return pa.array([word(label) for label in classes])
    return pa.array(list(classes))
