"""A small bundle whose model is a real ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afterfit.core.bundle import Bundle, GraphOutput, TensorInput, Variant
from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Frame
from afterfit.core.signature import Column, Signature
from afterfit.models.code import code_files
from afterfit.package.draft import draft_bundle
from afterfit.package.golden import golden_rows, make_golden
from afterfit.package.lock import serving_pins
from afterfit.runtime.onnx import OnnxModel

INPUTS = (TensorInput(name="x", columns=("age", "income"), dtype="float32"),)
OUTPUT = GraphOutput(name="p", form="positive")
SIGNATURE = Signature(
    task="binary",
    columns=(Column(name="age", kind="integer"), Column(name="income", kind="number")),
    classes=("no", "yes"),
    positive="yes",
    threshold=0.5,
)
Draft = Callable[..., Bundle]


def graph() -> bytes:
    """A logistic regression of two columns, as ONNX."""
    from onnx import TensorProto, helper

    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [0.01, 0.00001])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    p = helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["p"]),
    ]
    body = helper.make_graph(nodes, "logistic", [x], [p], [weights])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture(scope="session")
def reference() -> Frame:
    """Two thousand rows."""
    rng = np.random.default_rng(1)
    return {
        "age": rng.integers(17, 90, 2000),
        "income": np.exp(rng.normal(10, 1, 2000)),
    }


@pytest.fixture(scope="session")
def fingerprint(reference: Frame) -> Fingerprint:
    """The fingerprint of those rows."""
    return build(reference, SIGNATURE)


@pytest.fixture(scope="session")
def parts(fingerprint: Fingerprint) -> dict[str, Any]:
    """The parts of a bundle, as draft_bundle takes them."""
    model = graph()
    runner = OnnxModel(model, INPUTS, OUTPUT, SIGNATURE.classes)
    rows = golden_rows(fingerprint, SIGNATURE, seed=7)
    variant = Variant(
        name="onnx-fp32",
        runtime="onnx",
        framework="sklearn",
        file="model/model.onnx",
        inputs=INPUTS,
        output=OUTPUT,
    )
    return {
        "signature": SIGNATURE,
        "fingerprint": fingerprint,
        "variant": variant,
        "files": {"model/model.onnx": model},
        "golden": make_golden(rows, runner, SIGNATURE),
        "requirements": serving_pins(),
    }


@pytest.fixture
def draft(parts: dict[str, Any]) -> Draft:
    """A function that drafts the bundle in a folder, some parts changed, with a folder of code."""

    def make(folder: Path, *, code: Path | None = None, **changed: Any) -> Bundle:
        arguments = {**parts, **changed}
        carried = code_files(code) if code else {}
        own = {f"code/{name}": path for name, path in carried.items()}
        return draft_bundle(folder, **{**arguments, "files": {**arguments["files"], **own}})

    return make
