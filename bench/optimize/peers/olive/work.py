"""Olive: its passes of dynamic and static int8 for ONNX, each with the transformer optimizer.

    python work.py GRAPH.onnx ROWS.npz FOLDER [transformer]
    python work.py MODEL.joblib

Prints one JSON object a line: {name, file} or {name, error}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import olive
import onnx


def told(name: str, make: object) -> None:
    """Print what became of one way to do it."""
    start = time.monotonic()
    try:
        found = {"file": str(make())}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        words = str(error).strip().splitlines() or [""]
        found = {"error": f"{type(error).__name__}: {words[0][:200]}"}
    print(json.dumps({"name": name, "seconds": time.monotonic() - start, **found}), flush=True)


SCRIPT = """
import numpy as np
from olive.data.registry import Registry


class Rows:
    def __init__(self, path, name):
        self.rows, self.name = np.load(path)["x"], name

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {self.name: self.rows[index]}, 0


@Registry.register_dataset()
def calibration_rows(data_dir=None, path="", name="", **kwargs):
    return Rows(path, name)
"""


def run(passes: dict[str, Any], graph: Path, rows: Path, folder: Path) -> Path:
    """Return the graph that the workflow wrote."""
    script = folder / "rows.py"
    script.write_text(SCRIPT)
    name = onnx.load(graph).graph.input[0].name
    config = {
        "input_model": {"type": "ONNXModel", "model_path": str(graph)},
        "systems": {
            "here": {
                "type": "LocalSystem",
                "accelerators": [
                    {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
                ],
            }
        },
        "data_configs": [
            {
                "name": "rows",
                "user_script": str(script),
                "load_dataset_config": {
                    "type": "calibration_rows",
                    "params": {"path": str(rows), "name": name},
                },
                "dataloader_config": {"batch_size": 1},
            }
        ],
        "passes": passes,
        "target": "here",
        "cache_dir": str(folder / "cache"),
        "output_dir": str(folder / "out"),
        "log_severity_level": 4,
    }
    output = olive.run(config)
    best = output.get_best_candidate()
    if best is None:
        raise RuntimeError("the workflow gave no model")
    return Path(best.model_path)


def main() -> None:
    """Make every variant."""
    if len(sys.argv) == 2:
        model = {"type": "ONNXModel", "model_path": sys.argv[1]}
        passes = {"int8": {"type": "OnnxDynamicQuantization"}}
        told(
            "run",
            lambda: (
                olive.run({"input_model": model, "passes": passes, "log_severity_level": 4})
                .get_best_candidate()
                .model_path
            ),
        )
        return
    graph, rows, folder = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    before: dict[str, Any] = {"peephole": {"type": "OnnxPeepholeOptimizer"}}
    if sys.argv[4:] == ["transformer"]:
        before["transformer"] = {
            "type": "OrtTransformersOptimization",
            "model_type": "bert",
            "num_heads": 4,
            "hidden_size": 128,
        }
    ways = {
        "dynamic": {"type": "OnnxDynamicQuantization", "per_channel": True},
        "static": {
            "type": "OnnxStaticQuantization",
            "data_config": "rows",
            "per_channel": True,
        },
        "static, U8S8": {
            "type": "OnnxStaticQuantization",
            "data_config": "rows",
            "per_channel": True,
            "activation_type": "uint8",
        },
    }
    for name, quantization in ways.items():
        own = folder / name.replace(", ", "-")
        own.mkdir(parents=True, exist_ok=True)
        passes = {**before, "int8": quantization}
        told(name, lambda own=own, passes=passes: run(passes, graph, rows, own))


if __name__ == "__main__":
    main()
