"""The one model that every server answers with, and the rows that are asked."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from process import BenchError

NAME = "bench"
SEED = 20261123
COLUMNS = tuple(f"f{index}" for index in range(30))
TRAINING, HELD_OUT, ASKED = 3000, 1000, 64


@dataclass(frozen=True)
class Subject:
    """The trained model in the forms that servers take, and 64 rows with the right answers."""

    joblib: Path
    float32_graph: Path
    shipped_graph: Path
    workspace: Path
    rows: list[list[float]]
    expected: np.ndarray
    description: dict[str, Any]


def make(folder: Path) -> Subject:
    """Train the model, convert it to float32 ONNX as skl2onnx does, and ship it with Afterfit."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier

    X, y = make_classification(
        n_samples=TRAINING + HELD_OUT, n_features=30, n_informative=12, random_state=SEED
    )
    model = GradientBoostingClassifier(n_estimators=200, random_state=SEED)
    model.fit(X[:TRAINING], y[:TRAINING])
    saved = folder / "model.joblib"
    joblib.dump(model, saved)
    _write_csv(folder / "train.csv", X[:TRAINING], y[:TRAINING])
    _write_csv(folder / "test.csv", X[TRAINING:], y[TRAINING:])
    asked = X[TRAINING : TRAINING + ASKED]
    workspace = _ship(folder, saved)
    float32 = _float32_graph(model, X, folder / "float32.onnx")
    shipped = _shipped_graph(workspace)
    graphs = {"shipped": shipped, "float32": float32}
    return Subject(
        joblib=saved,
        float32_graph=float32,
        shipped_graph=shipped,
        workspace=workspace,
        rows=asked.tolist(),
        expected=model.predict_proba(asked),
        description={
            "model": "sklearn GradientBoostingClassifier(n_estimators=200)",
            "columns": len(COLUMNS),
            "rows_asked": ASKED,
            "seed": SEED,
            "accuracy_held_out": round(float(model.score(X[TRAINING:], y[TRAINING:])), 4),
            "one_row_us": {
                "predict_proba": _one_row_us(model.predict_proba, asked),
                **{name: _one_row_us(_session_run(path), asked) for name, path in graphs.items()},
            },
        },
    )


def wrong_answers(answers: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> int:
    """How many rows differ from the model's own probabilities by more, or are no numbers."""
    if answers.shape != expected.shape:
        return len(expected)
    return int((~(np.abs(answers - expected) <= tolerance)).any(axis=1).sum())


def _ship(folder: Path, model: Path) -> Path:
    workspace = folder / "workspace"
    command = [sys.executable, "-m", "afterfit", "ship", str(model), "--name", NAME]
    command += ["--data", str(folder / "test.csv"), "--train", str(folder / "train.csv")]
    command += ["--target", "target", "--effort", "quick", "--workspace", str(workspace)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise BenchError(f"afterfit ship ended with {done.returncode}: {done.stderr[-2000:]}")
    return workspace


def _shipped_graph(workspace: Path) -> Path:
    """The ONNX graph in the bundle, so that the bare handler and Triton run the same one."""
    for variant in workspace.glob("bundles/*/variant.json"):
        told = json.loads(variant.read_text())
        if told["runtime"] == "onnx":
            return variant.parent / str(told["file"])
    raise BenchError("the shipped bundle holds no ONNX graph that other servers could run")


def _float32_graph(model: Any, X: np.ndarray, path: Path) -> Path:
    from skl2onnx import to_onnx

    graph = to_onnx(model, X[:1].astype(np.float32), options={id(model): {"zipmap": False}})
    path.write_bytes(graph.SerializeToString())
    return path


def _session_run(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    tensor = session.get_inputs()[0]
    dtype = np.float64 if tensor.type == "tensor(double)" else np.float32
    return lambda row: session.run(["probabilities"], {tensor.name: row.astype(dtype)})


def _one_row_us(call: Any, rows: np.ndarray) -> float:
    """The least mean of 7 times 640 calls with one row, in µs: what the model alone costs."""
    from timeit import repeat

    one = [rows[index : index + 1] for index in range(len(rows))]
    return round(min(repeat(lambda: [call(row) for row in one], number=10, repeat=7)) / 640e-6, 1)


def _write_csv(path: Path, X: np.ndarray, y: np.ndarray) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "target"])
        writer.writerows([*row, int(label)] for row, label in zip(X.tolist(), y, strict=True))
