"""Models of one function in this process, and rows to ask them about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature
from afterfit.robustness.config import RobustnessConfig
from afterfit.robustness.run import robustness

if TYPE_CHECKING:
    from collections.abc import Callable

    from afterfit.core.finding import Finding
    from afterfit.core.frame import Frame
    from afterfit.records.robustness import RobustnessRecord

COLUMNS = (
    Column(name="age", kind="integer", low=18.0, high=90.0, nullable=True),
    Column(name="income", kind="number", low=0.0, high=100.0, nullable=True),
    Column(name="city", kind="category", nullable=True, categories=("Bonn", "Kiel", "Ulm")),
    Column(name="member", kind="boolean", nullable=True),
)
BINARY = Signature(
    task="binary", columns=COLUMNS, classes=("no", "yes"), positive="yes", threshold=0.5
)
VALUES = Signature(task="regression", columns=COLUMNS)


class Scoring:
    """A model whose probability of the second class is a function of the frame."""

    def __init__(self, function: Callable[[Frame], Any]) -> None:
        self.function = function
        self.calls = 0

    def predict(self, frame: Frame) -> Predictions:
        """Return two probabilities a row; whatever the function raises is raised."""
        self.calls += 1
        score = np.asarray(self.function(frame), dtype=np.float64)
        return Predictions(probabilities=np.column_stack([1 - score, score]))


class Valuing(Scoring):
    """A model whose value is a function of the frame."""

    def predict(self, frame: Frame) -> Predictions:
        """Return one value a row."""
        self.calls += 1
        return Predictions(values=np.asarray(self.function(frame), dtype=np.float64))


def people(n: int = 400, *, seed: int = 3) -> Dataset:
    """Return rows with labels that a logistic model of income, age and city explains."""
    random = np.random.default_rng(seed)
    frame = {
        "age": random.integers(18, 91, n),
        "income": random.uniform(0, 100, n).round(1),
        "city": random.choice(np.array(["Bonn", "Kiel", "Ulm"], dtype=object), n),
        "member": random.random(n) < 0.5,
    }
    hit = random.random(n) < sound(frame)
    target = np.where(hit, "yes", "no").astype(object)
    return Dataset(frame=frame, target=target, target_name="bought", source="people")


def numbers(frame: Frame, name: str, usual: float) -> np.ndarray:
    """Return a column of numbers with ``usual`` in place of what is missing, within its range."""
    values = np.asarray(frame[name], dtype=np.float64)
    return np.clip(np.where(np.isnan(values), usual, values), 0.0, 100.0)


def sound(frame: Frame) -> np.ndarray:
    """Return the probability of a model that takes everything in its stride."""
    words = [str(word).strip().lower() for word in frame["city"].tolist()]
    ulm = np.array([word == "ulm" for word in words])
    line = 0.05 * (numbers(frame, "income", 50.0) - 50.0) + 0.02 * (numbers(frame, "age", 50) - 50)
    return np.asarray(1 / (1 + np.exp(-(line + 0.5 * ulm))))


def examined(
    model: Any, signature: Signature = BINARY, data: Dataset | None = None, **asked: Any
) -> RobustnessRecord:
    """Return the record; it must survive its own JSON."""
    told = {"rows": 40, **{name: asked.pop(name) for name in ("rows", "monotone", "seconds", "seed")
                           if name in asked}}  # fmt: skip
    config = RobustnessConfig(**told)
    record = robustness(
        model, signature, people() if data is None else data, config, subject="m", **asked
    )
    assert msgspec.json.decode(record.encode(), type=type(record)).digest == record.digest
    return record


def found(record: RobustnessRecord, code: str, outcome: str = "issue") -> list[Finding]:
    """Return the findings of one code and outcome."""
    return [each for each in record.findings if (each.code, each.outcome) == (code, outcome)]
