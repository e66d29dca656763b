"""Weights and numbers of 8 bits, written by ONNX Runtime's quantizer into a prepared graph."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from afterfit.errors import ModelError
from afterfit.models.convert_words import brief
from afterfit.optimize.quantize_graph import finished, weighted
from afterfit.optimize.quantize_ranges import Ranges
from afterfit.optimize.quantize_tables import shorten, tables

__all__ = ["Recipe", "dynamic", "last", "static"]

Activations = Literal["uint8", "int8"]

_PASSING = frozenset(
    {"AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "MaxPool", "Relu"}
    | {"Reshape", "Squeeze", "Transpose", "Unsqueeze", "Add"}
)
"""Operators that hand 8-bit numbers on, where what they get and what reads them has 8 bits."""

_ROUND, _BACK = "QuantizeLinear", "DequantizeLinear"


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How numbers get 8 bits.

    Weights are signed; ``activations`` are what is multiplied by them. ``per_channel`` gives each
    output channel a scale of its own. ``seven_bits`` leaves a bit of the weights unused.
    """

    activations: Activations = "uint8"
    per_channel: bool = False
    seven_bits: bool = False


def static(model: Any, recipe: Recipe, ranges: Ranges, operators: Collection[str]) -> bytes:
    """Return the graph with these operators and tables (by name) in 8 bits.

    ``ranges`` are those of the values that reach and leave them (`ranges_of`).
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationMethod,
        QDQQuantizer,
        QuantType,
        TensorData,
        TensorsData,
    )

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    short = set(tables(copy)) & set(operators)
    shorten(copy, sorted(short))
    operators = [name for name in operators if name not in short]
    if not operators:
        return finished(copy)
    nodes = [*operators, *_passing(copy, operators)]
    signed = recipe.activations == "int8"
    limits = {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in ranges.items()
    }
    with _quantizer():
        quantizer = QDQQuantizer(
            model=copy,
            per_channel=recipe.per_channel,
            reduce_range=recipe.seven_bits,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if signed else QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
            nodes_to_quantize=nodes,
            nodes_to_exclude=[],
            op_types_to_quantize=sorted({n.op_type for n in copy.graph.node if n.name in nodes}),
            extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
        )
        quantizer.quantize_model()
    made = quantizer.model.model
    _leave_out_roundings(made, nodes)
    return finished(made)


def dynamic(model: Any, recipe: Recipe) -> bytes:
    """Return the graph with 8-bit matrix products whose inputs are scaled at each call."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    shorten(copy, tables(copy))
    with tempfile.TemporaryDirectory(prefix="afterfit-") as folder, _quantizer():
        path = Path(folder) / "model.onnx"
        quantize_dynamic(
            copy,
            path,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=recipe.per_channel,
            reduce_range=recipe.seven_bits,
            weight_type=QuantType.QInt8,
        )
        return finished(onnx.load_model(path))


def last(model: Any) -> list[str]:
    """Return the names of the operators with weights that no other such operator follows."""
    nodes = weighted(model)
    names = {node.name for node in nodes}
    reads: set[str] = set()
    found = []
    for node in reversed(model.graph.node):
        follows = bool(reads & set(node.output))
        if node.name in names and not follows:
            found.append(node.name)
        if node.name in names or follows:
            reads |= set(node.input)
    return sorted(found)


def _passing(model: Any, operators: Collection[str]) -> list[str]:
    """Return the operators between those of 8 bits that can hand 8-bit numbers on."""
    constants = {tensor.name for tensor in model.graph.initializer}
    eight: set[str] = set()
    passing = []
    for node in model.graph.node:
        if node.name in operators:
            eight |= set(node.output)
        elif node.op_type in _PASSING and not node.domain:
            numbers = node.input if node.op_type in {"Add", "Concat"} else node.input[:1]
            if all(name in eight and name not in constants for name in numbers):
                eight |= set(node.output)
                passing.append(node)
    reads = {name for node in model.graph.node if node.name in operators for name in node.input[:1]}
    kept = []
    for node in reversed(passing):
        if reads & set(node.output):
            reads |= set(node.input)
            kept.append(node.name)
    return kept[::-1]


def _leave_out_roundings(model: Any, eight: Collection[str]) -> None:
    """Take out roundings of what a matrix product answers, where no 8-bit operator reads it."""
    producers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    answers = {value.name for value in model.graph.output}
    gone: set[str] = set()
    instead: dict[str, str] = {}
    for node in model.graph.node:
        source = producers.get(node.input[0]) if node.op_type == _ROUND else None
        if source is None or source.op_type not in {"Gemm", "MatMul"}:
            continue
        back = [r for r in readers.get(node.output[0], []) if r.op_type == _BACK]
        reading = [r for each in back for r in readers.get(each.output[0], [])]
        if any(reader.name in eight for reader in reading):
            continue
        gone |= {node.output[0], *(each.output[0] for each in back)}
        instead |= {each.output[0]: node.input[0] for each in back}
    _rewire(model.graph, gone, instead, answers)


def _rewire(graph: Any, gone: set[str], instead: dict[str, str], answers: set[str]) -> None:
    # What the graph answers keeps its name: the product takes it over.
    over = {source: name for name, source in instead.items() if name in answers}
    kept = [node for node in graph.node if not gone & set(node.output)]
    for node in kept:
        for place, name in enumerate(node.input):
            found = instead.get(name, name)
            node.input[place] = over.get(found, found)
        node.output[:] = [over.get(name, name) for name in node.output]
    del graph.node[:]
    graph.node.extend(kept)


@contextlib.contextmanager
def _quantizer() -> Iterator[None]:
    """Keep what the quantizer prints and logs away from people; raises its errors as ModelError."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:  # noqa: BLE001 - it raises anything, and none of it is fatal
        raise ModelError(
            "ONNX Runtime cannot quantize the graph",
            why=brief(error),
            fix="pip install --upgrade onnxruntime",
        ) from None
    finally:
        logging.disable(before)
