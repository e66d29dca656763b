"""Triton's Python backend calling ONNX Runtime; Triton imports this file as ``model.py``."""

import os
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One graph; the requests that Triton hands over together are run together."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph that lies beside this file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        tensor = session.get_inputs()[0]
        self.session, self.name = session, tensor.name
        self.dtype = np.float64 if tensor.type == "tensor(double)" else np.float32

    def execute(self, requests: list) -> list:
        """One response a request, in order."""
        rows = [pb_utils.get_input_tensor_by_name(each, "input").as_numpy() for each in requests]
        counts = [len(each) for each in rows]
        together = np.concatenate(rows) if len(rows) > 1 else rows[0]
        feed = {self.name: together.astype(self.dtype, copy=False)}
        answer = self.session.run(["probabilities"], feed)[0].astype(np.float64, copy=False)
        parts = np.split(answer, np.cumsum(counts)[:-1]) if len(rows) > 1 else [answer]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("probabilities", part)]) for part in parts
        ]
