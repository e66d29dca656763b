"""The forms that a right request may have."""

from __future__ import annotations

from afterfit.core.wire.documents import Answer, answer_of
from afterfit.core.wire.tensors import FLOATS, RAW_ONLY, Tensor
from afterfit.testing.conformance.check import NotApplicableError, clause, require
from afterfit.testing.conformance.target import Target, difference

_IDS = ("42", 'a "quoted" \\ ü € id', "x" * 200)
_LARGEST = {"FP16": 65504.0, "BF16": 3.3e38, "FP32": 3.4e38, "FP64": 1.7e308}
_TEXTS = ("ü € 字 🙂", 'a "quote" \\ and\nlines', "")


@clause("infer.nested", "must", "Tensor Data")
def nested(target: Target) -> None:
    """Data may be nested as the shape says, or flat."""
    tensors = [t for t in target.tensors() if t.datatype not in RAW_ONLY]
    if all(len(tensor.shape) < 2 for tensor in tensors):
        raise NotApplicableError("no input has two dimensions: nested is the same as flat")
    target.same(target.body(nested=True))


@clause("infer.id", "must", "Inference Response, id")
def id_echoed(target: Target) -> None:
    """An id that was given comes back as it was."""
    for given in _IDS:
        exchange = target.post(target.body().changed(id=given))
        require(exchange.status == 200, f"the id {given[:40]!r} got {exchange.status}", exchange)
        said = answer_of(exchange).document.get("id")
        require(said == given, f"the id {given[:40]!r} came back as {str(said)[:40]!r}", exchange)


@clause("infer.no-id", "should", "Inference Response, id")
def no_id(target: Target) -> None:
    """No id comes where none was given."""
    said = target.plain.document.get("id")
    require(not said, f"the id {said!r} was invented", target.trial.exchange)


@clause("infer.requested", "must", "Inference Request, outputs")
def requested(target: Target) -> None:
    """An output that is asked for comes, and no other, with the same values."""
    for meta in target.metadata.outputs:
        body = target.body().changed(outputs=target.asked([meta.name]))
        answer, exchange = target.answer(body)
        require(answer.names == [meta.name], f"{answer.names} came", exchange)
        usual = [output for output in target.plain.outputs if output.name == meta.name]
        if usual:
            target.need_repeatable()
            differs = difference(Answer({}, usual), answer)
            require(not differs, f"asked for alone it differs: {differs}", exchange)


@clause("infer.requested-order", "should", "Inference Request, outputs")
def requested_order(target: Target) -> None:
    """Several outputs come in the order in which they were asked for."""
    names = [meta.name for meta in target.metadata.outputs][::-1]
    if len(names) < 2:
        raise NotApplicableError("the model has one output")
    body = target.body().changed(outputs=target.asked(names))
    answer, exchange = target.answer(body)
    require(answer.names == names, f"asked for {names}, got {answer.names}", exchange)


@clause("infer.input-order", "should", "Request Input, name")
def input_order(target: Target) -> None:
    """Inputs are told apart by their names: their order changes nothing."""
    tensors = target.tensors()
    if len(tensors) < 2:
        raise NotApplicableError("the model has one input")
    target.same(target.body_with(tensors[::-1]))


@clause("infer.parameters", "should", "Parameters")
def parameters(target: Target) -> None:
    """Parameters that the server does not know, text, number or boolean, change nothing."""
    unknown = {"conform_text": "a", "conform_number": 1.5, "conform_flag": True}
    target.same(target.body(parameters=unknown))


@clause("infer.largest-numbers", "must", "RFC 8259, 6; Tensor Data")
def largest_numbers(target: Target) -> None:
    """The largest floats are answered in JSON without NaN or Infinity, or refused."""
    tensors = target.tensors()
    if not any(tensor.datatype in FLOATS for tensor in tensors):
        raise NotApplicableError("no input is a float")
    large = [_filled(t, (_LARGEST[t.datatype],)) if t.datatype in FLOATS else t for t in tensors]
    exchange = target.post(target.body_with(large))
    if exchange.status == 200:
        answer_of(exchange)


@clause("infer.texts", "should", "Tensor Data Types, BYTES")
def texts(target: Target) -> None:
    """Texts in any language, with quotes and lines, and empty ones, are answered or refused."""
    tensors = target.tensors()
    if not any(tensor.datatype == "BYTES" for tensor in tensors):
        raise NotApplicableError("no input is BYTES")
    for text in _TEXTS:
        changed = [_filled(t, (text,)) if t.datatype == "BYTES" else t for t in tensors]
        exchange = target.post(target.body_with(changed))
        require(exchange.status < 500, f"{text!r} got {exchange.status}", exchange)
        if exchange.status == 200:
            answer_of(exchange)


@clause("infer.no-rows", "should", "Request Input, shape")
def no_rows(target: Target) -> None:
    """A batch of no rows is answered with no rows, or refused."""
    target.need_batch()
    exchange = target.post(target.body(0))
    require(exchange.status < 500, f"no rows got {exchange.status}", exchange)
    if exchange.status == 200:
        empty = [meta.name for meta in target.outputs if meta.shape and meta.shape[0] == -1]
        for output in answer_of(exchange).outputs:
            fine = output.name not in empty or not output.values
            require(fine, f"{output.name} has {len(output.values)} values", exchange)


def _filled(tensor: Tensor, value: tuple[object, ...]) -> Tensor:
    values = value * len(tensor.values)
    return Tensor(tensor.name, tensor.datatype, tensor.shape, values, tensor.parameters)
