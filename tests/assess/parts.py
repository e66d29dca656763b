"""Evidence for one part of ``assess``, without a model: rows, labels, and what was said of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Evidence
from afterfit.core.dataset import Dataset
from afterfit.core.progress import SILENT
from afterfit.core.signature import Column, Signature

if TYPE_CHECKING:
    import numpy as np

    from afterfit.core.frame import Frame, Predictions


def signature_of(frame: Frame, task: Any, probabilities: bool = True) -> Signature:  # noqa: FBT001, FBT002
    """The signature of a frame, binary with the classes no and yes, or a regression."""
    columns = tuple(
        Column(name=name, kind="category" if values.dtype.kind == "O" else "number", nullable=True)
        for name, values in frame.items()
    )
    if task == "regression":
        return Signature(task="regression", columns=columns, target="price")
    classes = ("no", "yes") if task == "binary" else ("a", "b", "c")
    binary = task == "binary"
    return Signature(
        task=task,
        columns=columns,
        classes=classes,
        positive="yes" if binary else None,
        threshold=0.5 if binary else None,
        probabilities=probabilities,
    )


def evidence(
    frame: Frame,
    truth: np.ndarray,
    predictions: Predictions,
    task: Any = "binary",
    *,
    data: Dataset | None = None,
    seconds: float = 1e6,
    **config: Any,
) -> Evidence:
    """Evidence of some rows; ``config`` are settings of assess."""
    return Evidence(
        signature_of(frame, task, predictions.probabilities is not None),
        data or Dataset(frame=frame, target=truth),
        truth,
        predictions,
        None,
        None,
        AssessConfig(**config),
        (),
        time.monotonic() + seconds,
        SILENT,
    )
