"""Whether a served label is the one that the model's own ``predict`` gives."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions
from afterfit.core.metric import in_percent
from afterfit.core.signature import MIDDLE, Signature
from afterfit.errors import InputError, ModelError
from afterfit.inspect.findings import OwnLabels
from afterfit.models.decision import OwnThreshold
from afterfit.models.loaded import LoadedModel

__all__ = ["LABEL_ROWS", "decided", "threshold_for"]

LABEL_ROWS = 5_000
"""Rows, taken evenly from the data, on which labels are compared."""


def threshold_for(own: OwnThreshold | None, positive: int) -> float:
    """Return the probability of the class ``positive`` from which a model decides for it."""
    if own is None or own.value == MIDDLE:
        return MIDDLE
    if own.code == positive:
        return own.value
    # The other class takes what lies on the threshold.
    return min(math.nextafter(1.0 - own.value, 1.0), math.nextafter(1.0, 0.0))


def decided(
    model: LoadedModel, signature: Signature, data: Dataset, sample: Dataset, *, asked: bool
) -> tuple[Signature, Finding]:
    """Return the signature by which labels are the model's own, and what was seen of them.

    Where no threshold on the probabilities gives the labels of the model's ``predict``, the model
    goes on to decide by itself; ``asked`` says that a person chose the threshold, which then holds.
    """
    if signature.task == "regression":
        return signature, OwnLabels.not_applicable("a regression has no labels")
    if not signature.probabilities:
        return signature, OwnLabels.not_applicable("the model gives labels, which are served")
    try:
        answer, own = _answers(model, signature, data, sample)
    except (InputError, ModelError) as error:
        text = f"the model's own labels could not be asked for: {error.why or error.message}"
        return signature, OwnLabels.skipped(text)
    if own is None:
        text = "the labels of such a model are what its probabilities say"
        return signature, OwnLabels.not_applicable(text)
    return _judged(signature, signature.codes(answer), own, asked=asked)


def _answers(
    model: LoadedModel, signature: Signature, data: Dataset, sample: Dataset
) -> tuple[Predictions, np.ndarray | None]:
    """Return (probabilities, own labels) of rows of the data, else of rows known to be answered."""
    even = np.linspace(0, len(data) - 1, min(len(data), LABEL_ROWS)).round().astype(np.int64)
    try:
        frame = data.select(signature.names).take(even).frame
        answer = model.predict(frame)
    except (InputError, ModelError):
        frame = sample.frame
        answer = model.predict(frame)
    return answer, model.call("afterfit.models.decision:own_labels", frame=frame)


def _judged(
    signature: Signature, ours: np.ndarray, own: np.ndarray, *, asked: bool
) -> tuple[Signature, Finding]:
    n, strange, differ = len(own), int((own < 0).sum()), int((ours != own).sum())
    evidence: dict[str, Any] = {"differ": differ, "n": n}
    share = f"{differ:,} of {n:,} rows ({in_percent(differ / n, 1)})"
    if strange:
        return signature, OwnLabels.issue(
            f"the model's predict answers labels that are none of its classes in {strange:,} of "
            f"{n:,} rows: what is served is the likeliest class",
            fix="let predict answer with the labels of classes_",
            **evidence,
        )
    if not differ:
        return signature, OwnLabels.passed(
            f"all {n:,} rows get the label of the model's own predict", **evidence
        )
    if asked:
        return signature, OwnLabels.tip(
            f"the threshold {signature.threshold:g} that was asked for decides otherwise than the "
            f"model's own predict in {share}",
            fix="leave the threshold out, and the labels are the model's own",
            **evidence,
        )
    by = f"the threshold {signature.threshold or MIDDLE:g} decides otherwise"
    if signature.decides_by_likeliest:
        by = "the likeliest class is another"
    fix = "to decide by the probabilities, and to run as ONNX where that converts: --threshold 0.5"
    return msgspec.structs.replace(signature, own_labels=True, threshold=None), OwnLabels.tip(
        f"{by} in {share} than the model's own predict gives, so the model decides each label",
        fix=fix if signature.task == "binary" else "",
        **evidence,
    )
