"""Networks with 8-bit weights and numbers, made by ONNX Runtime from a graph and real rows.

Only matrix products and convolutions get 8 bits: they are where the time of a network goes, and
what processors have 8-bit arithmetic for. Ensembles of trees have none of them. Their time goes
into comparing and branching, their thresholds cannot move without moving rows, and ONNX Runtime
has no 8-bit trees; so nothing is proposed for them.
"""

from __future__ import annotations

import math
import platform
import time
from typing import Any, Literal

import msgspec
import numpy as np

from afterfit.core.frame import Frame, batches, concatenate
from afterfit.core.signature import Signature
from afterfit.errors import AfterfitError, ModelError
from afterfit.models.convert import Converted, attempts, is_network, to_onnx
from afterfit.models.native import NativeModel, family
from afterfit.models.proposal import Proposal
from afterfit.optimize.quantize_graph import (
    OTHERWISE,
    finished,
    folded,
    network_values,
    prepared,
    weighted,
    weights_bytes,
)
from afterfit.optimize.quantize_half import half, half_kernels
from afterfit.optimize.quantize_int8 import Activations, Recipe, dynamic, last, static
from afterfit.optimize.quantize_ranges import Calibrate, ranges_of
from afterfit.optimize.quantize_return import Budget, Loss, within_budget
from afterfit.optimize.quantize_rows import MOST_ROWS, calibration
from afterfit.optimize.quantize_tables import tables
from afterfit.runtime.onnx import OnnxModel, onnx_session
from afterfit.store.environment import current_environment

__all__ = ["Choice", "int8", "int8_dynamic", "optimized", "proposals", "sixteen_bits"]

MAKE = "afterfit.optimize.quantize"
LEAST_WEIGHTS = 10_000
"""A network with fewer weights costs less than making its tensors."""

SMALLER = 1.05
"""Times: less is not worth telling."""

DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp", "i8mm"})
"""Instructions that add up 8-bit products without overflow."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the options of a proposal say; ``seven_bits`` is ``auto``, ``yes`` or ``no``.

    ``auto`` leaves a bit of the weights unused on x86 without VNNI: there two products are added up
    in 16 bits, which overflow (of signed numbers too: they are computed as unsigned ones).
    ``last_float`` leaves the last operators
    alone. ``flips`` and ``difference`` are those of `Budget`; beyond them operators return to
    float, unless ``returning`` is False.
    """

    activations: Activations = "uint8"
    per_channel: bool = False
    seven_bits: Literal["auto", "yes", "no"] = "auto"
    calibrate: Calibrate = "min-max"
    percentile: float = 99.99
    last_float: bool = False
    returning: bool = True
    flips: float = 0.02
    difference: float = 0.02


def proposals(
    native: NativeModel, *, signature: Signature, labelled: bool, rows: int
) -> list[Proposal]:
    """Return 8-bit variants of networks and large linear models, the most promising first.

    None for trees: see above. Convolutions with ranges found at each call are slower than in
    float (0.65 times as fast on a small network, 2026-11), so that is left to dense networks.
    """
    del signature, labelled, rows
    shapes = _shapes(native)
    if sum(map(math.prod, shapes)) < LEAST_WEIGHTS:
        return []
    seconds = _seconds(native, sum(map(math.prod, shapes)))
    found = [
        _static("int8", "8-bit weights and numbers", seconds),
        _static("int8-channels", "a scale for each channel", seconds, per_channel=True),
        _static("int8-last-float", "all but the last layer", seconds, last_float=True),
        _static("int8-percentile", "1 in 10,000 numbers cut", seconds, calibrate="percentile"),
        _static("int8-entropy", "cut by entropy", seconds, calibrate="entropy"),
        _static("int8-signed", "signed numbers", seconds, activations="int8"),
    ]
    dense = Proposal(
        name="quantize-int8-dynamic",
        technique="quantize",
        make=f"{MAKE}:int8_dynamic",
        seconds=seconds,
        told="8-bit weights; ranges are found at each call",
    )
    if not any(len(shape) > 2 for shape in shapes):
        found.insert(1, dense)
    if half_kernels():
        found.append(
            Proposal(
                name="quantize-float16",
                technique="quantize",
                make=f"{MAKE}:sixteen_bits",
                seconds=seconds,
                told="weights and arithmetic of 16 bits",
            )
        )
    return [*found, _optimized("basic", seconds), _optimized("extended", seconds)]


def int8(
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
    """Return the graph with ranges found on the rows (``options``: `Choice`), or why not."""
    del target
    deadline = time.monotonic() + 0.6 * seconds
    try:
        choice = _choice(options)
        base = _base(native, signature, graph)
        frame, told = calibration(rows, signature, base.inputs, seed)
        return _int8(base, signature, choice, frame, told, deadline)
    except AfterfitError as error:
        return Converted(error=_line(error))


def int8_dynamic(
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
    """Return the graph with ranges found at each call, or why not; it needs no rows.

    Of the ``options`` (`Choice`), ``per_channel`` and ``seven_bits`` count.
    """
    del rows, target, seed, seconds
    try:
        choice = _choice(options)
        base = _base(native, signature, graph)
        recipe, told = _recipe(choice)
        return _made(base, dynamic(prepared(base.data), recipe), told)
    except AfterfitError as error:
        return Converted(error=_line(error))


def sixteen_bits(
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
    """Return the graph in half precision, or why not; ``options`` are not read.

    Without the arithmetic it is not made at all: nothing would be faster, and loading such a graph
    can end the process on x86 (ONNX Runtime 1.32, in its layout of convolutions).
    """
    del options, rows, target, seed, seconds
    if not half_kernels():
        return Converted(error="ONNX Runtime computes nothing in 16 bits on this processor")
    try:
        base = _base(native, signature, graph)
        return _made(base, half(base.data), "weights and arithmetic of 16 bits")
    except AfterfitError as error:
        return Converted(error=_line(error))


def optimized(
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
    """Return the exact graph as ONNX Runtime optimizes it; ``options``: ``level`` of `folded`."""
    import onnx

    del rows, target, seed, seconds
    try:
        base = _base(native, signature, graph)
        data = folded(base.data, options.get("level", "basic"))
        return _made(base, finished(onnx.load_model_from_string(data)))
    except AfterfitError as error:
        return Converted(error=_line(error))


def _seconds(native: NativeModel, weights: int) -> float:
    """Return about how long some passes over all rows take, at 2e10 operations a second."""
    sizes = [slot.shape for slot in getattr(native, "slots", ()) if slot.shape]
    places = max((math.prod(s[1:] or s) for s in sizes if s), default=1)
    return 5.0 + min(300.0, 6 * 2.0 * weights * MOST_ROWS * max(1.0, places / 3) / 2e10)


def _static(name: str, told: str, seconds: float, **options: Any) -> Proposal:
    return Proposal(
        name=f"quantize-{name}",
        technique="quantize",
        make=f"{MAKE}:int8",
        options=options,
        needs=("rows",),
        seconds=seconds,
        told=told,
    )


def _optimized(level: str, seconds: float) -> Proposal:
    return Proposal(
        name=f"onnx-optimized-{level}",
        technique="convert",
        make=f"{MAKE}:optimized",
        options={"level": level},
        exact=True,
        seconds=seconds,
        told="optimized before it ships rather than when it is loaded",
    )


def _int8(
    base: Converted, signature: Signature, choice: Choice, frame: Frame, told: str, deadline: float
) -> Converted:
    model = prepared(base.data)
    recipe, bits = _recipe(choice)
    nodes = [node.name for node in weighted(model)]
    spared = set(last(model)) if choice.last_float else set()
    operators = [name for name in (*tables(model), *nodes) if name not in spared]
    if not operators:
        raise ModelError(
            "its only operator with weights is the last one",
            fix="quantize it too: last_float=False",
        )
    names = network_values(model, nodes)
    how, share = choice.calibrate, choice.percentile
    ranges = ranges_of(model, names, frame, base.inputs, how=how, percentile=share)
    ask = _asker(base, signature, frame)
    exact = ask(base.data)
    # Without returning operators anything is within the budget.
    no_end = Budget(flips=1.0, difference=float("inf"))
    budget = Budget(flips=choice.flips, difference=choice.difference)
    found = within_budget(
        operators,
        lambda eight: static(model, recipe, ranges, eight),
        ask,
        exact,
        signature,
        budget if choice.returning else no_end,
        deadline=deadline,
    )
    back = f"{len(found.returned)} of {len(operators)} operators in float again: "
    floats = (back + ", ".join(found.returned),) if found.returned else ()
    return _made(base, found.data, bits, told, *floats, _changed(found.loss))


def _changed(loss: Loss) -> str:
    return f"changes {loss} on these rows"


def _recipe(choice: Choice) -> tuple[Recipe, str]:
    """Return how numbers get 8 bits on this processor, and a line that tells it."""
    have = DOT_PRODUCTS & set(current_environment().cpu_features)
    overflows = not have and platform.machine().lower() not in {"aarch64", "arm64"}
    seven = choice.seven_bits == "yes" or (choice.seven_bits == "auto" and overflows)
    recipe = Recipe(
        activations=choice.activations, per_channel=choice.per_channel, seven_bits=seven
    )
    has = f"made where there is {' and '.join(sorted(have))}" if have else "made without VNNI"
    return recipe, f"{7 if seven else 8}-bit weights, {has}"


def _choice(options: dict[str, Any]) -> Choice:
    try:
        return msgspec.convert(options, Choice)
    except msgspec.ValidationError as error:
        fix = f"give some of these: {', '.join(Choice.__struct_fields__)}"
        raise ModelError("the options of quantizing are wrong", why=str(error), fix=fix) from None


def _asker(base: Converted, signature: Signature, frame: Frame) -> Any:
    output = base.output
    if output is None:
        raise ValueError("a graph without an output cannot be asked")

    def ask(data: bytes) -> Any:
        model = OnnxModel(data, base.inputs, output, signature.classes)
        return concatenate([model.predict(part) for part in batches(frame, 256)])

    return ask


def _base(native: NativeModel, signature: Signature, graph: Converted | None) -> Converted:
    """Return the graph to start from: the given one, the model's own, or one made of it."""
    if graph is not None and graph.output is not None:
        return graph
    if native.description.framework == "onnx":
        own: Any = native
        inputs = own.tensors(signature.names)
        return Converted(data=own.estimator, inputs=inputs, output=own.output)
    found = Converted()
    for attempt in attempts(native):
        found = to_onnx(native, signature, attempt)
        if not found.error:
            return found
    raise ModelError("the model has no graph to quantize", why=found.error, fix=OTHERWISE)


def _made(base: Converted, data: bytes, *notes: str) -> Converted:
    """Return the variant; it is loaded once here, where a crash ends no process but the model's."""
    onnx_session(data)
    times = weights_bytes(base.data).file / weights_bytes(data).file
    size = (f"{len(data):,} bytes, {times:.1f} times smaller",) if times >= SMALLER else ()
    return msgspec.structs.replace(base, data=data, notes=(*base.notes, *notes, *size))


def _line(error: AfterfitError) -> str:
    why = f": {error.why}" if error.why else ""
    fix = f" (fix: {error.fix})" if error.fix else ""
    return f"{error.message}{why}{fix}"


def _shapes(native: NativeModel) -> list[tuple[int, ...]]:
    """Return the shapes of the weights that the model multiplies by; imports no framework."""
    estimator = native.estimator
    if is_network(native):
        learned: Any = getattr(estimator, "parameters", list)()
        return [tuple(each.shape) for each in learned if len(each.shape) > 1]
    if native.description.framework == "onnx":
        import onnx

        model = onnx.load_model_from_string(estimator)
        sizes = {t.name: tuple(t.dims) for t in model.graph.initializer}
        return [sizes[node.input[1]] for node in weighted(model)]
    while family(estimator, "sklearn") and hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    estimator = getattr(estimator, "best_estimator_", estimator)
    weights = getattr(estimator, "coefs_", None)
    if weights is None:
        linear = getattr(estimator, "coef_", None)
        weights = [] if linear is None or not hasattr(linear, "shape") else [linear]
    return [tuple(each.shape) for each in weights]
