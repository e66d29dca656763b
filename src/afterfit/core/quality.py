"""What quality is measured from: the labels as metrics take them, and the metric that counts."""

from __future__ import annotations

import numpy as np

from afterfit.core.dataset import Dataset, encode_labels
from afterfit.core.formulae import find_formula
from afterfit.core.frame import Predictions
from afterfit.core.signature import Signature
from afterfit.errors import InputError

__all__ = ["encode_truth", "labelled_rows", "main_metric", "needed"]


def labelled_rows(data: Dataset) -> Dataset:
    """Return the rows that have a label."""
    return data.take(np.flatnonzero(data.labelled()))


def encode_truth(signature: Signature, data: Dataset) -> np.ndarray:
    """Return class codes (int64) or values (float64) of labelled rows; raises InputError."""
    target = data.target
    if target is None:
        raise InputError("there is no target", where=data.source, fix="--target COLUMN")
    where = f"{data.source}: column {data.target_name or signature.target!r}"
    if signature.task == "regression":
        return _values(target, where)
    codes = encode_labels(target, signature.classes)
    if (codes < 0).any():
        unknown = sorted({str(label) for label in target[codes < 0].tolist()})[:5]
        raise InputError(
            f"{int((codes < 0).sum())} rows have labels that the model does not know: {unknown}",
            where=where,
            why=f"the model's classes are {list(signature.classes)}",
            fix="mend the labels, or name the classes: --classes no yes",
        )
    return codes


def _values(target: np.ndarray, where: str) -> np.ndarray:
    try:
        values = target.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            "the target is not numeric",
            where=where,
            why=str(error),
            fix="give numbers in the target, or say what the model does: --task binary",
        ) from None
    if not np.isfinite(values).all():
        raise InputError(
            "the target holds numbers that are not finite",
            where=where,
            fix="leave out the rows without a finite target, or mend them",
        )
    return values


def main_metric(signature: Signature) -> str:
    """Return the metric by which models are compared: roc_auc, accuracy or mae."""
    if signature.task == "regression":
        return "mae"
    if signature.task == "binary" and signature.probabilities:
        return "roc_auc"
    return "accuracy"


def needed(signature: Signature, predictions: Predictions, name: str) -> np.ndarray:
    """Return the array that a metric is computed from: labels, probabilities or values."""
    needs = find_formula(name).needs
    if needs == "labels":
        return signature.codes(predictions)
    return predictions.main
