"""Toy techniques: variants of a known loss, made in the process that holds the model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.signature import Signature
from afterfit.models.convert import Converted
from afterfit.models.native import NativeModel
from afterfit.models.proposal import Proposal

HERE = __name__
CALLS: list[str] = []


def graph(columns: tuple[str, ...], weights: list[float], bias: float = 0.0) -> Converted:
    """A logistic model of the columns as a graph, whose answers are sigmoid(x w + bias)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    w = np.array(weights, np.float32).reshape(-1, 1)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["s"]),
        helper.make_node("Sigmoid", ["s"], ["p"]),
    ]
    made = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(columns)])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])],
        [
            numpy_helper.from_array(w, "w"),
            numpy_helper.from_array(np.array([bias], np.float32), "b"),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return Converted(
        data=model.SerializeToString(),
        inputs=(TensorInput(name="x", columns=columns, dtype="float32"),),
        output=GraphOutput(name="p", form="positive"),
    )


def proposals(
    native: NativeModel, *, signature: Signature, labelled: bool, rows: int
) -> list[Proposal]:
    """Variants that lose nothing, a little, much, that hang, and that cannot be made."""
    del native, signature, labelled, rows
    return [
        toy("same", {"noise": 0.0}),
        toy("slightly", {"noise": 0.02}),
        toy("much", {"noise": 1.5}),
        toy("broken", {}, make="broken"),
        toy("on-top", {"noise": 0.0}, base="broken"),
    ]


def fragiles(
    native: NativeModel, *, signature: Signature, labelled: bool, rows: int
) -> list[Proposal]:
    """One that is right on every usual row, and answers NaN for very large values."""
    del native, signature, labelled, rows
    return [toy("fragile", {"noise": 0.0}, make="fragile")]


def crashes(
    native: NativeModel, *, signature: Signature, labelled: bool, rows: int
) -> list[Proposal]:
    """One whose function raises an error that nobody foresaw."""
    del native, signature, labelled, rows
    return [toy("crash", {}, make="crash")]


def slow(native: NativeModel, *, signature: Signature, labelled: bool, rows: int) -> list[Proposal]:
    """One that is good, and one that takes a minute."""
    del native, signature, labelled, rows
    return [toy("same", {"noise": 0.0}), toy("hangs", {}, make="hangs")]


def toy(name: str, options: dict[str, Any], make: str = "weights", base: str = "") -> Proposal:
    """A proposal of this module."""
    return Proposal(
        name=name, technique="prune", make=f"{HERE}:{make}", options=options, base=base, seconds=1
    )


def weights(
    native: NativeModel, *, signature: Signature, options: dict[str, Any], seed: int, **rest: Any
) -> Converted:
    """The logistic model with noise on its weights."""
    del rest
    CALLS.append("weights")
    rng = np.random.default_rng(seed)
    coefficients = native.estimator.coef_[0]
    noisy = coefficients + rng.normal(0, options["noise"], len(coefficients))
    return graph(signature.names, noisy.tolist(), float(native.estimator.intercept_[0]))


def fragile(native: NativeModel, **rest: Any) -> Converted:
    """The logistic model in numbers that soon end: x + (x 1e36 - x 1e36)."""
    import msgspec
    import onnx
    from onnx import helper, numpy_helper

    made = weights(native, **rest)
    model = onnx.load_model_from_string(made.data)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1e36], np.float32), "big"))
    model.graph.node[0].input[0] = "near"
    before = [
        helper.make_node("Mul", ["x", "big"], ["far"]),
        helper.make_node("Sub", ["far", "far"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["near"]),
    ]
    nodes = [*before, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return msgspec.structs.replace(made, data=model.SerializeToString())


def broken(native: NativeModel, **rest: Any) -> Converted:
    """What could not be made."""
    del native, rest
    return Converted(error="it has no trees")


def crash(native: NativeModel, **rest: Any) -> Converted:
    """An error of Python's own."""
    del native, rest
    return Converted(error=str(int(float("inf"))))


def hangs(native: NativeModel, **rest: Any) -> Converted:
    """What takes a minute."""
    del native, rest
    time.sleep(60)
    return Converted(error="it was never ended")
