"""A student as a graph that costs little beside the student: few nodes, and no column unused."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.models.convert import Converted
from afterfit.models.convert_graph import ML, ML_OPSET, Graph, finish, texts
from afterfit.models.convert_trees import Trees, emit
from afterfit.models.distil_dense import Network
from afterfit.models.distil_rows import MISSING, Reader

__all__ = ["network_graph", "trees_graph"]

INT64, STRING, DOUBLE = 7, 8, 11


def trees_graph(read: Reader, codes: np.ndarray, trees: Trees) -> Converted:
    """Return trees over [numbers, codes of texts]; ``codes`` is float64 of [texts, width]."""
    graph = Graph()
    parts = ["numbers"] if read.numbers else []
    if read.texts:
        table = graph.constant(codes.ravel())
        parts.append(graph.node("Gather", [table, _places(graph, read)]))
    rows = parts[0] if len(parts) == 1 else graph.node("Concat", parts, axis=1)
    answer = emit(trees, graph, rows)
    width = max(2, trees.n_outputs) if trees.classifier else 1
    return _finished(graph, read, answer, width, classifier=trees.classifier)


def network_graph(read: Reader, network: Network) -> Converted:
    """Return a network whose first layer adds up a vector a text, and one for all numbers."""
    graph = Graph()
    parts = []
    if read.numbers:
        parts.append(_numbers(graph, network))
    if read.texts:
        table = graph.constant(network.texts.reshape(-1, network.texts.shape[-1]))
        found = graph.node("Gather", [table, _places(graph, read)], axis=0)
        axis = graph.constant(np.array([1]))
        parts.append(graph.node("ReduceSum", [found, axis], keepdims=0))
    total = parts[0] if len(parts) == 1 else graph.node("Add", parts)
    total = graph.node("Add", [total, graph.constant(network.biases[0])])
    for weights, bias in zip(network.weights, network.biases[1:], strict=True):
        product = graph.node("MatMul", [graph.node("Relu", [total]), graph.constant(weights)])
        total = graph.node("Add", [product, graph.constant(bias)])
    classifier = network.link != "identity"
    if classifier:
        total = graph.node("Softmax", [total], axis=1)
    else:
        total = graph.node("Mul", [total, graph.constant(np.array(network.scale))])
        total = graph.node("Add", [total, graph.constant(np.array(network.shift))])
    return _finished(graph, read, total, len(network.biases[-1]), classifier=classifier)


def _numbers(graph: Graph, network: Network) -> str:
    """Return the name of the numbers' share of the first layer, [n, hidden]."""
    absent = graph.node("IsNaN", ["numbers"])
    rows = graph.node("Where", [absent, graph.constant(network.centre[None, :]), "numbers"])
    rows = graph.node("Sub", [rows, graph.constant(network.centre)])
    rows = graph.node("Mul", [rows, graph.constant(1.0 / network.spread)])
    limits = [graph.constant(np.array(limit)) for limit in (-network.limit, network.limit)]
    rows = graph.node("Clip", [rows, *limits])
    if network.holes:
        flags = graph.node("Cast", [absent], to=DOUBLE)
        rows = graph.node("Concat", [rows, flags], axis=1)
    return graph.node("MatMul", [rows, graph.constant(network.numbers)])


def _places(graph: Graph, read: Reader) -> str:
    """Return the name of [n, texts]: each text's place in a table of [texts * width] rows."""
    from onnx import numpy_helper

    count = len(read.known)
    found = "strings"
    if count:
        places = numpy_helper.from_array(np.arange(count, dtype=np.int64), "values")
        default = numpy_helper.from_array(np.array([count], dtype=np.int64), "default")
        keys = texts("keys", np.array(read.known))
        encode: dict[str, Any] = {"keys_tensor": keys, "values_tensor": places}
        found = graph.node("LabelEncoder", ["strings"], domain=ML, default_tensor=default, **encode)
    else:
        # No text was seen twice: every one is the unknown one.
        same = graph.node("Equal", ["strings", "strings"])
        found = graph.node(
            "Sub", [graph.node("Cast", [same], to=INT64), graph.constant(np.array(1))]
        )
    start = np.arange(len(read.texts), dtype=np.int64) * read.width
    return graph.node("Add", [found, graph.constant(start)])


def _finished(
    graph: Graph, read: Reader, answer: str, width: int, *, classifier: bool
) -> Converted:
    from onnx import helper

    inputs, declared = [], []
    if read.numbers:
        inputs.append(TensorInput(name="numbers", columns=read.numbers, dtype="float64"))
        shape = [None, len(read.numbers)]
        declared.append(helper.make_tensor_value_info("numbers", DOUBLE, shape))
    if read.texts:
        inputs.append(
            TensorInput(name="strings", columns=read.texts, dtype="string", missing=MISSING)
        )
        shape = [None, len(read.texts)]
        declared.append(helper.make_tensor_value_info("strings", STRING, shape))
    told = helper.make_tensor_value_info(answer, DOUBLE, [None, width])
    data = finish(graph.model(declared, told), answer, ml_opset=ML_OPSET)
    output = GraphOutput(name=answer, form="matrix" if classifier else "value")
    return Converted(data=data, inputs=tuple(inputs), output=output)
