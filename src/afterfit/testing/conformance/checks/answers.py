"""What an inference response must hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from afterfit.core.wire.documents import (
    TensorMetadata,
    UnreadableError,
    answer_of,
    typed,
)
from afterfit.core.wire.tensors import DATATYPES, FLOATS, INTEGERS, Tensor, alike
from afterfit.testing.conformance.check import (
    FailedError,
    NotApplicableError,
    SkippedError,
    clause,
    require,
)
from afterfit.testing.conformance.target import Target

_BATCHES = (1, 2, 5)


class _Output(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, str | float | bool] = {}


class _Response(msgspec.Struct):
    model_name: str
    outputs: list[_Output]
    model_version: str | msgspec.UnsetType = msgspec.UNSET
    id: str | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


@clause("infer.accepted", "must", "Inference; Model Metadata Response")
def accepted(target: Target) -> None:
    """A request with the inputs that the metadata asks for succeeds: 200."""
    exchange = target.trial.exchange
    hint = "if the model wants particular values, give a request with --input"
    require(exchange.status == 200, f"no request that fits was accepted; {hint}", exchange)


@clause("infer.answer", "must", "Inference Response")
def answer(target: Target) -> None:
    """There are model_name and outputs, each with name, shape, datatype and data."""
    _ = target.rows
    exchange = target.trial.exchange
    try:
        read = answer_of(exchange)
        typed(read.document, _Response)
    except UnreadableError as error:
        raise FailedError(str(error), exchange) from None
    names = read.names
    require(len(names) == len(set(names)), f"an output comes twice: {names}", exchange)


@clause("infer.model-name", "must", "Inference Response")
def model_name(target: Target) -> None:
    """model_name is the model that was asked."""
    name = target.plain.document.get("model_name")
    require(name == target.model, f"model_name is {name!r}", target.trial.exchange)


@clause("infer.model-version", "must", "Inference Response")
def model_version(target: Target) -> None:
    """model_version is a version of the metadata; absent where there are none."""
    said = target.plain.document.get("model_version")
    known = target.metadata.versions
    if said is None:
        raise NotApplicableError("the answer tells no version")
    if not known:
        # A server may know its version and let nobody ask for another.
        raise NotApplicableError("the metadata lists no versions to compare with")
    require(said in known, f"model_version {said!r} is not in {known}", target.trial.exchange)


@clause("infer.all-outputs", "must", "Inference Request, outputs")
def all_outputs(target: Target) -> None:
    """All outputs of the metadata come when none is asked for by name."""
    wanted, names = {meta.name for meta in target.metadata.outputs}, set(target.plain.names)
    why = f"the metadata has {sorted(wanted)}, the answer {sorted(names)}"
    require(names == wanted, why, target.trial.exchange)


@clause("infer.datatypes", "must", "Response Output")
def datatypes(target: Target) -> None:
    """An output has the datatype of its metadata."""
    for meta, output in _pairs(target):
        if meta.datatype not in DATATYPES:
            continue
        why = f"{meta.name} is {output.datatype}, in the metadata {meta.datatype}"
        require(output.datatype == meta.datatype, why, target.trial.exchange)


@clause("infer.shapes", "must", "Response Output; Model Metadata Response")
def shapes(target: Target) -> None:
    """An output has as many dimensions as its metadata, and the sizes that do not vary."""
    for meta, output in _pairs(target):
        sizes = zip(meta.shape, output.shape, strict=False)
        fine = len(output.shape) == len(meta.shape)
        fine = fine and all((size < 0 or size == had) and had >= 0 for size, had in sizes)
        why = f"{meta.name} has {list(output.shape)}, in the metadata {meta.shape}"
        require(fine, why, target.trial.exchange)


@clause("infer.batch", "must", "Request Input; Response Output")
def batch(target: Target) -> None:
    """A dimension of -1 takes any number of rows, and the outputs' shapes tell that number."""
    target.need_batch()
    variable = {meta.name for meta in target.outputs if meta.shape and meta.shape[0] == -1}
    if not variable:
        raise NotApplicableError("no output has rows")
    for rows in _BATCHES:
        read, exchange = target.answer(target.body(rows))
        for output in read.outputs:
            if output.name in variable:
                why = f"{output.name} has the shape {list(output.shape)} for {rows} rows"
                require(output.shape and output.shape[0] == rows, why, exchange)


@clause("infer.data-fits", "must", "Tensor Data")
def data_fits(target: Target) -> None:
    """An output has as many elements as its shape."""
    for output in target.plain.outputs:
        count = 1
        for size in output.shape:
            count *= size
        why = f"{output.name} has {len(output.values)} elements for {list(output.shape)}"
        require(count == len(output.values), why, target.trial.exchange)


@clause("infer.values", "must", "Tensor Data; Tensor Data Types")
def values(target: Target) -> None:
    """An element is a number, text or boolean, as the datatype of its output says."""
    for output in target.plain.outputs:
        fits = _test_of(output.datatype)
        for value in output.values:
            why = f"{output.name} is {output.datatype} and holds {str(value)[:40]!r}"
            require(fits(value), why, target.trial.exchange)


@clause("infer.rows-alone", "should", "Inference")
def rows_alone(target: Target) -> None:
    """A row is answered alike alone and among others, up to rounding."""
    target.need_batch()
    target.need_repeatable()
    whole, _ = target.answer(target.body(3))
    for row in range(3):
        alone, exchange = target.answer(target.body(1, row))
        for all_rows, one in zip(whole.outputs, alone.outputs, strict=False):
            if _per_row(all_rows, 3) and _per_row(one, 1):
                differs = not _same_row(all_rows, one, row)
                require(not differs, f"row {row} of {one.name} differs alone", exchange)


def _same_row(whole: Tensor, one: Tensor, row: int) -> bool:
    width = len(whole.values) // 3
    return alike(whole.values[row * width : (row + 1) * width], one.values)


def _per_row(output: Tensor, rows: int) -> bool:
    return bool(output.shape) and output.shape[0] == rows


def _pairs(target: Target) -> list[tuple[TensorMetadata, Tensor]]:
    known = {meta.name: meta for meta in target.metadata.outputs}
    pairs = [(known[out.name], out) for out in target.plain.outputs if out.name in known]
    if not pairs:
        raise SkippedError("the answer has no output of the metadata: see infer.all-outputs")
    return pairs


def _test_of(datatype: str) -> Callable[[Any], bool]:
    """Return whether a value is of the datatype."""
    if datatype in FLOATS:
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    if datatype in INTEGERS:
        bits, signed = int(datatype.rpartition("T")[2]), datatype[0] != "U"
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return lambda value: type(value) is int and low <= value <= high
    return {"BOOL": lambda value: type(value) is bool}.get(
        datatype, lambda value: isinstance(value, str)
    )
