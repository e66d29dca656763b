"""Networks with fewer channels, taught again what the whole one says; and with fewer weights.

Channels are left out with all that depends on them (torch-pruning's dependency graph, Fang et al.
2023), the smallest first. Where numbers weigh others, as in attention, only the width of
feed-forward blocks is changed: heads and what is added up keep theirs.
"""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec
import numpy as np

from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, DependencyError, ModelError
from afterfit.models.convert import Converted, brief, is_network
from afterfit.models.distil_network_train import (
    LEAST_ROWS,
    MOST_ROWS,
    Lesson,
    Training,
    epochs_for,
    learn,
    lesson,
    seeded,
)
from afterfit.models.native import NativeModel
from afterfit.models.proposal import Proposal
from afterfit.models.prune_network_layers import Layered, layered, wide
from afterfit.models.torch_export import brief_cause, example, export, quiet

__all__ = [
    "can_learn",
    "expected_seconds",
    "fewer_channels",
    "fewer_weights",
    "in_8_bits",
    "proposals",
    "training_of",
]

MAKE = "afterfit.models.prune_network"
QUANTIZE = "afterfit.optimize.quantize"
SHARES = (0.25, 0.5, 0.65)
"""Of the channels of each layer, left out."""

WEIGHTS = 0.9
"""Of the weights of each layer, left out."""

MULTIPLIED = "a weight that is zero is multiplied like any other, and memory holds it too"

MULTIPLE = 4
"""Widths stay multiples of it: processors compute several numbers at once."""

LEAST_PARAMETERS = 10_000
"""A network smaller than this costs less than making its tensors."""


def proposals(
    native: NativeModel, *, signature: Signature, labelled: bool, rows: int
) -> list[Proposal]:
    """Return narrower networks; none without rows that teach, or for TorchScript."""
    del labelled
    network: Any = native
    if not is_network(native) or rows < LEAST_ROWS or not can_learn(network, signature):
        return []
    if _parameters(network) < LEAST_PARAMETERS:
        return []
    seconds = expected_seconds(network, rows)
    found = [
        Proposal(
            name=f"prune-channels-{share:.0%}".rstrip("%"),
            technique="prune",
            make=f"{MAKE}:fewer_channels",
            options={"share": share},
            needs=("rows",),
            seconds=seconds,
            told=f"{share:.0%} of the channels left out, then fine-tuned",
        )
        for share in SHARES
    ]
    sparse = Proposal(
        name=f"prune-weights-{WEIGHTS:.0%}".rstrip("%"),
        technique="prune",
        make=f"{MAKE}:fewer_weights",
        options={"share": WEIGHTS},
        needs=("rows",),
        seconds=seconds,
        told=f"{WEIGHTS:.0%} of the weights are zero: a smaller file, and no faster",
        no_faster=MULTIPLIED,
    )
    return [*found, *(in_8_bits(each, network) for each in found[1:]), sparse]


def in_8_bits(base: Proposal, network: Any) -> Proposal:
    """Return what makes a variant's weights 8-bit; it needs both techniques to be allowed.

    Convolutions need ranges found on rows before; those found at each call slow them down.
    """
    convolutions = any(each.ndim > 2 for each in network.estimator.parameters())
    return Proposal(
        name=f"{base.name}-int8",
        technique="quantize",
        make=f"{QUANTIZE}:{'int8' if convolutions else 'int8_dynamic'}",
        base=base.name,
        needs=("rows",) if convolutions else (),
        seconds=5.0 + _parameters(network) / 1e6,
        told=f"{base.told}; with 8-bit weights",
    )


def can_learn(network: Any, signature: Signature) -> bool:
    """Return whether the network has weights to train, and answers more than labels."""
    script = any(kind.__name__ == "ScriptModule" for kind in type(network.estimator).__mro__)
    soft = signature.task == "regression" or (
        signature.probabilities and signature.own_labels is not True
    )
    return soft and not script and hasattr(network.estimator, "parameters")


def expected_seconds(network: Any, rows: int) -> float:
    """Return about how long learning takes, by the sizes of the network and its input.

    A weight is taken to work at a third of the places of an image or a text, and three passes of
    two operations for each row; a core does some 2e10 in a second.
    """
    places = [slot.shape for slot in network.slots if slot.shape]
    spread = max(
        (math.prod(s[1:]) if len(s) > 1 else _length(network, s) for s in places), default=1
    )
    work = 6.0 * _parameters(network) * max(1.0, spread / 3) * min(rows, MOST_ROWS)
    return 10.0 + min(600.0, work * epochs_for(rows) / 2e10)


def _length(network: Any, sizes: tuple[int, ...]) -> int:
    """Return how many places a row of tokens has; numbers are one."""
    return sizes[0] if any(slot.dtype.startswith("int") for slot in network.slots) else 1


def fewer_channels(
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
    """Return the network without the smallest channels, fine-tuned, as a graph; or why not.

    ``options``: ``share`` of each layer's channels to leave out; ``epochs``, ``rate``,
    ``temperature`` and ``labels`` of `Training`.
    """
    del graph
    deadline = time.monotonic() + 0.6 * seconds
    try:
        with seeded(seed):
            inputs = native.tensors(signature.names)  # type: ignore[attr-defined]
            whole = layered(native, inputs)
            before = _count(whole.module)
            narrow(whole, example(inputs), float(options["share"]))
            taught = lesson(native, inputs, rows, target, regression=_values(signature), seed=seed)
            training = training_of(options, taught.rows, seed, deadline)
            note = f"{_count(whole.module):,} of {before:,} weights"
            return _finished(native, whole.module, signature, taught, training, note)
    except AfterfitError as error:
        return Converted(error=brief(error))


def fewer_weights(
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
    """Return the network with its smallest weights at zero, in a file that leaves them out.

    It computes as much as before. ``options`` are those of `fewer_channels`; ``share`` is that of
    each layer's weights.
    """
    from afterfit.models.prune_network_sparse import apply, masks, packed

    del graph
    deadline = time.monotonic() + 0.6 * seconds
    try:
        with seeded(seed):
            inputs = native.tensors(signature.names)  # type: ignore[attr-defined]
            whole = layered(native, inputs)
            kept = masks(whole.module, whole.last, float(options["share"]))
            if not kept:
                raise ModelError(
                    "no layer has enough weights to leave some out", fix="leave out --allow prune"
                )
            apply(kept)
            left = sum(int(mask.sum()) for _, mask in kept)
            every = sum(mask.numel() for _, mask in kept)
            note = f"{left:,} of {every:,} weights are not zero; it runs no faster for it"
            taught = lesson(native, inputs, rows, target, regression=_values(signature), seed=seed)
            training = training_of(options, taught.rows, seed, deadline)
            made = _finished(native, whole.module, signature, taught, training, note)
            return made if made.error else msgspec.structs.replace(made, data=packed(made.data))
    except AfterfitError as error:
        return Converted(error=brief(error))


def narrow(whole: Layered, tensors: tuple[Any, ...], share: float) -> None:
    """Leave out the smallest channels of each layer, in place; raises ModelError.

    ``tensors`` are an example of the input. Channels are compared by the L2 norm of all the
    weights that go with them.
    """
    fixed = list(whole.fixed)
    if all(any(layer is each for each in fixed) for layer in wide(whole.module)):
        raise ModelError(
            "no layer can be narrower",
            why="the numbers of each are answered, added up or weighed by attention",
            fix="leave out --allow prune",
        )
    pruning = _torch_pruning()
    before = _count(whole.module)
    try:
        with quiet():
            pruning.BasePruner(
                whole.module,
                tensors,
                importance=pruning.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio=share,
                ignored_layers=fixed,
                round_to=MULTIPLE,
            ).step()
            whole.module(*tensors)
    except Exception as error:  # noqa: BLE001 - what it cannot follow fails in any way
        raise ModelError(
            "the network's code depends on its widths",
            why=brief_cause(error),
            fix="read widths from the tensors: x.flatten(1) in place of x.view(-1, 512)",
        ) from None
    if _count(whole.module) >= before:
        raise ModelError(
            f"its layers are too narrow to leave out {share:.0%} of their channels",
            fix="leave out --allow prune",
        )


def _values(signature: Signature) -> bool:
    return signature.task == "regression"


def _finished(
    native: Any, module: Any, signature: Signature, taught: Lesson, training: Training, note: str
) -> Converted:
    told = learn(module, taught, native.activation, training)
    inputs = native.tensors(signature.names)
    made = export(module.eval(), signature, inputs, activation=native.activation)
    return made if made.error else msgspec.structs.replace(made, notes=(*made.notes, note, told))


def training_of(options: dict[str, Any], rows: int, seed: int, deadline: float) -> Training:
    """Return how to learn so many rows, with what the options ask for otherwise."""
    asked = {name: options[name] for name in ("rate", "temperature", "labels") if name in options}
    epochs = int(options.get("epochs", epochs_for(rows)))
    return Training(epochs=epochs, seed=seed, deadline=deadline, **asked)


def _parameters(network: Any) -> int:
    return sum(math.prod(each.shape) for each in network.estimator.parameters())


def _count(module: Any) -> int:
    return sum(each.numel() for each in module.parameters())


def _torch_pruning() -> Any:
    try:
        with quiet():
            import torch_pruning
    except ImportError as error:
        raise DependencyError(
            "torch-pruning is not installed here",
            why=str(error),
            fix="pip install 'afterfit[torch]'",
        ) from None
    return torch_pruning
