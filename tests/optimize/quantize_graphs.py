"""Graphs, networks and rows that the tests of quantizing share."""

from __future__ import annotations

import itertools
from importlib import import_module
from typing import Any

import numpy as np
from onnx import TensorProto, helper, load_model_from_string, numpy_helper

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Column, Signature, Task
from afterfit.models.convert import Converted
from afterfit.models.native import Hints, NativeModel, adapter_for_object
from afterfit.optimize.quantize_graph import folded
from afterfit.runtime.onnx import OnnxModel

WIDTH = 64
MAKE = "afterfit.optimize.quantize"


def names(width: int = WIDTH) -> tuple[str, ...]:
    """The columns of a table of numbers."""
    return tuple(f"c{index}" for index in range(width))


def framed(table: np.ndarray) -> dict[str, np.ndarray]:
    """A matrix as a frame."""
    return dict(zip(names(table.shape[1]), table.T.copy(), strict=True))


def normal(rows: int, seed: int = 0, width: int = WIDTH) -> dict[str, np.ndarray]:
    """Rows of normal numbers."""
    return framed(np.random.default_rng(seed).normal(size=(rows, width)))


def signed(frame: Frame, task: Task, classes: int = 0, *, known: bool = True) -> Signature:
    """The signature of these rows; ``known`` gives the ranges of the columns."""
    columns = tuple(
        Column(
            name=name,
            kind="number",
            low=float(np.nanmin(values)) if known else None,
            high=float(np.nanmax(values)) if known else None,
        )
        for name, values in frame.items()
    )
    return Signature(task=task, columns=columns, classes=tuple(range(classes)))


def network(
    layers: list[tuple[np.ndarray, np.ndarray]], *, softmax: bool, opset: int = 21
) -> Converted:
    """A float32 network of dense layers with rectifiers between them."""
    nodes, constants, value = [], [], "rows"
    for index, (weights, bias) in enumerate(layers):
        found = [("w", weights), ("b", bias)]
        constants += [
            numpy_helper.from_array(v.astype(np.float32), f"{n}{index}") for n, v in found
        ]
        if index:
            nodes.append(helper.make_node("Relu", [value], [f"r{index}"]))
            value = f"r{index}"
        nodes.append(helper.make_node("MatMul", [value, f"w{index}"], [f"p{index}"]))
        nodes.append(helper.make_node("Add", [f"p{index}", f"b{index}"], [f"y{index}"]))
        value = f"y{index}"
    if softmax:
        nodes.append(helper.make_node("Softmax", [value], ["answer"], axis=1))
    else:
        nodes.append(helper.make_node("Identity", [value], ["answer"]))
    width = layers[0][0].shape[0]
    given = TensorInput(name="rows", columns=names(width), dtype="float32")
    form: Any = "matrix" if softmax else "value"
    data = graph(nodes, constants, ["n", width], ["n", layers[-1][0].shape[1]], opset)
    return Converted(data=data, inputs=(given,), output=GraphOutput(name="answer", form=form))


def graph(
    nodes: list[Any], constants: list[Any], given: list[Any], told: list[Any], opset: int = 21
) -> bytes:
    """The bytes of a graph from ``rows`` to ``answer``, both float32."""
    made = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, told)],
        constants,
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        made, opset_imports=opsets, ir_version=min(10, 8 if opset < 19 else 10)
    )
    return bytes(model.SerializeToString())


def dense(*widths: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """The weights and biases of dense layers, at a scale that keeps numbers as they are."""
    rng = np.random.default_rng(seed)
    pairs = itertools.pairwise(widths)
    return [(rng.normal(size=(a, b)) / np.sqrt(a / 2), 0.1 * rng.normal(size=b)) for a, b in pairs]


def made(
    base: Converted,
    signature: Signature,
    rows: Frame,
    function: str = "int8",
    *,
    seconds: float = 100.0,
    native: Any = None,
    **options: Any,
) -> Converted:
    """What a function of quantizing makes of a graph."""
    found: Converted = getattr(import_module(MAKE), function)(
        native,
        signature=signature,
        options=options,
        rows=rows,
        target=None,
        graph=base if base.output else None,
        seed=0,
        seconds=seconds,
    )
    return found


def answers(variant: Converted, signature: Signature, rows: Frame) -> Predictions:
    """What ONNX Runtime answers; fails where there is no graph."""
    assert variant.error == ""
    assert variant.output is not None
    model = OnnxModel(variant.data, variant.inputs, variant.output, signature.classes)
    return model.predict(rows)


def kinds(data: bytes, *, loaded: bool = False) -> list[str]:
    """The operators of a graph; ``loaded`` are those that ONNX Runtime runs it as."""
    data = folded(data, "extended") if loaded else data
    return [node.op_type for node in load_model_from_string(data).graph.node]


def wrapped(estimator: Any, signature: Signature) -> NativeModel:
    """The estimator behind its adapter."""
    return adapter_for_object(estimator).wrap(estimator, Hints.of(signature))
