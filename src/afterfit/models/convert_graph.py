"""ONNX graphs: building them, cutting them to one output, and bytes that repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from afterfit.core.signature import Signature
from afterfit.models.native import NativeModel

__all__ = [
    "IR_VERSION",
    "ML",
    "ML_OPSET",
    "OPSET",
    "ConverterContainer",
    "Graph",
    "column_names",
    "finish",
    "texts",
]

OPSET = 21
ML_OPSET = 5
IR_VERSION = 10
"""What ONNX Runtime 1.20 and later run; fixed, so that equal models give equal bytes."""

ML = "ai.onnx.ml"


def column_names(native: NativeModel, signature: Signature) -> tuple[str, ...]:
    """Return the columns in the model's order, by the names that the data gives them."""
    known = native.description.features or ()
    return tuple(known) if known and set(known) <= set(signature.names) else signature.names


class Graph:
    """A graph built by hand: nodes and constants with names in order."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: np.ndarray) -> str:
        """Return the name of a constant."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        if value.dtype.kind in "OU":
            self.constants.append(texts(name, value))
        else:
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        """Return the name of a new node's output."""
        from onnx import helper

        name = f"{kind}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def model(self, inputs: list[Any], output: Any) -> Any:
        """Return the ModelProto with these typed inputs and this output."""
        from onnx import helper

        graph = helper.make_graph(self.nodes, "model", inputs, [output], self.constants)
        return helper.make_model(graph)


class ConverterContainer:
    """The container of skl2onnx as a place to put nodes and constants."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def constant(self, value: np.ndarray) -> str:
        """Return the name of a constant."""
        from onnx import helper

        name = str(self._scope.get_unique_variable_name("constant"))
        if value.dtype.kind in "OU":
            texts = [str(text).encode() for text in value.ravel()]
            self._container.add_initializer(name, 8, list(value.shape), texts)
        else:
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            flat = value.ravel().tolist()
            self._container.add_initializer(name, kind, list(value.shape), flat)
        return name

    def node(self, kind: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        """Return the name of a new node's output."""
        name = str(self._scope.get_unique_variable_name(kind.lower()))
        self.named(kind, inputs, name, domain=domain, **attributes)
        return name

    def named(
        self, kind: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any
    ) -> None:
        """Add a node whose output has a given name."""
        # skl2onnx knows ai.onnx.ml up to 3; the opset is set right when the graph is finished.
        version = 3 if domain else None
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(
            kind,
            list(inputs),
            [output],
            op_domain=domain,
            op_version=version,
            name=name,
            **attributes,
        )


def finish(model: Any, output: str, *, ml_opset: int) -> bytes:
    """Return a model's bytes, cut to one output, without anything that changes between runs."""
    from onnx import helper

    graph = model.graph
    kept = [value for value in graph.output if value.name == output]
    nodes = _needed(graph.node, output)
    used = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    clean = helper.make_graph(nodes, "model", list(graph.input), kept, constants)
    opsets = [helper.make_opsetid("", OPSET)]
    if any(node.domain == ML for node in nodes):
        opsets.append(helper.make_opsetid(ML, ml_opset))
    opsets += [entry for entry in model.opset_import if entry.domain not in ("", ML)]
    result = helper.make_model(clean, opset_imports=opsets, ir_version=IR_VERSION)
    result.producer_name = "afterfit"
    for node in result.graph.node:
        node.doc_string = ""
    return bytes(result.SerializeToString(deterministic=True))


def _needed(nodes: Any, output: str) -> list[Any]:
    """Return the nodes that the output depends on, in their order."""
    wanted = {output}
    kept = []
    for node in reversed(list(nodes)):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def texts(name: str, values: np.ndarray) -> Any:
    """Return a string TensorProto."""
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(values, dtype=object), name)
