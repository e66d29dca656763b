"""Requests that are wrong in one way: each must be refused, and none may end the server.

That a refusal has the form of the protocol is judged in ``afterwards``, over all of them.
"""

from __future__ import annotations

import math
from typing import Any

from afterfit.core.wire.tensors import FLOATS, INTEGERS, RAW_ONLY, Tensor
from afterfit.testing.conformance.check import NotApplicableError, clause, require
from afterfit.testing.conformance.target import Body, Target

_DEPTH = 20_000
_HUGE = 1 << 62
_NUMBERS = frozenset({*FLOATS, *INTEGERS}) - RAW_ONLY


@clause("fault.malformed-json", "must", "HTTP/REST")
def malformed(target: Target) -> None:
    """A body that is not JSON is an error."""
    head = target.body().head
    for body in (b"{", b"no JSON", head[:-1], head + b" {}"):
        target.refused(body, f"the body {body[-20:]!r}")


@clause("fault.empty-body", "must", "Inference Request")
def empty_body(target: Target) -> None:
    """A request without a body is an error."""
    target.refused(b"", "an empty body")


@clause("fault.no-object", "must", "Inference Request")
def no_object(target: Target) -> None:
    """A body that is no JSON object is an error."""
    for body in (b"[]", b"1", b"null", b'"inputs"'):
        target.refused(body, f"the body {body.decode()}")


@clause("fault.no-inputs", "must", "Inference Request, inputs")
def no_inputs(target: Target) -> None:
    """Inputs are required, as an array."""
    body = target.body()
    target.refused(body.changed(inputs=None), "a request without inputs")
    wrongs: tuple[Any, ...] = ({}, "x", 1, [1])
    for wrong in wrongs:
        target.refused(body.changed(inputs=wrong), f"the inputs {wrong!r}")


@clause("fault.missing-field", "must", "Request Input")
def missing_field(target: Target) -> None:
    """An input has name, shape, datatype and data: without one of them it is an error."""
    for field in ("name", "shape", "datatype", "data"):
        body = _first_changed(target, _plain_input(target), {field: None})
        target.refused(body, f"an input without its {field}")


@clause("fault.missing-input", "must", "Model Metadata Response, inputs")
def missing_input(target: Target) -> None:
    """The inputs of the metadata are required: without one of them it is an error."""
    tensors = target.tensors()
    rest = tensors[1:] or [_renamed(tensors[0], "no_such_input")]
    target.refused(target.body_with(rest), f"a request without the input {tensors[0].name}")


@clause("fault.extra-input", "should", "Model Metadata Response, inputs")
def extra_input(target: Target) -> None:
    """An input that the model does not have is an error, not passed over."""
    tensors = target.tensors()
    more = [*tensors, _renamed(tensors[0], "no_such_input")]
    target.refused(target.body_with(more), "an input that the model does not have")


@clause("fault.input-twice", "should", "Request Input, name")
def input_twice(target: Target) -> None:
    """An input given twice is an error."""
    tensors = target.tensors()
    target.refused(target.body_with([*tensors, tensors[0]]), "an input given twice")


@clause("fault.unknown-output", "must", "Inference Request, outputs")
def unknown_output(target: Target) -> None:
    """An output that the model does not have cannot come: asking for it is an error."""
    body = target.body().changed(outputs=[{"name": "no_such_output"}])
    target.refused(body, "an output that the model does not have")


@clause("fault.unknown-datatype", "must", "Tensor Data Types")
def unknown_datatype(target: Target) -> None:
    """A datatype that is not in the table is an error."""
    for datatype in ("FLOAT99", "fp32", ""):
        body = _first_changed(target, _plain_input(target), {"datatype": datatype})
        target.refused(body, f"the datatype {datatype!r}")


@clause("fault.other-datatype", "must", "Request Input, datatype; Tensor Data")
def other_datatype(target: Target) -> None:
    """Whole numbers declared with another datatype are taken for what they are, or refused."""
    tensor = _number_input(target)
    whole = _replaced(tensor, tuple(int(value) for value in tensor.values))
    other = "INT32" if tensor.datatype != "INT32" else "FP64"
    body = _with(target, whole)
    exchange = target.post(_first_changed(target, whole, {"datatype": other}))
    if exchange.status == 200:
        target.same(body, target.accepted(exchange))


@clause("fault.text-for-number", "must", "Tensor Data")
def text_for_number(target: Target) -> None:
    """An element that cannot be made the datatype of its input is an error."""
    tensor = _number_input(target)
    values: tuple[Any, ...] = ("no number", {})
    for value in values:
        wrong = _replaced(tensor, (value, *tensor.values[1:]))
        target.refused(_with(target, wrong), f"the element {value!r} of {tensor.datatype}")


@clause("fault.out-of-range", "must", "Tensor Data; Tensor Data Types")
def out_of_range(target: Target) -> None:
    """A whole number beyond its datatype is an error, not another number."""
    whole = [tensor for tensor in target.tensors() if tensor.datatype in INTEGERS]
    if not whole:
        raise NotApplicableError("no input is a whole number")
    for value in (1 << 70, -(1 << 70)):
        wrong = _replaced(whole[0], (value, *whole[0].values[1:]))
        target.refused(_with(target, wrong), f"{value} for {whole[0].datatype}")


@clause("fault.too-few-values", "must", "Request Input, data")
def too_few_values(target: Target) -> None:
    """Data represents the full shape."""
    tensor = _plain_input(target)
    target.refused(_with(target, _replaced(tensor, tensor.values[:-1])), "an element too few")


@clause("fault.too-many-values", "must", "Request Input, data")
def too_many_values(target: Target) -> None:
    """Data is no more than its shape."""
    tensor = _plain_input(target)
    more = _replaced(tensor, (*tensor.values, tensor.values[0]))
    target.refused(_with(target, more), "an element too many")


@clause("fault.wrong-shape", "must", "Model Metadata Response, inputs")
def wrong_shape(target: Target) -> None:
    """A shape that the metadata does not allow is an error."""
    tensor = _plain_input(target)
    meta = next((each for each in target.inputs if each.name == tensor.name), None)
    if meta is None:
        raise NotApplicableError("the metadata does not describe the input")
    fixed = [index for index, size in enumerate(meta.shape) if size > 0]
    if fixed:
        sizes = list(tensor.shape)
        sizes[fixed[-1]] += 1
    else:
        sizes = [*tensor.shape, 2]
    wrong = _shaped(tensor, tuple(sizes))
    target.refused(_with(target, wrong), f"the shape {sizes} for {meta.shape}")


@clause("fault.rows-differ", "should", "Request Input")
def rows_differ(target: Target) -> None:
    """Inputs with different numbers of rows are an error."""
    target.need_batch()
    tensors, others = target.tensors(2), target.tensors(3)
    if len(tensors) < 2:
        raise NotApplicableError("the model has one input")
    target.refused(target.body_with([others[0], *tensors[1:]]), "3 rows of one input, 2 of another")


@clause("fault.ragged", "should", "Tensor Data")
def ragged(target: Target) -> None:
    """Nested data whose rows differ in length is an error."""
    tensor = _plain_input(target)
    if len(tensor.shape) < 2 or len(tensor.values) < 3:
        raise NotApplicableError("the input has no rows to make uneven")
    data = [list(tensor.values[:1]), list(tensor.values[1:])]
    body = _first_changed(target, tensor, {"data": [*data, []]})
    target.refused(body, "nested data with uneven rows")


@clause("fault.negative-size", "must", "Request Input, shape")
def negative_size(target: Target) -> None:
    """A size in a request is a number from 0: -1 is for metadata."""
    tensor = _plain_input(target)
    body = _first_changed(target, tensor, {"shape": [-1, *tensor.shape[1:]]})
    target.refused(body, "a size of -1")


@clause("fault.huge-size", "must", "Request Input, shape and data")
def huge_size(target: Target) -> None:
    """A shape of more elements than were sent is an error, whatever its size."""
    tensor = _plain_input(target)
    for sizes in ([_HUGE, *tensor.shape[1:]], [_HUGE, _HUGE]):
        target.refused(_first_changed(target, tensor, {"shape": sizes}), f"the shape {sizes}")


@clause("fault.deep-json", "should", "RFC 8259, 9")
def deep_json(target: Target) -> None:
    """JSON that is nested very deeply is refused."""
    deep = b"[" * _DEPTH + b"]" * _DEPTH
    exchange = target.refused(b'{"inputs": ' + deep + b"}", f"{_DEPTH} nested arrays")
    require(exchange.status < 500, f"the status is {exchange.status}", exchange)


@clause("fault.nan-token", "should", "RFC 8259, 6")
def nan_token(target: Target) -> None:
    """NaN and Infinity are not JSON: an error."""
    tensor = _number_input(target)
    mark = 123456789
    body = _with(target, _replaced(tensor, (mark, *tensor.values[1:]))).head
    for token in (b"NaN", b"Infinity", b"-Infinity"):
        wrong = body.replace(str(mark).encode(), token, 1)
        target.refused(wrong, f"the token {token.decode()}")


@clause("fault.bad-utf8", "should", "RFC 8259, 8.1")
def bad_utf8(target: Target) -> None:
    """JSON is UTF-8: other bytes are an error."""
    body = target.body().changed(id="mark").head.replace(b"mark", b"\xff\xfe")
    target.refused(body, "bytes that are not UTF-8")


@clause("fault.unknown-path", "should", "RFC 9110, 15.5.5")
def unknown_path(target: Target) -> None:
    """A path that is not there is 404."""
    exchange = target.get("/v2/no-such-path", fault=True)
    require(exchange.status == 404, f"the status is {exchange.status}", exchange)


def _plain_input(target: Target) -> Tensor:
    """Return the first input that goes as JSON."""
    for tensor in target.tensors():
        if tensor.datatype not in RAW_ONLY and tensor.values:
            return tensor
    raise NotApplicableError("no input has a form in JSON")


def _number_input(target: Target) -> Tensor:
    for tensor in target.tensors():
        if tensor.datatype in _NUMBERS and tensor.values:
            return tensor
    raise NotApplicableError("no input is a number with a form in JSON")


def _with(target: Target, changed: Tensor) -> Body:
    """Return the plain request with one input changed."""
    tensors = [changed if t.name == changed.name else t for t in target.tensors()]
    return target.body_with(tensors)


def _first_changed(target: Target, tensor: Tensor, fields: dict[str, Any]) -> Body:
    """Return the plain request with fields of one input changed; None takes a field away."""
    body = _with(target, tensor)
    inputs = []
    for document in body.document["inputs"]:
        merged = {**document, **fields} if document["name"] == tensor.name else document
        inputs.append({key: value for key, value in merged.items() if value is not None})
    return body.changed(inputs=inputs)


def _renamed(tensor: Tensor, name: str) -> Tensor:
    return Tensor(name, tensor.datatype, tensor.shape, tensor.values, tensor.parameters)


def _replaced(tensor: Tensor, values: tuple[Any, ...]) -> Tensor:
    return Tensor(tensor.name, tensor.datatype, tensor.shape, values, tensor.parameters)


def _shaped(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the tensor in another shape, its values over and over."""
    count = math.prod(shape)
    values = (tensor.values * (count // len(tensor.values) + 1))[:count]
    return Tensor(tensor.name, tensor.datatype, shape, values, tensor.parameters)
