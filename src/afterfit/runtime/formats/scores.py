"""An answer as columns, with the names that ``afterfit predict`` gives them in a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.signature import Label, Signature
from afterfit.runtime.answers import Answer, word

__all__ = ["label_type", "predictions", "score_columns", "score_names"]

_INT64 = 2**63
_TYPES: dict[type, type] = {str: str, int: int, bool: bool, float: float}


def predictions(answer: Answer) -> list[Any]:
    """Return the value of each row, or its label in the user's words and type."""
    if answer.predictions.values is not None:
        values: list[Any] = answer.predictions.values.tolist()
        return values
    return list(answer.labels)


def score_names(signature: Signature) -> tuple[str, ...]:
    """Return ``value``, or ``label`` and one ``probability_<class>`` a class where there are any.

    ``id`` stands before them in an answer.
    """
    if signature.task == "regression":
        return ("value",)
    if not signature.probabilities:
        return ("label",)
    return ("label", *(f"probability_{word(label)}" for label in signature.classes))


def score_columns(answer: Answer) -> dict[str, list[Any] | np.ndarray]:
    """Return ``id`` and the columns of ``score_names``: lists of str, or arrays of [n]."""
    signature = answer.model.signature
    found: list[list[Any] | np.ndarray]
    if answer.predictions.values is not None:
        found = [answer.predictions.values]
    else:
        found = [_labels(answer)]
        if answer.predictions.probabilities is not None:
            found += list(np.ascontiguousarray(answer.predictions.probabilities.T))
    return {"id": answer.ids, **dict(zip(score_names(signature), found, strict=True))}


def label_type(classes: tuple[Label, ...]) -> type:
    """Return the one type of all classes, or ``str`` where they have several."""
    kinds = {type(label) for label in classes}
    if len(kinds) > 1:
        return str
    kind = _TYPES[kinds.pop()]
    too_wide = kind is int and any(not -_INT64 <= label < _INT64 for label in classes)  # type: ignore[operator]
    return str if too_wide else kind


def _labels(answer: Answer) -> list[Any] | np.ndarray:
    kind = label_type(answer.model.signature.classes)
    if kind is str:
        return [word(label) for label in answer.labels]
    return np.array(answer.labels, dtype=kind)
