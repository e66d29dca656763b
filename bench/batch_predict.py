"""Batch scoring beside pandas + LightGBM: rows per CPU-second, in one run on one machine.

    python bench/batch_predict.py [--rows 300000] [--repeats 3]

The model is a LightGBM classifier of 100 trees of 31 leaves over 20 numeric columns. Afterfit runs
it as ONNX, streamed and with every input column kept; the other side reads the whole file with
pandas, calls the booster on one thread and writes with ``to_parquet``. CPU-seconds are those of
all threads of the process. The result is written to bench/results/batch_predict.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnxmltools
import pandas as pd
from onnxmltools.convert.common.data_types import FloatTensorType

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Column, Signature
from afterfit.predict.run import predict_file
from afterfit.runtime.onnx import OnnxModel
from afterfit.store.environment import current_environment

COLUMNS = tuple(f"x{index}" for index in range(20))
RESULT = Path(__file__).parent / "results" / "batch_predict.json"


class Scorer:
    """An ONNX model with a signature, as a loaded bundle is."""

    def __init__(self, model: OnnxModel, signature: Signature) -> None:
        self.model = model
        self.signature = signature
        self.digest = "0" * 64

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows."""
        return self.model.predict(frame)


def table(rows: int, seed: int) -> pd.DataFrame:
    """Return a table of 20 numbers a row and a label that depends on some of them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, len(COLUMNS))).round(4), columns=list(COLUMNS))
    logit = frame.x0 + frame.x1 * frame.x2 - 0.5 * frame.x3
    frame["label"] = (logit + rng.normal(size=rows) > 0).astype(int)
    return frame


def fit(seed: int) -> tuple[Any, Scorer]:
    """Return the booster and the same model as ONNX."""
    data = table(20_000, seed)
    model = lightgbm.LGBMClassifier(
        n_estimators=100, num_leaves=31, n_jobs=1, random_state=seed, verbose=-1
    ).fit(data[list(COLUMNS)], data["label"])
    graph = onnxmltools.convert_lightgbm(
        model, initial_types=[("X", FloatTensorType([None, len(COLUMNS)]))], zipmap=False
    )
    columns = tuple(Column(name=name, kind="number", nullable=True) for name in COLUMNS)
    signature = Signature(task="binary", columns=columns, classes=(0, 1), positive=1)
    onnx = OnnxModel(
        graph.SerializeToString(),
        (TensorInput(name="X", columns=COLUMNS, dtype="float32"),),
        GraphOutput(name="probabilities", form="matrix"),
        (0, 1),
    )
    return model.booster_, Scorer(onnx, signature)


def cpu_seconds() -> float:
    """Return the CPU time of all threads of this process, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(work: Callable[[], object], rows: int) -> dict[str, float]:
    """Return rows per CPU-second and per second of wall time of one run."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    work()
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    return {"rows_per_cpu_s": rows / cpu, "rows_per_s": rows / wall}


def with_pandas(booster: Any, source: Path, output: Path) -> None:
    """Score as one does by hand."""
    frame = pd.read_csv(source) if source.suffix == ".csv" else pd.read_parquet(source)
    frame["probability_1"] = booster.predict(frame[list(COLUMNS)], num_threads=1)
    frame.to_parquet(output)


def contenders(booster: Any, scorer: Scorer, folder: Path) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name, in the order in which it runs."""
    works: dict[str, Callable[[], object]] = {}
    for ending in ("csv", "parquet"):
        source = folder / f"rows.{ending}"
        works[f"afterfit {ending} -> parquet"] = partial(
            predict_file, scorer, source, folder / "a.parquet"
        )
        works[f"pandas+lightgbm {ending} -> parquet"] = partial(
            with_pandas, booster, source, folder / "b.parquet"
        )
    return works


def main() -> None:
    """Measure, print the table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    booster, scorer = fit(seed=0)
    runs: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = table(options.rows, seed=1).drop(columns="label")
        rows.to_csv(folder / "rows.csv", index=False)
        rows.to_parquet(folder / "rows.parquet")
        works = contenders(booster, scorer, folder)
        # Taking turns spreads the noise of a shared machine over all of them.
        for _ in range(options.repeats):
            for title, work in works.items():
                runs.setdefault(title, []).append(measure(work, options.rows))
        ours = pd.read_parquet(folder / "a.parquet")["probability_1"]
        theirs = pd.read_parquet(folder / "b.parquet")["probability_1"]
        difference = float((ours - theirs).abs().max())
    report(runs, options.rows, difference)


def report(runs: dict[str, list[dict[str, float]]], rows: int, difference: float) -> None:
    """Print the best run of each, and write all runs with the machine."""
    best = {title: max(each, key=lambda run: run["rows_per_cpu_s"]) for title, each in runs.items()}
    for title, run in best.items():
        print(f"{title:34} {run['rows_per_cpu_s']:>10,.0f} rows per CPU-second (best of runs)")
    print(f"largest difference of a probability: {difference:.2e}")
    environment = current_environment()
    machine = {name: getattr(environment, name) for name in ("cpu", "cores", "system", "python")}
    packages = {name: environment.packages[name] for name in ("lightgbm", "onnxruntime", "pyarrow")}
    result = {
        "rows": rows,
        "runs": runs,
        "max_difference": difference,
        "machine": machine,
        "packages": packages,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
