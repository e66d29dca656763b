"""Evidence about two tables, made without a model: what the checks of the tables look at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Evidence
from afterfit.assess.parts import DATA
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions
from afterfit.core.progress import SILENT
from afterfit.core.quality import encode_truth
from afterfit.core.signature import Column, Signature

CHECKS = DATA
KINDS: dict[str, Any] = {"f": "number", "i": "integer", "b": "boolean", "O": "category"}

Frame = Mapping[str, np.ndarray]


def logistic(scores: np.ndarray) -> np.ndarray:
    """Probabilities of log-odds."""
    found: np.ndarray = 1 / (1 + np.exp(-scores))
    return found


def signature_of(
    frame: Frame, task: Any = "binary", classes: tuple[Any, ...] = (0, 1)
) -> Signature:
    """The signature of a frame, each column of the kind of its dtype."""
    columns = tuple(
        Column(name=name, kind=KINDS[values.dtype.kind], nullable=True)
        for name, values in frame.items()
    )
    if task == "regression":
        return Signature(task=task, columns=columns)
    binary = task == "binary"
    return Signature(
        task=task, columns=columns, classes=classes,
        positive=classes[1] if binary else None, threshold=0.5 if binary else None,
    )  # fmt: skip


def evidence_of(
    data: Dataset, train: Dataset | None, predictions: Predictions, signature: Signature,
    *, seconds: float = float("inf"),
) -> Evidence:  # fmt: skip
    """Evidence of two tables and what a model said of the first."""
    truth = encode_truth(signature, data)
    return Evidence(
        signature, data, truth, predictions, None, train, AssessConfig(), (),
        time.monotonic() + seconds, SILENT,
    )  # fmt: skip


def population(n: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Rows of two numbers, an integer and a word, their labels, and the true probabilities."""
    random = np.random.default_rng(seed)
    frame = {
        "a": random.normal(size=n),
        "b": random.normal(size=n),
        "visits": random.integers(0, 9, n),
        "city": random.choice(np.array(["Bonn", "Kiel", "Ulm"], object), n),
    }
    shares = logistic(2.5 * frame["a"] + 0.2 * frame["visits"] - 0.8)
    return frame, (random.random(n) < shares).astype(np.int64), shares


def sides(n: int = 1500, n_train: int = 3000, seed: int = 0) -> tuple[Dataset, Dataset, np.ndarray]:
    """Held-out and training rows of one population, and the true probabilities of the former."""
    frame, labels, shares = population(n, seed)
    other, others, _ = population(n_train, seed + 10_000)
    return Dataset(frame=frame, target=labels), Dataset(frame=other, target=others), shares


def said(shares: np.ndarray) -> Predictions:
    """Predictions of two classes."""
    return Predictions(probabilities=np.column_stack([1 - shares, shares]))


def whole(data: Dataset, train: Dataset | None, shares: np.ndarray) -> Evidence:
    """Evidence of a binary task."""
    return evidence_of(data, train, said(shares), signature_of(data.frame))


def findings_of(evidence: Evidence) -> list[Finding]:
    """The findings of all checks of the tables."""
    return [finding for check in CHECKS for finding in check(evidence).findings]


def issues_of(evidence: Evidence) -> list[tuple[str, str]]:
    """Code and place of each issue."""
    return [(f.code, f.where) for f in findings_of(evidence) if f.outcome == "issue"]
