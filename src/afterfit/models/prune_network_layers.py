"""A network as a graph of layers, which can be made narrower whatever its own code says.

An exported program computes with bare weights. Here each operator that has some becomes the layer
of ``torch.nn`` again: what is left of the network's code are those layers and what joins them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from afterfit.core.bundle import TensorInput
from afterfit.errors import ModelError
from afterfit.models.torch_export import brief_cause, example, is_script, quiet

__all__ = ["Layered", "layered"]


@dataclass(frozen=True)
class Layered:
    """A network of layers, and which of them may answer fewer numbers.

    ``last`` are the layers whose numbers are the answer. ``inner`` are those whose numbers only
    other linear layers read, number by number: the width of a feed-forward block. ``attention``
    says that some numbers weigh others, so that their count is written into the code.
    """

    module: Any
    last: tuple[Any, ...]
    inner: tuple[Any, ...]
    attention: bool

    @property
    def fixed(self) -> tuple[Any, ...]:
        """Return the layers that must keep their width."""
        if not self.attention:
            return self.last
        return tuple(each for each in wide(self.module) if not _among(each, self.inner))


def layered(native: Any, inputs: Sequence[TensorInput]) -> Layered:
    """Return a copy of the network as layers, in eval mode; raises ModelError where it has none."""
    if not hasattr(native.estimator, "state_dict") or is_script(native.estimator):
        raise ModelError(
            "TorchScript is not taken apart",
            fix="give the network as torch.export.save writes it, or as weights with its code",
        )
    with quiet():
        program = native.program or _program(native.estimator, inputs)
        graph_module = copy.deepcopy(program.module())
    module = _raised(graph_module)
    if not wide(module):
        raise ModelError(
            "the network has neither a convolution nor a linear layer",
            fix="leave out --allow prune",
        )
    nodes = list(module.graph.nodes)
    return Layered(
        module=module,
        last=tuple(_last(module)),
        inner=tuple(_inner(module)),
        attention=any(_weighs(node) for node in nodes),
    )


def wide(module: Any) -> list[Any]:
    """Return the convolutions and linear layers of a network of layers, in their order."""
    from torch import nn

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return [each for each in module.modules() if isinstance(each, kinds)]


def _among(layer: Any, layers: Sequence[Any]) -> bool:
    return any(layer is each for each in layers)


def _program(module: Any, inputs: Sequence[TensorInput]) -> Any:
    import torch

    rows = torch.export.Dim("rows")
    try:
        return torch.export.export(
            copy.deepcopy(module), example(inputs), dynamic_shapes=tuple({0: rows} for _ in inputs)
        )
    except Exception as error:  # noqa: BLE001 - exporters raise anything
        raise ModelError(
            "the network cannot be exported",
            why=brief_cause(error),
            fix="write it so that torch.export takes it",
        ) from None


def _raised(given: Any) -> Any:
    """Return the module with layers in place of operators that have weights."""
    import torch

    made: dict[tuple[str, ...], Any] = {}
    graph = given.graph
    for node in list(graph.nodes):
        if node.op == "call_module":  # guards, which check what the caller checks
            graph.erase_node(node)
            continue
        build = _BUILDERS.get(_operator(node))
        if node.op != "call_function" or build is None:
            continue
        layer, read = build(given, node)
        if layer is None:
            continue
        key = (_operator(node), *(str(each.target) for each in node.all_input_nodes[1:]))
        name = f"layer_{list(made).index(key) if key in made else len(made)}"
        if key not in made:
            made[key] = layer
            given.add_submodule(name, layer)
        with graph.inserting_before(node):
            call = graph.call_module(name, (read,))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    module = torch.fx.GraphModule(given, graph)
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return module.eval()


def _operator(node: Any) -> str:
    """Return the operator's name without its overload, such as ``conv2d``."""
    name = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
    return str(name).partition(".")[0]


def _argument(node: Any, index: int, name: str, default: Any) -> Any:
    return node.args[index] if index < len(node.args) else node.kwargs.get(name, default)


def _tensor(given: Any, node: Any) -> Any:
    """Return the weights that a node reads, or None where it reads none or what was computed."""
    if node is None or node.op != "get_attr":
        return None
    found = given
    for part in str(node.target).split("."):
        found = getattr(found, part)
    return found.detach().clone()


def _fill(layer: Any, **tensors: Any) -> Any:
    import torch

    for name, tensor in tensors.items():
        if tensor is None or name in dict(layer.named_buffers()):
            setattr(layer, name, tensor)
        else:
            setattr(layer, name, torch.nn.Parameter(tensor))
    return layer


def _convolution(given: Any, node: Any) -> tuple[Any, Any]:
    from torch import nn

    weight = _tensor(given, node.args[1])
    bias_node = _argument(node, 2, "bias", None)
    bias = _tensor(given, bias_node)
    if weight is None or (bias_node is not None and bias is None):
        return None, None
    kind: Any = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[weight.ndim]
    sides = weight.ndim - 2
    groups = int(_argument(node, 6, "groups", 1))
    layer = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=_sides(_argument(node, 3, "stride", 1), sides),
        padding=_sides(_argument(node, 4, "padding", 0), sides),
        dilation=_sides(_argument(node, 5, "dilation", 1), sides),
        groups=groups,
        bias=bias is not None,
    )
    return _fill(layer, weight=weight, bias=bias), node.args[0]


def _sides(value: Any, count: int) -> Any:
    if isinstance(value, str):
        return value
    several = [int(value)] if isinstance(value, int) else [int(each) for each in value]
    return tuple(several * count if len(several) == 1 else several)


def _linear(given: Any, node: Any) -> tuple[Any, Any]:
    from torch import nn

    weight = _tensor(given, node.args[1])
    bias_node = _argument(node, 2, "bias", None)
    bias = _tensor(given, bias_node)
    if weight is None or (bias_node is not None and bias is None):
        return None, None
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return _fill(layer, weight=weight, bias=bias), node.args[0]


def _batch_norm(given: Any, node: Any) -> tuple[Any, Any]:
    from torch import nn

    mean, variance = _tensor(given, node.args[3]), _tensor(given, node.args[4])
    value = node.args[0].meta.get("val")
    if mean is None or variance is None or value is None:
        return None, None
    kind = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}.get(value.ndim, nn.BatchNorm1d)
    weight, bias = _tensor(given, node.args[1]), _tensor(given, node.args[2])
    layer = kind(
        len(mean), eps=float(node.args[7]), momentum=float(node.args[6]), affine=weight is not None
    )
    return _fill(
        layer, weight=weight, bias=bias, running_mean=mean, running_var=variance
    ), node.args[0]


def _layer_norm(given: Any, node: Any) -> tuple[Any, Any]:
    from torch import nn

    weight = _tensor(given, _argument(node, 2, "weight", None))
    bias = _tensor(given, _argument(node, 3, "bias", None))
    if weight is None:
        return None, None
    sizes = [int(each) for each in node.args[1]]
    layer = nn.LayerNorm(sizes, eps=float(_argument(node, 4, "eps", 1e-5)), bias=bias is not None)
    return _fill(layer, weight=weight, bias=bias), node.args[0]


def _embedding(given: Any, node: Any) -> tuple[Any, Any]:
    from torch import nn

    weight = _tensor(given, node.args[0])
    if weight is None:
        return None, None
    layer = nn.Embedding(weight.shape[0], weight.shape[1])
    return _fill(layer, weight=weight), node.args[1]


_BUILDERS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "embedding": _embedding,
}

_POINTWISE = frozenset(
    {"relu", "relu_", "gelu", "silu", "silu_", "tanh", "sigmoid", "elu", "leaky_relu", "mish"}
    | {"hardswish", "hardtanh", "dropout", "dropout_", "contiguous", "clone", "softplus"}
)


def _layer(module: Any, node: Any) -> Any:
    return module.get_submodule(node.target) if node.op == "call_module" else None


def _last(module: Any) -> Iterator[Any]:
    """Yield the layers whose numbers are answered, whatever is done to them one by one."""
    layers = wide(module)
    waiting = [each for node in module.graph.nodes if node.op == "output" for each in
               node.all_input_nodes]  # fmt: skip
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        layer = _layer(module, node)
        if layer is not None and _among(layer, layers):
            yield layer
        else:
            waiting += node.all_input_nodes


def _inner(module: Any) -> Iterator[Any]:
    from torch import nn

    for node in module.graph.nodes:
        layer = _layer(module, node)
        if isinstance(layer, nn.Linear) and _only_linear(module, node):
            yield layer


def _only_linear(module: Any, node: Any) -> bool:
    """Return whether nothing but linear layers reads a node's numbers, each as it is."""
    from torch import nn

    for user in node.users:
        if isinstance(_layer(module, user), nn.Linear):
            continue
        if _operator(user) not in _POINTWISE or not _only_linear(module, user):
            return False
    return bool(node.users)


_PRODUCTS = frozenset({"matmul", "bmm", "einsum", "baddbmm", "__matmul__"})


def _weighs(node: Any) -> bool:
    """Return whether a node multiplies what was computed by what was computed, as attention."""
    operator = _operator(node)
    if "attention" in operator:
        return True
    computed = [each for each in node.all_input_nodes if each.op != "get_attr"]
    return operator in _PRODUCTS and len(computed) > 1
