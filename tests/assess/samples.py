"""Evidence made of probabilities, for parts of ``assess`` that need no model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Evidence
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.progress import SILENT
from afterfit.core.signature import Column, Signature

if TYPE_CHECKING:
    from afterfit.assess.evidence import Part
    from afterfit.core.finding import Finding

QUICK = AssessConfig(effort="quick", folds=0)


def evidence_of(
    signature: Signature, truth: np.ndarray, predictions: Predictions, **config: Any
) -> Evidence:
    """What a part is given of rows with one column, their number."""
    data = Dataset(frame={"x": np.arange(len(truth), dtype=float)})
    asked = AssessConfig(effort="quick", folds=0, **config)
    return Evidence(
        signature, data, truth, predictions, None, None, asked, (), float("inf"), SILENT
    )


def binary(hits: np.ndarray, scores: np.ndarray, threshold: float = 0.5, **config: Any) -> Evidence:
    """Rows of two classes with the probability of the positive one."""
    signature = Signature(
        task="binary",
        columns=(Column(name="x", kind="number"),),
        classes=("no", "yes"),
        positive="yes",
        threshold=threshold,
    )
    probabilities = np.column_stack([1 - scores, scores])
    told = Predictions(probabilities=probabilities)
    return evidence_of(signature, hits.astype(np.int64), told, **config)


def multiclass(codes: np.ndarray, probabilities: np.ndarray, **config: Any) -> Evidence:
    """Rows of several classes, called a, b, c and so on."""
    signature = Signature(
        task="multiclass",
        columns=(Column(name="x", kind="number"),),
        classes=tuple(chr(97 + code) for code in range(probabilities.shape[1])),
    )
    return evidence_of(signature, codes, Predictions(probabilities=probabilities), **config)


def regression(truth: np.ndarray, values: np.ndarray, **config: Any) -> Evidence:
    """Rows of numbers."""
    columns = (Column(name="x", kind="number"),)
    signature = Signature(task="regression", columns=columns, target="price")
    return evidence_of(signature, truth, Predictions(values=values), **config)


def with_data(evidence: Evidence, **roles: Any) -> Evidence:
    """The same rows with a group or a time column."""
    return replace(evidence, data=replace(evidence.data, **roles))


def finding(part: Part, code: str) -> Finding:
    """The one finding of that code."""
    (found,) = [each for each in part.findings if each.code == code]
    return found
