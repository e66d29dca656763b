"""Smaller networks of the user's own making, taught by the whole one.

The function that builds the network builds the student too, in one of two ways: it takes a
``width`` (1.0 is the network itself), or names students, ``make.student = make_small``. It belongs
to weights in safetensors, so a student is proposed for those alone.
"""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from afterfit.core.bundle import TensorInput
from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, ModelError
from afterfit.models import torch_layout
from afterfit.models.convert import Converted, brief, is_network
from afterfit.models.distil_network_train import (
    LEAST_ROWS,
    Training,
    epochs_for,
    learn,
    lesson,
    seeded,
)
from afterfit.models.native import NativeModel
from afterfit.models.proposal import Proposal
from afterfit.models.prune_network import can_learn, expected_seconds, in_8_bits
from afterfit.models.torch_export import brief_cause, export
from afterfit.models.torch_outputs import Activation, activation_of, first_output

__all__ = ["proposals", "student"]

MAKE = "afterfit.models.distil_network:student"
WIDTHS = (0.5, 0.25)
LONGER = 2
"""A student starts from nothing, so it learns so many times as long as a pruned network."""


def proposals(
    native: NativeModel, *, signature: Signature, labelled: bool, rows: int
) -> list[Proposal]:
    """Return the students that the factory can build; none where it says nothing of any."""
    network: Any = native
    if not is_network(native) or rows < LEAST_ROWS or not can_learn(network, signature):
        return []
    name = network.factory
    if not name:
        return []
    factory = _found(name)
    seconds = LONGER * expected_seconds(network, rows)
    taught = "the model's answers and the labels" if labelled else "the model's answers"
    choices = [
        (f"distil-width-{width:.0%}".rstrip("%"), {"width": width}, f"{width:.0%} as wide")
        for width in WIDTHS
        if _takes_width(factory)
    ]
    choices += [
        (f"distil-{_word(small)}", {"student": index}, f"the network of {_word(small)}")
        for index, small in enumerate(_students(factory))
    ]
    found = [
        Proposal(
            name=label,
            technique="distil",
            make=MAKE,
            options=options,
            needs=("rows", "code"),
            seconds=seconds,
            told=f"{told}, taught {taught}",
        )
        for label, options, told in choices
    ]
    return [*found, *(in_8_bits(each, network) for each in found[:1])]


def student(
    native: NativeModel,
    *,
    signature: Signature,
    options: dict[str, Any],
    rows: Frame,
    target: np.ndarray | None,
    graph: Converted | None,
    seed: int,
    seconds: float,
) -> Converted:
    """Return a student as a graph, or why there is none.

    ``options``: ``width`` (what the factory is called with) or ``student`` (the place of one that
    it names); ``epochs``, ``rate``, ``temperature`` and ``labels`` of `Training`.
    """
    del graph
    network: Any = native
    deadline = time.monotonic() + 0.7 * seconds
    try:
        with seeded(seed):
            small, inputs = _built(network, signature, options)
            activation = _activation(small, inputs, signature)
            regression = signature.task == "regression"
            taught = lesson(
                native, network.tensors(signature.names), rows, target, regression=regression,
                seed=seed,
            )  # fmt: skip
            _require_fit(small, taught, activation)
            training = _training(options, taught.rows, seed, deadline)
            told = learn(small, taught, activation, training)
            made = export(small.eval(), signature, inputs, activation=activation)
    except AfterfitError as error:
        return Converted(error=brief(error))
    if made.error:
        return made
    sizes = [sum(each.numel() for each in m.parameters()) for m in (small, network.estimator)]
    note = f"{sizes[0]:,} of {sizes[1]:,} weights"
    return msgspec.structs.replace(made, notes=(*made.notes, note, told))


def _training(options: dict[str, Any], rows: int, seed: int, deadline: float) -> Training:
    asked = {name: options[name] for name in ("temperature", "labels") if name in options}
    return Training(
        epochs=int(options.get("epochs", LONGER * epochs_for(rows))),
        rate=float(options.get("rate", 2e-3)),
        seed=seed,
        deadline=deadline,
        **asked,
    )


def _found(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def _takes_width(factory: Callable[..., Any]) -> bool:
    try:
        return "width" in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False


def _students(factory: Callable[..., Any]) -> tuple[Callable[[], Any], ...]:
    named = getattr(factory, "student", ())
    return tuple(named) if isinstance(named, list | tuple) else (named,)


def _word(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__)).replace("_", "-")


def _built(
    network: Any, signature: Signature, options: dict[str, Any]
) -> tuple[Any, tuple[TensorInput, ...]]:
    """Return the student and how its tensors are made; raises ModelError."""
    factory = _found(network.factory)
    try:
        if "width" in options:
            small = factory(width=float(options["width"]))
        else:
            small = _students(factory)[int(options["student"])]()
    except Exception as error:  # noqa: BLE001 - it is the user's function
        raise ModelError(
            f"{network.factory} builds no student",
            why=brief_cause(error),
            fix="let the factory take width=0.5, or give it a function student",
        ) from None
    if not hasattr(small, "load_state_dict"):
        raise ModelError(
            f"{network.factory} returned a {type(small).__name__} for a student",
            fix="return a torch.nn.Module",
        )
    slots = torch_layout.of_module(small.eval(), factory)
    if [slot.shape for slot in slots] != [slot.shape for slot in network.slots]:
        raise ModelError(
            "the student takes another input than the network",
            fix="build a student of the same input",
        )
    return small, network.tensors(signature.names)


def _activation(small: Any, inputs: Sequence[TensorInput], signature: Signature) -> Activation:
    import torch

    def ask(arrays: list[np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            answer = first_output(small(*(torch.from_numpy(array) for array in arrays)))
        found: np.ndarray = answer.numpy()
        return found

    return activation_of(ask, inputs, signature.task)


def _require_fit(small: Any, taught: Any, activation: Activation) -> None:
    """Do nothing where the student answers as many numbers; raises ModelError."""
    import torch

    from afterfit.models.distil_network_train import scores

    with torch.no_grad():
        answer = first_output(small(*(tensor[:2] for tensor in taught.tensors)))
    answer = answer.reshape(len(answer), -1) if taught.regression else scores(answer, activation)
    if answer.shape[1] != taught.soft.shape[1]:
        raise ModelError(
            f"the student answers {answer.shape[1]} numbers a row, the network "
            f"{taught.soft.shape[1]}",
            fix="build a student of as many outputs",
        )
