"""NNCF: post-training int8 of an ONNX graph, and with accuracy control, as its documents say.

    python work.py GRAPH.onnx ROWS.npz FOLDER [transformer]
    python work.py MODEL.joblib

Prints one JSON object a line: {name, file} or {name, error}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import nncf
import numpy as np
import onnx
import onnxruntime

MAX_DROP = 0.01


def told(name: str, make: object) -> None:
    """Print what became of one way to do it."""
    start = time.monotonic()
    try:
        found = {"file": str(make())}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        words = str(error).strip().splitlines() or [""]
        found = {"error": f"{type(error).__name__}: {words[0][:200]}"}
    print(json.dumps({"name": name, "seconds": time.monotonic() - start, **found}), flush=True)


def saved(model: onnx.ModelProto, path: Path) -> Path:
    """Return the path that the graph was written to."""
    onnx.save(model, path)
    return path


def main() -> None:
    """Make every variant."""
    if len(sys.argv) == 2:
        import joblib

        told("quantize", lambda: nncf.quantize(joblib.load(sys.argv[1]), nncf.Dataset([0])))
        return
    graph, rows, folder = Path(sys.argv[1]), np.load(sys.argv[2]), Path(sys.argv[3])
    kind = nncf.ModelType.TRANSFORMER if sys.argv[4:] == ["transformer"] else None
    model = onnx.load(graph)
    name = model.graph.input[0].name
    calibration = nncf.Dataset([{name: rows["x"][i : i + 1]} for i in range(len(rows["x"]))])
    pairs = list(zip(rows["x"], rows["y"], strict=True))
    validation = nncf.Dataset(pairs, lambda pair: {name: pair[0][None]})

    def accuracy(candidate: onnx.ModelProto, data: object) -> tuple[float, None]:
        session = onnxruntime.InferenceSession(candidate.SerializeToString())
        del data
        answers = session.run(None, {name: rows["x"]})[0]
        return float((answers.argmax(axis=1) == rows["y"]).mean()), None

    for preset in (nncf.QuantizationPreset.PERFORMANCE, nncf.QuantizationPreset.MIXED):
        told(
            f"quantize, {preset.name.lower()}",
            lambda preset=preset: saved(
                nncf.quantize(model, calibration, preset=preset, model_type=kind),
                folder / f"{preset.name.lower()}.onnx",
            ),
        )
    told(
        "quantize_with_accuracy_control",
        lambda: saved(
            nncf.quantize_with_accuracy_control(
                model, calibration, validation, accuracy, max_drop=MAX_DROP, model_type=kind
            ),
            folder / "control.onnx",
        ),
    )


if __name__ == "__main__":
    main()
