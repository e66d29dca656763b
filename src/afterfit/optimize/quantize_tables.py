"""Tables of 8 bits: an embedding's rows are scaled back after they were looked up."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["shorten", "tables"]

LEAST_NUMBERS = 10_000
_LARGEST = 127


def tables(model: Any) -> list[str]:
    """Return the names of the nodes that look rows up in large constant tables of floats."""
    constants = {t.name: t for t in model.graph.initializer if t.data_type == 1}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Gather"
        and node.input[0] in constants
        and len(constants[node.input[0]].dims) == 2
        and np.prod(constants[node.input[0]].dims) >= LEAST_NUMBERS
        and all(each.i == 0 for each in node.attribute if each.name == "axis")
    ]


def shorten(model: Any, names: list[str]) -> None:
    """Give these tables 8 bits a number and one scale each, in place.

    Nothing is multiplied in 8 bits, so no processor can overflow: all 8 are used.
    """
    from onnx import helper, numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.name not in names:
            continue
        values = numpy_helper.to_array(constants[node.input[0]])
        scale = np.float32(np.abs(values).max() / _LARGEST) or np.float32(1)
        short = np.rint(values / scale).clip(-_LARGEST, _LARGEST).astype(np.int8)
        zero = np.array(0, np.int8)
        made: dict[str, np.ndarray] = {"short": short, "scale": np.array(scale), "zero": zero}
        own = {key: f"{node.name}_{key}" for key in made}
        model.graph.initializer.extend(
            numpy_helper.from_array(value, own[key]) for key, value in made.items()
        )
        answer, found = node.output[0], f"{node.name}_found"
        node.input[0], node.output[0] = own["short"], found
        nodes.append(
            helper.make_node(
                "DequantizeLinear", [found, own["scale"], own["zero"]], [answer], name=own["scale"]
            )
        )
    del model.graph.node[:]
    model.graph.node.extend(nodes)
