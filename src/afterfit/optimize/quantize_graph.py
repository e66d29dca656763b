"""Graphs before and after quantization: in single precision, folded, named, and in equal bytes."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from afterfit.errors import ModelError, first_line

__all__ = [
    "OTHERWISE",
    "WEIGHTED",
    "WeightsSize",
    "finished",
    "folded",
    "network_values",
    "prepared",
    "single",
    "weighted",
    "weights_bytes",
]

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
OTHERWISE = "make it smaller in another way: --allow prune,distil"
LEAST_OPSET = 13
"""Of the first operators that have a scale a channel."""

_EIGHT = frozenset({2, 3})  # TensorProto.UINT8, INT8
_BITS = {
    1: 32,
    2: 8,
    3: 8,
    4: 16,
    5: 16,
    6: 32,
    7: 64,
    9: 8,
    10: 16,
    11: 64,
    12: 32,
    13: 64,
    16: 16,
}


class WeightsSize(msgspec.Struct, frozen=True, kw_only=True):
    """What a graph's file is made of, in bytes; ``operators`` are those that have weights.

    ``weights`` are all constants, ``eight_bit`` those of them that hold 8 bits a number.
    """

    file: int
    weights: int
    eight_bit: int
    operators: int


def weights_bytes(data: bytes) -> WeightsSize:
    """Return the sizes of a graph's file and of its constants."""
    graph = _loaded(data).graph
    sizes = [(tensor.data_type, _bytes(tensor)) for tensor in graph.initializer]
    return WeightsSize(
        file=len(data),
        weights=sum(size for _, size in sizes),
        eight_bit=sum(size for kind, size in sizes if kind in _EIGHT),
        operators=sum(node.op_type in WEIGHTED for node in graph.node),
    )


def weighted(model: Any) -> list[Any]:
    """Return the nodes that multiply by constant numbers, in the graph's order."""
    constants = {t.name for t in model.graph.initializer if t.data_type in {1, 10, 11}}
    return [
        node
        for node in model.graph.node
        if node.op_type in WEIGHTED and not node.domain and node.input[1] in constants
    ]


def prepared(data: bytes) -> Any:
    """Return the graph ready to be quantized; raises ModelError.

    From its first operator with weights on it computes in single precision; batch norms are
    folded into the convolutions before them, shapes are known, and nodes named by their order.
    """
    from onnx import shape_inference

    model = _recent(_loaded(data))
    if not weighted(model):
        raise ModelError(
            "no operator of the graph multiplies by weights",
            why="8-bit numbers make matrix products and convolutions faster, and nothing else",
            fix=OTHERWISE,
        )
    single(model)
    folded_bytes = folded(model.SerializeToString(), "basic")
    model = shape_inference.infer_shapes(_loaded(folded_bytes), data_prop=True)
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    _flatten_biases(model.graph)
    if not weighted(model):
        raise ModelError("all that the weights are multiplied by is constant", fix=OTHERWISE)
    return model


def folded(data: bytes, level: Literal["basic", "extended"]) -> bytes:
    """Return the graph as ONNX Runtime optimizes it; raises ModelError.

    ``basic`` keeps to the standard operators; ``extended`` fuses them into ONNX Runtime's own.
    Neither is bound to a processor, as its layouts would be.
    """
    import onnxruntime

    from afterfit.runtime.onnx import session_options

    levels = onnxruntime.GraphOptimizationLevel
    options = session_options()
    options.graph_optimization_level = (
        levels.ORT_ENABLE_BASIC if level == "basic" else levels.ORT_ENABLE_EXTENDED
    )
    with tempfile.TemporaryDirectory(prefix="afterfit-") as folder:
        path = Path(folder) / "model.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - its errors have no common class
            raise ModelError(
                "ONNX Runtime cannot optimize the graph",
                why=first_line(error),
                fix="pip install --upgrade onnxruntime",
            ) from None
        return path.read_bytes()


def finished(model: Any) -> bytes:
    """Return the graph's bytes: weights inside, nothing unused, nothing that tells of a run."""
    from onnx import helper

    graph = model.graph
    used = {name for node in _all_nodes(graph) for name in node.input}
    used |= {value.name for value in graph.output}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    clean = helper.make_graph(
        list(graph.node), "model", list(graph.input), list(graph.output), constants
    )
    for node in _all_nodes(clean):
        node.doc_string = ""
        del node.metadata_props[:]
    domains = {node.domain for node in _all_nodes(clean)} | {""}
    # An operator without a domain is written with or without the standard one's name.
    opsets = sorted(
        (entry for entry in model.opset_import if entry.domain in domains),
        key=lambda entry: entry.domain,
    )
    result = helper.make_model(clean, opset_imports=opsets, ir_version=model.ir_version)
    result.producer_name = "afterfit"
    return bytes(result.SerializeToString(deterministic=True))


def network_values(model: Any, names: Iterable[str]) -> list[str]:
    """Return the float values that reach or leave these nodes and what follows, sorted."""
    from onnx import TensorProto

    inside = set(names)
    constants = {tensor.name for tensor in model.graph.initializer}
    found: set[str] = set()
    reached: set[str] = set()
    for node in model.graph.node:
        if node.name in inside or reached & set(node.input):
            reached |= set(node.output)
            found |= {name for name in (*node.input, *node.output) if name}
    known = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    kinds = {value.name: value.type.tensor_type.elem_type for value in known}
    return sorted(n for n in found - constants if kinds.get(n) == TensorProto.FLOAT)


def single(model: Any) -> None:
    """Make what follows from the first weights compute in single precision, in place.

    What stands before them, as a scaler, keeps its precision. Raises ModelError.
    """
    from onnx import TensorProto, helper, shape_inference

    nodes = _after_weights(model)
    if not nodes:
        return
    typed = shape_inference.infer_shapes(model)
    known = [*typed.graph.value_info, *typed.graph.input]
    kinds = {value.name: value.type.tensor_type.elem_type for value in known}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    inside = {name for node in nodes for name in node.output}
    renamed: dict[str, str] = {}
    casts = []
    for node in nodes:
        _single_attributes(node)
        for place, name in enumerate(node.input):
            kind = constants[name].data_type if name in constants else kinds.get(name, 0)
            if name in inside or not name or kind != TensorProto.DOUBLE:
                continue
            if name not in renamed:
                renamed[name] = f"{name}_single"
                if name in constants:
                    model.graph.initializer.append(_narrow(constants[name], renamed[name]))
                else:
                    to = TensorProto.FLOAT
                    casts.append(helper.make_node("Cast", [name], [renamed[name]], to=to))
            node.input[place] = renamed[name]
    for output in model.graph.output:
        if output.name in inside and output.type.tensor_type.elem_type == TensorProto.DOUBLE:
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    del model.graph.value_info[:]
    _insert(model.graph, casts)


def _flatten_biases(graph: Any) -> None:
    """Give products' biases of [1, n] the shape [n], the only one that the quantizer scales."""
    readers: dict[str, list[tuple[str, int]]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append((node.op_type, place))
    for tensor in graph.initializer:
        found = readers.get(tensor.name)
        if len(tensor.dims) == 2 and tensor.dims[0] == 1 and found and set(found) == {("Gemm", 2)}:
            del tensor.dims[0]


def _after_weights(model: Any) -> list[Any]:
    """Return the nodes with double weights and all that depend on them; raises ModelError."""
    doubles = {t.name for t in model.graph.initializer if t.data_type == 11}
    # Nodes are told apart by what they answer: their objects are made anew at each look.
    starts = {node.output[0] for node in weighted(model) if node.input[1] in doubles}
    reached: set[str] = set()
    found = []
    for node in model.graph.node:
        if starts & set(node.output) or reached & set(node.input):
            found.append(node)
            reached |= set(node.output)
    if any(each.HasField("g") for node in found for each in node.attribute):
        raise ModelError(
            "the graph branches after its weights, which stay as precise as they are",
            fix="export it without branches: torch.where in place of if",
        )
    return found


def _single_attributes(node: Any) -> None:
    from onnx import TensorProto, numpy_helper

    for each in node.attribute:
        if each.name == "to" and each.i == TensorProto.DOUBLE:
            each.i = TensorProto.FLOAT
        elif each.HasField("t") and each.t.data_type == TensorProto.DOUBLE:
            values = numpy_helper.to_array(each.t).astype(np.float32)
            each.t.CopyFrom(numpy_helper.from_array(values, each.t.name))


def _narrow(tensor: Any, name: str) -> Any:
    from onnx import numpy_helper

    with np.errstate(over="ignore"):
        values = numpy_helper.to_array(tensor).astype(np.float32)
    if not np.isfinite(values).all():
        raise ModelError(
            "its weights are beyond the range of single precision",
            fix="train it on scaled columns",
        )
    return numpy_helper.from_array(values, name)


def _insert(graph: Any, casts: Sequence[Any]) -> None:
    """Put each cast before the first node that reads it."""
    waiting = {cast.output[0]: cast for cast in casts}
    nodes = []
    for node in graph.node:
        nodes += [waiting.pop(name) for name in dict.fromkeys(node.input) if name in waiting]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _recent(model: Any) -> Any:
    from onnx import version_converter

    opset = next((e.version for e in model.opset_import if e.domain in ("", "ai.onnx")), 0)
    if opset >= LEAST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, LEAST_OPSET)
    except Exception as error:  # noqa: BLE001 - it raises anything
        raise ModelError(
            f"the graph's operators are those of opset {opset}, and 8 bits need {LEAST_OPSET}",
            why=first_line(error, 200),
            fix=f"export the model again with opset {LEAST_OPSET} or later",
        ) from None


def _loaded(data: bytes) -> Any:
    import onnx

    return onnx.load_model_from_string(data)


def _all_nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for each in node.attribute:
            with contextlib.suppress(ValueError):
                if each.HasField("g"):
                    yield from _all_nodes(each.g)


def _bytes(tensor: Any) -> int:
    count = int(np.prod(tensor.dims, dtype=np.int64))
    return (count * _BITS.get(tensor.data_type, 0) + 7) // 8
