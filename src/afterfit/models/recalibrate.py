"""A map behind a graph's probabilities, as operators of the graph itself.

The map is one of `afterfit.stats.recalibration`, written in double precision with operators that
every opset since 9 has, so that it can stand behind any graph.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from afterfit.core.bundle import GraphOutput
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, ModelError
from afterfit.models.convert import Converted, brief
from afterfit.models.native import NativeModel
from afterfit.stats.recalibration import CLIP, Isotonic, Logistic, Map, Temperature

__all__ = ["appended", "options_of", "own_graph"]

OUTPUT = "afterfit_recalibrated"
INT64, DOUBLE = 7, 11
OTHERWISE = "leave out --allow recalibrate"
PLAIN = "export it with a plain tensor of probabilities: zipmap=False"
LEAST_OPSET = 13
"""ONNX Runtime has no sigmoid in double precision before it."""


def options_of(found: Map) -> dict[str, Any]:
    """Return a map as plain values, which travel to the model's process."""
    if isinstance(found, Isotonic):
        return {"kind": found.name, "x": found.x, "y": found.y}
    return {"kind": found.name, **found.parameters}


def appended(
    native: NativeModel, *, signature: Signature, graph: Converted, options: dict[str, Any]
) -> Converted:
    """Return the graph with the map behind it (``options``: `options_of`), or why there is none.

    Of two classes the second's probability is mapped. The output is a double tensor of
    [n, classes]; NaN stays NaN. Runs in the model's process, where onnx is loaded.
    """
    del native
    try:
        return _appended(graph, _map(options), signature)
    except AfterfitError as error:
        return Converted(error=brief(error))


def own_graph(native: NativeModel, *, signature: Signature) -> Converted | None:
    """Return the graph of a model that was given as one; None for any other."""
    if native.description.framework != "onnx":
        return None
    own: Any = native
    inputs = own.tensors(signature.names)
    return Converted(data=own.estimator, inputs=inputs, output=own.output)


def _map(options: dict[str, Any]) -> Map:
    kind, numbers = options["kind"], {k: v for k, v in options.items() if k != "kind"}
    kinds: dict[str, Any] = {"platt": Logistic, "temperature": Temperature, "isotonic": Isotonic}
    found: Map = kinds[kind](**numbers)
    return found


def _appended(graph: Converted, found: Map, signature: Signature) -> Converted:
    import onnx
    from onnx import helper

    if graph.output is None:
        raise ModelError("a graph without an output cannot be mapped", fix=OTHERWISE)
    model = onnx.load_model_from_string(graph.data)
    _require_opset(model)
    tail = _Tail(model)
    source = _probabilities(tail, graph.output, signature)
    if len(signature.classes) > 2:
        tail.add("Softmax", [_scaled_logs(tail, source, found)], output=OUTPUT, axis=1)
    else:
        gone = tail.add("IsNaN", [source])
        second = tail.add("Where", [gone, source, _mapped(tail, source, found)])
        first = tail.add("Sub", [tail.constant(np.array(1.0)), second])
        tail.add("Concat", [first, second], output=OUTPUT, axis=1)
    del model.graph.output[:]
    shape = [None, len(signature.classes)]
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, DOUBLE, shape))
    data = model.SerializeToString(deterministic=True)
    output = msgspec.structs.replace(graph.output, name=OUTPUT, form="matrix", label=msgspec.UNSET)
    return msgspec.structs.replace(graph, data=data, output=output)


class _Tail:
    """Nodes and constants added to a graph, under names that it has not."""

    def __init__(self, model: Any) -> None:
        self._graph = model.graph
        self._count = 0

    def constant(self, value: np.ndarray) -> str:
        """Return the name of a constant."""
        from onnx import numpy_helper

        name = self._name("constant")
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        """Return the name of a new node's output."""
        from onnx import helper

        name = output or self._name(kind)
        self._graph.node.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def zipped(self, output: GraphOutput, signature: Signature) -> str:
        """Return the tensor that a ZipMap reads, which is taken out; raises ModelError."""
        for index, node in enumerate(self._graph.node):
            if node.op_type == "ZipMap" and output.name in node.output:
                _require_order(node, signature)
                name = str(node.input[0])
                del self._graph.node[index]
                return name
        raise ModelError("its output is a list of maps, whose tensor was not found", fix=PLAIN)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"afterfit_map_{self._count}_{kind}"


def _require_opset(model: Any) -> None:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if versions and max(versions) < LEAST_OPSET:
        raise ModelError(
            f"the graph is of opset {max(versions)}, and a map needs {LEAST_OPSET}",
            fix=f"export it with opset {LEAST_OPSET} or later",
        )


def _require_order(node: Any, signature: Signature) -> None:
    """Do nothing where a ZipMap names the classes in the signature's order; raises ModelError."""
    values = [
        value.decode() if isinstance(value, bytes) else value
        for attribute in node.attribute
        if attribute.name.startswith("classlabels_")
        for value in (attribute.strings or attribute.ints)
    ]
    known = [str(label) for label in signature.classes]
    if [str(value) for value in values] != known and values != list(range(len(known))):
        raise ModelError("the graph's maps have the classes in another order", fix=PLAIN)


def _probabilities(tail: _Tail, output: GraphOutput, signature: Signature) -> str:
    """Return [n, 1] of the second class's probabilities, of more classes [n, classes]; double."""
    name = tail.zipped(output, signature) if output.form == "zipmap" else output.name
    name = tail.add("Cast", [name], to=DOUBLE)
    if output.form == "scores":
        name = tail.add("Softmax", [name], axis=1)
    if output.form in {"positive", "score"}:
        name = tail.add("Reshape", [name, tail.constant(np.array([-1, 1]))])
        return tail.add("Sigmoid", [name]) if output.form == "score" else name
    if output.form not in {"matrix", "scores", "zipmap"}:
        raise ModelError("the graph gives no probabilities", fix=OTHERWISE)
    if len(signature.classes) > 2:
        return name
    return tail.add("Gather", [name, tail.constant(np.array([1]))], axis=1)


def _mapped(tail: _Tail, source: str, found: Map) -> str:
    if isinstance(found, Isotonic):
        return _lines(tail, source, found)
    slope, shift = (
        (found.slope, found.intercept)
        if isinstance(found, Logistic)
        else (1 / found.parameters["temperature"], 0.0)
    )
    low, high = tail.constant(np.array(CLIP)), tail.constant(np.array(1 - CLIP))
    clipped = tail.add("Where", [tail.add("Less", [source, low]), low, source])
    clipped = tail.add("Where", [tail.add("Less", [high, clipped]), high, clipped])
    rest = tail.add("Sub", [tail.constant(np.array(1.0)), clipped])
    odds = tail.add("Sub", [tail.add("Log", [clipped]), tail.add("Log", [rest])])
    scaled = tail.add("Mul", [odds, tail.constant(np.array(slope))])
    return tail.add("Sigmoid", [tail.add("Add", [scaled, tail.constant(np.array(shift))])])


def _lines(tail: _Tail, source: str, found: Isotonic) -> str:
    """Return the line through the points: each row finds its piece by counting points below."""
    x, y = (np.asarray(values, np.float64) for values in (found.x, found.y))
    slopes = np.diff(y) / np.diff(x)
    place = tail.constant(np.array([0]))
    if len(slopes) > 1:
        below = tail.add("Less", [tail.constant(x[None, 1:-1]), source])
        ones = tail.constant(np.ones((len(x) - 2, 1)))
        counted = tail.add("MatMul", [tail.add("Cast", [below], to=DOUBLE), ones])
        place = tail.add("Cast", [counted], to=INT64)
    start, height, slope = (
        tail.add("Gather", [tail.constant(values), place], axis=0)
        for values in (x[:-1], y[:-1], slopes)
    )
    gone = tail.add("Sub", [source, start])
    return tail.add("Add", [height, tail.add("Mul", [slope, gone])])


def _scaled_logs(tail: _Tail, source: str, found: Map) -> str:
    low = tail.constant(np.array(CLIP))
    clipped = tail.add("Where", [tail.add("Less", [source, low]), low, source])
    temperature = tail.constant(np.array(found.parameters["temperature"]))
    return tail.add("Div", [tail.add("Log", [clipped]), temperature])
