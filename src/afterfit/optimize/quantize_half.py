"""Numbers of 16 bits: whether ONNX Runtime computes with them here, and graphs that do."""

from __future__ import annotations

import contextlib
import io
import logging
from functools import cache
from typing import Any

import numpy as np

from afterfit.optimize.quantize_graph import finished, folded, prepared

__all__ = ["half", "half_kernels"]


@cache
def half_kernels() -> bool:
    """Return whether a float16 matrix product and convolution run here without casts around them.

    Where the processor has no such arithmetic (all x86 as of ONNX Runtime 1.32), every operator
    is computed in single precision between two casts: nothing is won but the size of the file.
    """
    import onnx

    try:
        graph = onnx.load_model_from_string(folded(_probe(), "extended")).graph
    except Exception:  # noqa: BLE001 - a runtime that cannot load it has no such kernels
        return False
    return not any(node.op_type == "Cast" for node in graph.node)


def half(data: bytes) -> bytes:
    """Return the graph with weights and arithmetic of 16 bits; it takes and answers what it did."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            model: Any = convert_float_to_float16(prepared(data), keep_io_types=True)
    finally:
        logging.disable(before)
    return finished(model)


def _probe() -> bytes:
    """Return a graph with one convolution and one matrix product of float16."""
    from onnx import TensorProto, helper, numpy_helper

    constants = [
        numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float16), "kernel"),
        numpy_helper.from_array(np.ones((6, 4), np.float16), "weights"),
    ]
    nodes = [
        helper.make_node("Conv", ["rows", "kernel"], ["found"]),
        helper.make_node("MatMul", ["found", "weights"], ["answer"]),
    ]
    half_type = TensorProto.FLOAT16
    given = helper.make_tensor_value_info("rows", half_type, ["n", 4, 8, 8])
    told = helper.make_tensor_value_info("answer", half_type, ["n", 4, 6, 4])
    graph = helper.make_graph(nodes, "probe", [given], [told], constants)
    opsets = [helper.make_opsetid("", 21)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return bytes(model.SerializeToString())
