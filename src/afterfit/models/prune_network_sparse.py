"""Networks with few weights that are not zero, and graphs whose files hold only those."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.models.prune_network_layers import wide

__all__ = ["apply", "masks", "packed"]

LEAST_NUMBERS = 1024
MOST_DENSE = 0.45
"""The share of numbers beyond which their places cost more than the zeros."""


def masks(module: Any, fixed: tuple[Any, ...], share: float) -> list[tuple[Any, Any]]:
    """Return (weight, mask) of each layer but the fixed: the largest weights are kept.

    ``share`` of each layer's weights are left out (Han et al. 2015).
    """
    import torch

    found = []
    for layer in wide(module):
        if any(layer is each for each in fixed) or layer.weight.numel() < LEAST_NUMBERS:
            continue
        sizes = layer.weight.detach().abs().flatten()
        kept = torch.argsort(sizes, descending=True, stable=True)
        mask = torch.zeros_like(sizes)
        mask[kept[: max(1, round((1 - share) * len(sizes)))]] = 1
        found.append((layer.weight, mask.reshape(layer.weight.shape)))
    return found


def apply(kept: list[tuple[Any, Any]]) -> None:
    """Make the masked weights zero, and keep them so while they are trained."""
    import torch

    with torch.no_grad():
        for weight, mask in kept:
            weight.mul_(mask)
            weight.register_hook(lambda gradient, mask=mask: gradient * mask)


def packed(data: bytes) -> bytes:
    """Return the graph with sparse weights as their numbers and places.

    ONNX Runtime puts them together once, when it loads the graph: what it runs is as before.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_model_from_string(data)
    kept, nodes = [], []
    for initializer in model.graph.initializer:
        if initializer.data_type != onnx.TensorProto.FLOAT:
            kept.append(initializer)
            continue
        array = numpy_helper.to_array(initializer)
        (places,) = np.nonzero(array.reshape(-1))
        if array.size < LEAST_NUMBERS or len(places) > MOST_DENSE * array.size:
            kept.append(initializer)
            continue
        name = initializer.name
        given: dict[str, np.ndarray] = {
            "size": np.array([array.size], np.int64),
            "shape": np.array(array.shape, np.int64),
            "places": places.astype(np.int32),
            "numbers": array.reshape(-1)[places],
        }
        kept += [numpy_helper.from_array(v, f"{name}.{k}") for k, v in given.items()]
        zero = numpy_helper.from_array(np.zeros(1, np.float32))
        nodes += [
            helper.make_node("ConstantOfShape", [f"{name}.size"], [f"{name}.zeros"], value=zero),
            helper.make_node(
                "ScatterElements",
                [f"{name}.zeros", f"{name}.places", f"{name}.numbers"],
                [f"{name}.flat"],
            ),
            helper.make_node("Reshape", [f"{name}.flat", f"{name}.shape"], [name]),
        ]
    nodes += model.graph.node
    del model.graph.initializer[:]
    del model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString(deterministic=True))
