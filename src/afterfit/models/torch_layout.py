"""What the tensors of a network are made of: which columns, in which shape, as which numbers.

Told by, in this order: an exported program's own sizes; the example that a trace keeps; what the
module (or the factory that builds it) has as attributes ``example_input`` (a tensor, or a tuple
of them) or ``input_shape`` (sizes of one row, such as ``(1, 8, 8)``) and ``input_dtype``
(``"int64"`` for tokens); its first layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from afterfit.core.bundle import TensorInput
from afterfit.errors import InputError, ModelError

__all__ = ["Slot", "of_module", "of_program", "tensors", "width"]

# The numbers of torch._export.serde.schema.ScalarType.
_SCALARS = {3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64"}
_SCALARS |= {12: "bool", 13: "bfloat16"}
_KINDS = frozenset({"float32", "float64", "int64", "int32", "bool"})


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor: its name, the sizes of one row, and its numbers.

    ``shape`` is None where it takes as many columns as there are.
    """

    name: str
    shape: tuple[int, ...] | None = None
    dtype: str = "float32"


def of_program(program: dict[str, Any]) -> tuple[Slot, ...]:
    """Return the inputs of an exported program, from its JSON; raises ModelError."""
    module = program["graph_module"]
    values = module["graph"]["tensor_values"]
    found = []
    for spec in module["signature"]["input_specs"]:
        if "user_input" not in spec:
            continue
        argument = spec["user_input"]["arg"]
        name = argument.get("as_tensor", {}).get("name")
        if name is None:
            raise _no_table("an input that is no tensor")
        sizes = values[name]["sizes"]
        if not sizes or "as_int" in sizes[0]:
            raise ModelError(
                "the program takes a fixed number of rows",
                where=name,
                why=f"the first axis of its input is always {sizes[0]['as_int'] if sizes else 1}",
                fix="export it again: torch.export.export(net, (example,), dynamic_shapes=({0: "
                "torch.export.Dim('rows')},)), with an example of two rows or more",
            )
        found.append(_slot(name, sizes[1:], values[name]["dtype"]))
    return _checked(tuple(found))


def of_module(module: Any, told: Any = None, traced: Any = None) -> tuple[Slot, ...]:
    """Return the inputs of a module by what it, its factory or its first layer tells.

    ``traced`` are the tensors that it was traced with, if it was.
    """
    examples = _attribute(module, told, "example_input")
    if examples is None:
        examples = traced
    if examples is not None:
        several = examples if isinstance(examples, tuple | list) else (examples,)
        return _checked(
            tuple(
                Slot(
                    name=f"input_{index}" if len(several) > 1 else "input",
                    shape=tuple(int(size) for size in each.shape[1:]),
                    dtype=str(each.dtype).removeprefix("torch."),
                )
                for index, each in enumerate(several)
            )
        )
    shape = _attribute(module, told, "input_shape")
    dtype = str(_attribute(module, told, "input_dtype") or "")
    if shape is not None:
        sizes = tuple(int(each) for each in shape)
        return _checked((Slot(name="input", shape=sizes, dtype=dtype or _numbers(module)),))
    size = _first_size(module)
    return _checked((Slot(name="input", shape=size, dtype=dtype or _numbers(module)),))


def width(slots: Sequence[Slot]) -> int | None:
    """Return how many columns fill the tensors; None where any number does."""
    if any(slot.shape is None for slot in slots):
        return None
    return sum(math.prod(slot.shape or ()) for slot in slots)


def tensors(slots: Sequence[Slot], features: Sequence[str]) -> tuple[TensorInput, ...]:
    """Return how the tensors are made of these columns, in their order; raises InputError."""
    expected = width(slots)
    if expected is not None and expected != len(features):
        sizes = ", ".join(str(list(slot.shape or ())) for slot in slots)
        raise InputError(
            f"the network takes {expected} columns, the data has {len(features)}",
            why=f"a row of its input is {sizes}",
            fix="give exactly its columns, in the order in which the input is read",
        )
    found, start = [], 0
    for slot in slots:
        count = len(features) if slot.shape is None else math.prod(slot.shape)
        columns = tuple(features[start : start + count])
        start += count
        found.append(_tensor(slot, columns))
    return tuple(found)


def _tensor(slot: Slot, columns: tuple[str, ...]) -> TensorInput:
    dtype: Any = slot.dtype
    if slot.shape == ():
        return TensorInput(name=slot.name, columns=columns, dtype=dtype, rank=1)
    shape = slot.shape if slot.shape is not None and len(slot.shape) > 1 else msgspec.UNSET
    return TensorInput(name=slot.name, columns=columns, dtype=dtype, shape=shape)


def _slot(name: str, sizes: list[dict[str, Any]], scalar: int) -> Slot:
    fixed: list[Any] = [size.get("as_int") for size in sizes]
    if None in fixed and len(fixed) > 1:
        raise ModelError(
            "the program takes rows of any size",
            where=name,
            why="how many columns fill which of its axes is not told",
            fix="export it again with the first axis dynamic, and no other",
        )
    shape = None if None in fixed else tuple(int(each) for each in fixed)
    return Slot(name=name, shape=shape, dtype=_SCALARS.get(scalar, str(scalar)))


def _checked(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    if not slots:
        raise _no_table("no input")
    for slot in slots:
        if slot.dtype not in _KINDS:
            raise _no_table(f"the input {slot.name} of {slot.dtype}")
        if slot.shape is None and len(slots) > 1:
            raise _no_table(f"the input {slot.name} of any number of columns beside others")
        if slot.shape is not None and any(size < 1 for size in slot.shape):
            raise _no_table(f"the input {slot.name} of {list(slot.shape)}")
    return slots


def _no_table(what: str) -> ModelError:
    return ModelError(
        f"the network has {what}",
        why="a table gives tensors of float32, float64, int64, int32 or bool, each of a fixed size",
        fix="wrap it in a module whose forward takes such tensors, and export that",
    )


def _attribute(module: Any, told: Any, name: str) -> Any:
    for owner in (module, told):
        found = getattr(owner, name, None) if owner is not None else None
        if found is not None:
            return found
    return None


def _kinds(module: Any) -> list[tuple[str, Any]]:
    """Return the layers that hold weights, by their kind, in the order of their making."""
    layers = [each for each in module.modules() if not list(each.children())]
    named = [(str(getattr(each, "original_name", type(each).__name__)), each) for each in layers]
    return [(kind, each) for kind, each in named if list(each.parameters())]


def _numbers(module: Any) -> str:
    kind = next((kind for kind, _ in _kinds(module)), "")
    return "int64" if kind.startswith("Embedding") else "float32"


def _first_size(module: Any) -> tuple[int, ...] | None:
    kind, layer = next(iter(_kinds(module)), ("", None))
    if kind.startswith("Conv"):
        raise _no_shape(kind)
    size = getattr(layer, "in_features", None) if kind == "Linear" else None
    return None if size is None else (int(size),)


def _no_shape(kind: str) -> ModelError:
    return ModelError(
        f"the network begins with a {kind}, and the shape of its input is not told",
        why="how the columns fill its axes is written nowhere",
        fix="set it on the module or its factory: net.input_shape = (1, 8, 8), or export the "
        "network with torch.export, which keeps it",
    )
