"""Optimum: its ONNX Runtime quantizer, dynamic and static, configured for this processor.

    python work.py GRAPH.onnx ROWS.npz FOLDER [transformer]
    python work.py MODEL.joblib

Prints one JSON object a line: {name, file} or {name, error}.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from datasets import Dataset
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoCalibrationConfig, AutoQuantizationConfig


def told(name: str, make: object) -> None:
    """Print what became of one way to do it."""
    start = time.monotonic()
    try:
        found = {"file": str(make())}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        words = str(error).strip().splitlines() or [""]
        found = {"error": f"{type(error).__name__}: {words[0][:200]}"}
    print(json.dumps({"name": name, "seconds": time.monotonic() - start, **found}), flush=True)


def dynamic(graph: Path, folder: Path) -> Path:
    """Return the dynamically quantized graph."""
    config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    quantizer = ORTQuantizer(graph)
    quantizer.quantize(quantization_config=config, save_dir=folder, file_suffix="dynamic")
    return folder / f"{graph.stem}_dynamic.onnx"


def static(graph: Path, rows: np.ndarray, folder: Path) -> Path:
    """Return the statically quantized graph, calibrated by min-max on the rows."""
    name = onnx.load(graph).graph.input[0].name
    data = Dataset.from_dict({name: list(rows)}).with_format("numpy")
    config = AutoQuantizationConfig.avx512_vnni(is_static=True, per_channel=True)
    quantizer = ORTQuantizer(graph)
    ranges = quantizer.fit(
        dataset=data,
        calibration_config=AutoCalibrationConfig.minmax(data),
        operators_to_quantize=config.operators_to_quantize,
        onnx_augmented_model_name=folder / "augmented.onnx",
        batch_size=1,
    )
    quantizer.quantize(
        quantization_config=config,
        save_dir=folder,
        file_suffix="static",
        calibration_tensors_range=ranges,
    )
    return folder / f"{graph.stem}_static.onnx"


def main() -> None:
    """Make every variant."""
    if len(sys.argv) == 2:
        path = Path(sys.argv[1])
        told("ORTQuantizer", lambda: dynamic(path, path.parent))
        return
    rows, folder = np.load(sys.argv[2]), Path(sys.argv[3])
    graph = Path(shutil.copy(sys.argv[1], folder / "model.onnx"))
    told("dynamic, avx512_vnni", lambda: dynamic(graph, folder))
    told("static, avx512_vnni, min-max", lambda: static(graph, rows["x"], folder))


if __name__ == "__main__":
    main()
