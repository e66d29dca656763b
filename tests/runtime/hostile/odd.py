"""A model whose name, columns and classes are as odd as a user's can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tests.runtime.bundles import serialized, write_bundle
from tests.runtime.signatures import odd

from afterfit.core.bundle import GraphOutput, TensorInput, Variant

if TYPE_CHECKING:
    from pathlib import Path

ODD_NAME = 'über <b>{mich}<|b> 100% "#?&'
ROWS = 60


def odd_bundle(folder: Path) -> str:
    """The digest of a bundle of ``signatures.odd``: softmax over (0, days / 1000, flag)."""
    signature = odd().signature
    variant = Variant(
        name="onnx",
        runtime="onnx",
        framework="onnx",
        file="model/model.onnx",
        inputs=(
            TensorInput(name="days", columns=("days",), dtype="float32"),
            TensorInput(name="flag", columns=("flag",), dtype="float32"),
        ),
        output=GraphOutput(name="answer", form="matrix"),
    )
    return write_bundle(folder, signature, variant, _graph(), odd_frame())


def odd_frame(rows: int = ROWS) -> dict[str, np.ndarray]:
    """A frame of the odd columns."""
    rng = np.random.default_rng(4)
    script, words, quoted, flag, days = odd().signature.columns
    return {
        script.name: np.array(script.categories, dtype=object)[np.arange(rows) % 80],
        words.name: np.array([f"東京 {row}" for row in range(rows)], dtype=object),
        quoted.name: np.array(quoted.categories, dtype=object)[np.arange(rows) % 3],
        flag.name: np.arange(rows) % 2 == 0,
        days.name: rng.integers(0, 3650, rows),
    }


def _graph() -> bytes:
    column = [None, 1]
    constants = [
        numpy_helper.from_array(np.array([0.001], np.float32), "scale"),
        numpy_helper.from_array(np.array([0.0], np.float32), "nothing"),
    ]
    nodes = [
        helper.make_node("Mul", ["days", "nothing"], ["first"]),
        helper.make_node("Mul", ["days", "scale"], ["second"]),
        helper.make_node("IsNaN", ["flag"], ["gone"]),
        helper.make_node("Where", ["gone", "nothing", "flag"], ["third"]),
        helper.make_node("Concat", ["first", "second", "third"], ["logits"], axis=1),
        helper.make_node("Softmax", ["logits"], ["answer"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "odd",
        [
            helper.make_tensor_value_info("days", TensorProto.FLOAT, column),
            helper.make_tensor_value_info("flag", TensorProto.FLOAT, column),
        ],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 3])],
        constants,
    )
    return serialized(graph)
