"""Counts findings of ``issue`` on tables in which nothing is wrong.

Each table is a population of its own (numbers and words; two classes, three or values) with a
training and a held-out part, and a linear pipeline fitted where the truth is linear too, on enough
rows (3,000 to 6,000) to be nearly the truth: fitted on few it is over-confident indeed. ``assess``
looks at each whole, folds and learning curve included. Run:
``python bench/false_alarms.py``; it writes ``bench/results/false_alarms.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.assess.run import assess
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Signature
from afterfit.inspect.columns import build_column
from afterfit.models.native import Hints
from afterfit.models.sklearn import SklearnModel
from afterfit.stats.interval import wilson

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "results" / "false_alarms.json"
KINDS = ("binary", "multiclass", "regression")
WORDS = np.array(["p", "q", "r", "s"], object)
LEVEL = 0.05
BATCH = 8


class Here:
    """A fitted pipeline that predicts and fits its clones in this process."""

    pid = None

    def __init__(self, pipeline: Any, signature: Signature) -> None:
        self._native = SklearnModel(pipeline, Hints.of(signature))

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows."""
        return self._native.predict(frame)

    def call(self, target: str, /, **arguments: Any) -> Any:
        """Return what ``module:function`` says of the model."""
        module, _, name = target.partition(":")
        return getattr(import_module(module), name)(self._native, **arguments)

    def close(self) -> None:
        """Nothing is to be ended."""


@dataclass(frozen=True)
class Population:
    """A truth that is linear in what a one-hot and scaling pipeline makes of the columns."""

    kind: str
    numbers: int
    words: int
    weights: np.ndarray
    steep: float
    rounded: bool

    @classmethod
    def drawn(cls, random: np.random.Generator, kind: str) -> Population:
        """Return a population of some shape."""
        numbers, words = int(random.integers(2, 9)), int(random.integers(0, 4))
        outputs = {"binary": 1, "multiclass": 3, "regression": 1}[kind]
        weights = random.normal(size=(outputs, numbers + 4 * words))
        return cls(kind, numbers, words, weights, random.uniform(0.5, 2.0), random.random() < 0.5)

    def table(self, random: np.random.Generator, n: int) -> Dataset:
        """Return n rows with their labels."""
        numbers = random.normal(size=(n, self.numbers))
        if self.rounded:
            numbers = numbers.round(2)
        codes = random.integers(0, 4, (n, self.words))
        hot = (codes[:, :, None] == np.arange(4)).reshape(n, -1)
        scores = np.hstack([numbers, hot]) @ self.weights.T * self.steep / np.sqrt(self.numbers)
        frame = {f"x{i}": numbers[:, i].copy() for i in range(self.numbers)}
        frame |= {f"w{i}": WORDS[codes[:, i]] for i in range(self.words)}
        if self.kind == "regression":
            return Dataset(frame=frame, target=scores[:, 0] + random.normal(size=n))
        if self.kind == "binary":
            shares = 1 / (1 + np.exp(-scores[:, 0]))
            return Dataset(frame=frame, target=(random.random(n) < shares).astype(np.int64))
        return Dataset(frame=frame, target=(scores + random.gumbel(size=(n, 3))).argmax(axis=1))


def signature_of(data: Dataset, train: Dataset, kind: Any) -> Signature:
    """Return the signature that ``inspect`` would find."""
    columns = tuple(
        build_column(name, values, train.frame[name], nullable=False)
        for name, values in data.frame.items()
    )
    if kind == "regression":
        return Signature(task=kind, columns=columns, target="y")
    if kind == "multiclass":
        return Signature(task=kind, columns=columns, classes=(0, 1, 2))
    return Signature(task=kind, columns=columns, classes=(0, 1), positive=1, threshold=0.5)


def issues(seed: int) -> tuple[int, str, list[str]]:
    """Return the seed, the kind of its table, and the codes of its issues."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random, kind = np.random.default_rng([20261127, seed]), KINDS[seed % len(KINDS)]
    made = Population.drawn(random, kind)
    train = made.table(random, int(random.integers(3000, 6000)))
    data = made.table(random, int(random.integers(300, 1500)))
    signature = signature_of(data, train, kind)
    words = [name for name in signature.names if name.startswith("w")]
    numbers = [name for name in signature.names if name not in words]
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    final = Ridge() if kind == "regression" else LogisticRegression(max_iter=300)
    prepared = make_column_transformer((StandardScaler(), numbers), (one_hot, words))
    fitted = make_pipeline(prepared, final).fit(pd.DataFrame(dict(train.frame)), train.target)
    config = AssessConfig(effort="quick", folds=5, jobs=1, seed=seed)
    record = assess(
        Here(fitted, signature), signature, data, train, config, subject="m", refittable=True
    )
    return seed, kind, sorted({f.code for f in record.findings if f.outcome == "issue"})


def main() -> None:
    """Look at every table and write the JSON; ends with 1 where more than 5 % have an issue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    started = time.perf_counter()
    found: list[tuple[int, str, list[str]]] = []
    with ProcessPoolExecutor(options.processes) as pool:
        while len(found) < options.tables and time.perf_counter() - started < options.seconds:
            after = min(options.tables, len(found) + BATCH)
            found += pool.map(issues, range(len(found), after))
    alarms = [{"seed": seed, "kind": kind, "codes": codes} for seed, kind, codes in found if codes]
    bounds = wilson(len(alarms), len(found))
    body = {
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "numpy": np.__version__},
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": time.perf_counter() - started,
        "tables": len(found),
        "with_an_issue": len(alarms),
        "share": len(alarms) / len(found),
        "low": bounds.low,
        "high": bounds.high,
        "by_code": dict(Counter(code for each in alarms for code in each["codes"])),
        "alarms": alarms,
    }
    options.out.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: body[key] for key in body if key != "alarms"}, indent=1))
    raise SystemExit(len(alarms) > LEVEL * len(found))


if __name__ == "__main__":
    main()
