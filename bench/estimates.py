"""Estimates of performance without labels beside the truth, on data that NannyML's wheel ships.

The wheel of NannyML 0.13.1 holds ``datasets/data``: the employment of 278,000 people of
Massachusetts (American Community Survey, reference 2015, then 2016 to 2018), loans for cars and
prices of used cars (both synthetic), and houses of California (its reference is other regions than
what follows). By chunks of 5,000 rows in the order of the file, each estimate is held
against the metric of the labels, which no estimate sees. Run:

    pip download nannyml==0.13.1 --no-deps -d wheel && unzip wheel/*.whl -d unpacked
    python -m venv peer && peer/bin/pip install -r bench/estimates_peers/nannyml.txt
    python bench/estimates.py --data unpacked/nannyml/datasets/data --peer peer/bin/python

It writes ``bench/results/estimates.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from afterfit.core.formulae import compute
from afterfit.core.frame import Frame
from afterfit.core.signature import Column, Signature
from afterfit.monitor.density import Rows
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.estimate import Estimator, estimate_points, fit_estimator
from afterfit.monitor.signals.quality import QualityConfig, Window
from afterfit.records.signals import Scope, SignalPoint

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "estimates.json"
PEER = HERE / "estimates_peers" / "with_nannyml.py"
SAMPLE = 2000
"""Rows of a window whose inputs are known: as many as its state keeps."""
NO_INPUTS = {"id", "timestamp", "year", "y_true", "y_pred", "score"}


@dataclass(frozen=True)
class Data:
    """One data set, its columns named ``y_true``, ``y_pred`` and, of a classifier, ``score``."""

    name: str
    reference: pd.DataFrame
    analysis: pd.DataFrame
    chunk: int
    regression: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is estimated of it."""
        return ("mae", "rmse") if self.regression else ("accuracy", "roc_auc", "f1")

    @property
    def features(self) -> list[str]:
        """The columns that the model saw."""
        return [name for name in self.reference if name not in NO_INPUTS]

    def signature(self) -> Signature:
        """The signature of the model that answered."""
        kinds = {n: self.reference[n].dtype.kind for n in self.features}
        columns = tuple(
            Column(name=name, kind="number" if kind in "fiu" else "category", nullable=True)
            for name, kind in kinds.items()
        )
        if self.regression:
            return Signature(task="regression", columns=columns)
        return Signature(task="binary", columns=columns, classes=(0, 1), positive=1)

    def rows(self, table: pd.DataFrame) -> Rows:
        """Some rows as monitoring takes them."""
        frame: Frame = {
            name: table[name].to_numpy(float)
            if table[name].dtype.kind in "fiu"
            else table[name].astype(object).where(table[name].notna(), None).to_numpy(object)
            for name in self.features
        }
        truth = table["y_true"].to_numpy(float if self.regression else np.int64)
        if self.regression:
            codes = np.full(len(table), -1)
            return Rows(frame, table["y_pred"].to_numpy(float), codes, truth)
        codes = table["y_pred"].to_numpy(np.int64)
        return Rows(frame, table["score"].to_numpy(float), codes, truth)


def load(folder: Path) -> list[Data]:
    """Return the data sets of the wheel."""

    def csv(name: str) -> pd.DataFrame:
        return pd.read_csv(folder / f"{name}.csv")

    def made(
        name: str, parts: list[pd.DataFrame], words: dict[str, str], chunk: int, **more: Any
    ) -> Data:
        reference, analysis, truth = parts
        joined = analysis.merge(truth, on="id", validate="one_to_one")
        return Data(
            name, reference.rename(columns=words), joined.rename(columns=words), chunk, **more
        )

    census = [
        pd.read_parquet(folder / f"employment_MA_{part}.pq")
        for part in ("reference", "analysis", "analysis_target")
    ]
    of_census = {"employed": "y_true", "prediction": "y_pred", "predicted_probability": "score"}
    loans = [csv(f"synthetic_car_loan_{p}") for p in ("reference", "analysis", "analysis_target")]
    houses = [csv(f"california_housing_{p}") for p in ("reference", "analysis", "analysis_gt")]
    prices = [
        csv(f"regression_synthetic_{p}") for p in ("reference", "analysis", "analysis_targets")
    ]
    return [
        made("census employment", census, of_census, 5000),
        made("car loans", loans, {"repaid": "y_true", "y_pred_proba": "score"}, 5000),
        made("California houses", houses, {"clf_target": "y_true", "y_pred_proba": "score"}, 824),
        made("car prices", prices, {}, 5000, regression=True),
    ]


def truths(data: Data, chunk: pd.DataFrame) -> dict[str, float]:
    """Return the metrics that the labels of a chunk give."""
    true = chunk["y_true"].to_numpy(float if data.regression else np.int64)
    answers = {name: chunk["score" if name == "roc_auc" else "y_pred"] for name in data.metrics}
    positive = None if data.regression else 1
    return {
        name: compute(name, true, values.to_numpy(), positive=positive).value
        for name, values in answers.items()
    }


def chunks(data: Data) -> list[pd.DataFrame]:
    """Return the chunks, the last of which is the longer one, as NannyML cuts them."""
    starts = list(range(0, len(data.analysis) - data.chunk + 1, data.chunk))
    ends = [*starts[1:], len(data.analysis)]
    rest = ends[-1] - starts[-1] - data.chunk
    if rest:
        starts, ends = [*starts, starts[-1] + data.chunk], [*starts[1:], ends[-1] - rest, ends[-1]]
    return [data.analysis.iloc[a:b] for a, b in zip(starts, ends, strict=True)]


def estimated(
    data: Data, estimator: Estimator, chunk: pd.DataFrame, seed: int, *, inputs: bool
) -> dict[str, SignalPoint]:
    """Return the points of one chunk, whose labels are not shown."""
    rows = data.rows(chunk)
    table = ScoreTable.of(estimator.signature)
    table.update(rows.scores, rows.codes)
    sample = Rows(rows.frame, rows.scores, rows.codes).drawn(SAMPLE, seed) if inputs else None
    window = Window(Scope(), 0, 1)
    return {p.subject: p for p in estimate_points(estimator, table, window, sample)}


def by_peer(data: Data, python: str) -> dict[str, Any]:
    """Return NannyML's estimates by metric, [value, low, high] a chunk, and its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        asked = {
            "reference": f"{folder}/reference.parquet",
            "analysis": f"{folder}/analysis.parquet",
            "task": "regression" if data.regression else "binary",
            "features": data.features,
            "metrics": data.metrics,
            "chunk": data.chunk,
        }
        data.reference.to_parquet(asked["reference"])
        data.analysis.drop(columns="y_true").to_parquet(asked["analysis"])
        path = Path(folder, "asked.json")
        path.write_text(json.dumps(asked), "utf-8")
        # It reports each call to its makers unless told not to.
        quiet = {**os.environ, "NML_DISABLE_USAGE_LOGGING": "1"}
        done = subprocess.run(
            [python, str(PEER), str(path)], capture_output=True, text=True, check=True, env=quiet
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def summary(values: list[tuple[float, float, float, float]]) -> dict[str, Any]:
    """Return the mean absolute error of (estimate, low, high, truth), and how many bounds hold."""
    if not values:
        return {"chunks": 0}
    table = np.array(values)
    return {
        "chunks": len(table),
        "mae": round(float(np.abs(table[:, 0] - table[:, 3]).mean()), 5),
        "within_bounds": int(((table[:, 1] <= table[:, 3]) & (table[:, 3] <= table[:, 2])).sum()),
    }


def measured(data: Data, python: str | None, seed: int) -> dict[str, Any]:
    """Return everything that is told of one data set."""
    config = QualityConfig(metrics=data.metrics, seed=seed)
    begun = time.process_time()
    estimator = fit_estimator(data.signature(), data.rows(data.reference), config)
    parts = chunks(data)
    true = [truths(data, part) for part in parts]
    ways = (
        {"with inputs": True} if data.regression else {"scores alone": False, "with inputs": True}
    )
    found: dict[str, Any] = {name: {} for name in data.metrics}
    known: dict[tuple[str, str], list[bool]] = {}
    for way, inputs in ways.items():
        points = [estimated(data, estimator, part, seed, inputs=inputs) for part in parts]
        for name in data.metrics:
            mine = [each[name] for each in points]
            told = [
                (p.value, p.low, p.high, t[name])
                for p, t in zip(mine, true, strict=True)
                if p.value is not None and p.low is not None and p.high is not None
            ]
            abstained = [p.message for p in mine if p.state == "cannot_tell"]
            known[way, name] = [p.state != "cannot_tell" for p in mine]
            found[name][way] = summary(told) | {
                "abstained": len(abstained), "why": abstained[0] if abstained else "",
            }  # fmt: skip
    seconds = time.process_time() - begun
    for name in data.metrics:
        usual = estimator.usual[name].value or 0.0
        gaps = [abs(usual - each[name]) for each in true]
        found[name]["the reference's metric"] = {
            "chunks": len(gaps),
            "mae": round(float(np.mean(gaps)), 5),
        }
    if python:
        peer = by_peer(data, python)
        for name in data.metrics:
            pairs = zip(peer["estimates"][name], true, strict=True)
            rows = [(*each, t[name]) for each, t in pairs]
            told = known["with inputs", name]
            found[name]["nannyml"] = summary(rows)
            found[name]["nannyml where we tell with inputs"] = summary(
                [row for row, is_told in zip(rows, told, strict=True) if is_told]
            )
    return {
        "chunks": len(parts),
        "chunk_rows": data.chunk,
        "cpu_s": round(seconds, 2),
        "metrics": found,
    }


def main() -> None:
    """Measure all data sets and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", help="the Python of an environment with NannyML")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
        "seed": asked.seed,
        "sample_rows": SAMPLE,
        "data": {data.name: measured(data, asked.peer, asked.seed) for data in load(asked.data)},
    }
    OUT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result["data"], indent=1))


if __name__ == "__main__":
    main()
