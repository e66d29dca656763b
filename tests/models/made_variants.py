"""Models of this process, the variants that techniques make of them, and who is right how often."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from afterfit.core.frame import Frame, Predictions, missing_mask
from afterfit.core.signature import Column, Signature, Task
from afterfit.models.convert import Converted
from afterfit.models.native import Hints, NativeModel, adapter_for_object
from afterfit.models.proposal import Proposal
from afterfit.runtime.onnx import OnnxModel
from afterfit.stats.paired import discordant, tango

MARGIN = 0.005


def signature_of(rows: Frame, task: Task, classes: tuple[Any, ...] = ()) -> Signature:
    """The signature of these columns: text is a category."""
    columns = tuple(
        Column(
            name=name,
            kind="category" if values.dtype.kind == "O" else "number",
            nullable=bool(missing_mask(values).any()),
        )
        for name, values in rows.items()
    )
    return Signature(task=task, columns=columns, classes=classes)


def numbers(X: np.ndarray) -> dict[str, np.ndarray]:
    """A matrix as a frame."""
    return {f"c{index}": X[:, index] for index in range(X.shape[1])}


def wrapped(estimator: Any, signature: Signature) -> NativeModel:
    """The estimator behind its adapter."""
    return adapter_for_object(estimator).wrap(estimator, Hints.of(signature))


def made(
    native: NativeModel,
    signature: Signature,
    proposal: Proposal,
    rows: Frame,
    target: np.ndarray | None = None,
    *,
    seed: int = 0,
    seconds: float = 60.0,
    graph: Converted | None = None,
) -> Converted:
    """What a proposal's function makes."""
    module, _, name = proposal.make.partition(":")
    converted: Converted = getattr(import_module(module), name)(
        native,
        signature=signature,
        options=proposal.options,
        rows=rows,
        target=target,
        graph=graph,
        seed=seed,
        seconds=seconds,
    )
    return converted


def answers(variant: Converted, signature: Signature, rows: Frame) -> Predictions:
    """What ONNX Runtime answers; fails where there is no graph."""
    assert variant.error == ""
    assert variant.output is not None
    model = OnnxModel(variant.data, variant.inputs, variant.output, signature.classes)
    return model.predict(rows)


def certified(
    signature: Signature, variant: Predictions, model: Predictions, target: np.ndarray
) -> bool:
    """Whether Tango's interval proves that the variant is right at most 0.5 points less often."""
    right, was_right = (signature.codes(said) == target for said in (variant, model))
    only_variant, only_model = discordant(right, was_right)
    return tango(only_variant, only_model, len(target), 0.90).low > -MARGIN


def accuracy(signature: Signature, said: Predictions, target: np.ndarray) -> float:
    """The share of rows that are right."""
    return float((signature.codes(said) == target).mean())
