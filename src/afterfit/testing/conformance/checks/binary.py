"""The binary tensor extension, where the server says that it has it."""

from __future__ import annotations

import gzip
from typing import Any

from afterfit.core.wire.client import Exchange
from afterfit.core.wire.documents import (
    HEADER_LENGTH,
    Answer,
    TensorMetadata,
    answer_of,
)
from afterfit.core.wire.tensors import FLOATS, RAW_ONLY, Tensor
from afterfit.testing.conformance.check import (
    FailedError,
    NotApplicableError,
    SkippedError,
    clause,
    require,
)
from afterfit.testing.conformance.target import Target, difference

_SECTION = "Triton, Binary Tensor Data Extension"
_ALL = {"binary_data_output": True}
_NAN_BYTES = {"FP16": "00fe", "BF16": "c0ff", "FP32": "0000c07f", "FP64": "000000000000f87f"}


@clause("binary.inputs", "extension", _SECTION)
def inputs(target: Target) -> None:
    """Inputs may be raw bytes behind the JSON object."""
    _need(target)
    target.same(target.body(raw=_names(target)))


@clause("binary.inputs-order", "extension", _SECTION)
def inputs_order(target: Target) -> None:
    """Raw inputs follow each other in the order of the JSON."""
    tensors = _several_inputs(target)
    target.same(target.body_with(tensors[::-1], raw=_names(target)))


@clause("binary.inputs-mixed", "extension", _SECTION)
def inputs_mixed(target: Target) -> None:
    """One input may be raw and another JSON."""
    tensors = _several_inputs(target)
    names = [tensor.name for tensor in tensors]
    for raw in (names[::2], names[1::2]):
        target.same(target.body(raw=raw))


@clause("binary.bytes-in", "extension", _SECTION)
def bytes_in(target: Target) -> None:
    """A BYTES element is its length in 4 bytes, then it."""
    _same_raw(target, "BYTES")


@clause("binary.bool-in", "extension", _SECTION)
def bool_in(target: Target) -> None:
    """A BOOL element is one byte, 0 or 1."""
    _same_raw(target, "BOOL")


@clause("binary.json-default", "extension", _SECTION)
def json_default(target: Target) -> None:
    """Outputs are JSON, with no header length, where nobody asked for bytes."""
    _need(target)
    if any(meta.datatype in RAW_ONLY for meta in target.outputs):
        raise NotApplicableError("an output has no form in JSON")
    answer, exchange = target.answer(target.body(raw=_names(target)[:1]))
    require(not answer.raw, f"{sorted(answer.raw)} came as bytes", exchange)
    length = exchange.header(HEADER_LENGTH)
    require(length is None, f"{HEADER_LENGTH} is {length}", exchange)


@clause("binary.outputs-all", "extension", _SECTION)
def outputs_all(target: Target) -> None:
    """binary_data_output asks for every output as bytes, behind the JSON in its order."""
    _need(target)
    target.need_repeatable()
    answer, exchange = target.answer(target.body(parameters=_ALL))
    _all_raw(answer, exchange)
    differs = difference(target.plain, answer)
    require(not differs, f"not what the JSON says: {differs}", exchange)


@clause("binary.output-each", "extension", _SECTION)
def output_each(target: Target) -> None:
    """binary_data asks for one output as bytes."""
    _need(target)
    metas = [meta for meta in _outputs(target) if meta.datatype not in {"BYTES", "BOOL"}]
    if not metas:
        raise NotApplicableError("no output is a number")
    for meta in metas:
        _same_output(target, meta, {"binary_data": True}, raw=True)


@clause("binary.bytes-out", "extension", _SECTION)
def bytes_out(target: Target) -> None:
    """BYTES come back with a length before each element."""
    _out_of(target, "BYTES")


@clause("binary.bool-out", "extension", _SECTION)
def bool_out(target: Target) -> None:
    """BOOL come back as one byte each, 0 or 1."""
    _out_of(target, "BOOL")


@clause("binary.outputs-mixed", "extension", _SECTION)
def outputs_mixed(target: Target) -> None:
    """One output may be bytes and another JSON."""
    _need(target)
    metas = _several_outputs(target)
    for chosen in metas:
        asked = [
            {"name": m.name, "parameters": {"binary_data": m.name == chosen.name}} for m in metas
        ]
        _ask(target, asked, {}, {chosen.name})


@clause("binary.output-override", "extension", _SECTION)
def output_override(target: Target) -> None:
    """binary_data of one output stands above binary_data_output of the request."""
    _need(target)
    metas = _several_outputs(target)
    asked: list[dict[str, Any]] = [{"name": meta.name} for meta in metas]
    asked[0]["parameters"] = {"binary_data": False}
    _ask(target, asked, _ALL, {meta.name for meta in metas[1:]})


@clause("binary.no-data", "extension", _SECTION)
def no_data(target: Target) -> None:
    """An output that comes as bytes has binary_data_size and no data in its JSON."""
    _need(target)
    answer, exchange = _raw_answer(target)
    for output in answer.document["outputs"]:
        require("data" not in output, f"{output['name']} has data as well", exchange)


@clause("binary.content-type", "extension", f"{_SECTION}, examples")
def content_type(target: Target) -> None:
    """An answer with raw bytes is application/octet-stream."""
    _need(target)
    _, exchange = _raw_answer(target)
    kind = (exchange.header("content-type") or "").partition(";")[0].strip()
    require(kind == "application/octet-stream", f"it is {kind or 'absent'}", exchange)


@clause("binary.gzip-request", "extension", "tritonclient.http; Binary Tensor Data Extension")
def gzip_request(target: Target) -> None:
    """The header length counts the JSON before the whole body is compressed."""
    _need(target)
    target.need_repeatable()
    plain = target.body()
    plain_data = gzip.compress(plain.head + plain.tail, mtime=0)
    coding = ("Content-Encoding", "gzip")
    if target.post(plain_data, headers=(*plain.headers, coding)).status != 200:
        raise SkippedError("gzip without raw bytes is not taken: see coding.gzip-request")
    body = target.body(raw=_names(target))
    data = gzip.compress(body.head + body.tail, mtime=0)
    target.same(data, headers=(*body.headers, coding))


@clause("binary.gzip-response", "extension", "tritonclient.http; Binary Tensor Data Extension")
def gzip_response(target: Target) -> None:
    """The header length counts the JSON before the whole answer is compressed."""
    _need(target)
    target.need_repeatable()
    _raw_answer(target)
    body = target.body(parameters=_ALL)
    answer, exchange = target.answer(body, more=(("Accept-Encoding", "gzip"),))
    _all_raw(answer, exchange)
    differs = difference(target.plain, answer)
    require(not differs, f"not what the JSON says: {differs}", exchange)


@clause("binary.raw-body", "extension", f"{_SECTION}, Raw Binary Request")
def raw_body(target: Target) -> None:
    """A header length of 0 is a body of nothing but the one input; all outputs come as bytes."""
    _need(target)
    tensors = target.tensors(1)
    varies = [size for meta in target.inputs for size in meta.shape[1:] if size == -1]
    if len(tensors) != 1 or varies or tensors[0].datatype == "BYTES":
        raise NotApplicableError("the bytes of the inputs do not tell their shapes")
    target.need_repeatable()
    expected, _ = target.answer(target.body(1))
    headers = (("Content-Type", "application/octet-stream"), (HEADER_LENGTH, "0"))
    answer, exchange = target.answer(tensors[0].as_raw(), headers=headers)
    _all_raw(answer, exchange)
    differs = difference(expected, answer)
    require(not differs, f"not what the JSON says: {differs}", exchange)


@clause("binary.nan", "extension", f"{_SECTION}; RFC 8259, 6")
def nan(target: Target) -> None:
    """A NaN in raw bytes is answered in JSON without NaN, or refused."""
    _need(target)
    floats = [tensor for tensor in target.tensors() if tensor.datatype in FLOATS]
    if not floats:
        raise NotApplicableError("no input is a float")
    body = target.body_with(_first_float_last(target, floats[0]), raw=_names(target))
    count = len(floats[0].values)
    nothing = bytes.fromhex(_NAN_BYTES[floats[0].datatype]) * count
    data = body.head + body.tail[: len(body.tail) - len(nothing)] + nothing
    exchange = target.post(data, headers=body.headers)
    require(exchange.status < 500, f"the status is {exchange.status}", exchange)
    if exchange.status == 200:
        answer_of(exchange)


def _need(target: Target) -> None:
    if not target.binary:
        raise NotApplicableError("the server does not tell the extension binary_tensor_data")


def _names(target: Target) -> list[str]:
    return [tensor.name for tensor in target.tensors()]


def _several_inputs(target: Target) -> list[Tensor]:
    _need(target)
    tensors = target.tensors()
    if len(tensors) < 2:
        raise NotApplicableError("the model has one input")
    return tensors


def _outputs(target: Target) -> list[TensorMetadata]:
    names = target.plain.names
    return [meta for meta in target.metadata.outputs if meta.name in names]


def _several_outputs(target: Target) -> list[TensorMetadata]:
    metas = [meta for meta in _outputs(target) if meta.datatype not in RAW_ONLY]
    if len(metas) < 2:
        raise NotApplicableError("the model has one output that JSON can hold")
    return metas


def _same_raw(target: Target, datatype: str) -> None:
    _need(target)
    names = [tensor.name for tensor in target.tensors() if tensor.datatype == datatype]
    if not names:
        raise NotApplicableError(f"no input is {datatype}")
    target.same(target.body(raw=names))


def _out_of(target: Target, datatype: str) -> None:
    _need(target)
    metas = [meta for meta in _outputs(target) if meta.datatype == datatype]
    if not metas:
        raise NotApplicableError(f"no output is {datatype}")
    for meta in metas:
        _same_output(target, meta, {"binary_data": True}, raw=True)


def _same_output(
    target: Target, meta: TensorMetadata, parameters: dict[str, Any], *, raw: bool
) -> None:
    """Ask for one output and compare it with that of the plain request."""
    target.need_repeatable()
    asked = [{"name": meta.name, "parameters": parameters}]
    answer, exchange = target.answer(target.body().changed(outputs=asked))
    require(answer.raw == ({meta.name} if raw else set()), f"{sorted(answer.raw)} raw", exchange)
    usual = [output for output in target.plain.outputs if output.name == meta.name]
    differs = difference(Answer({}, usual), answer)
    require(not differs, f"not what the JSON says: {differs}", exchange)


def _ask(
    target: Target, asked: list[dict[str, Any]], parameters: dict[str, Any], raw: set[str]
) -> None:
    target.need_repeatable()
    body = target.body(parameters=parameters).changed(outputs=asked)
    answer, exchange = target.answer(body)
    why = f"{sorted(answer.raw)} came as bytes, asked for {sorted(raw)}"
    require(answer.raw == raw, why, exchange)
    usual = {output.name: output for output in target.plain.outputs}
    expected = Answer({}, [usual[name] for name in answer.names if name in usual])
    differs = difference(expected, answer)
    require(not differs, f"not what the JSON says: {differs}", exchange)


def _raw_answer(target: Target) -> tuple[Answer, Exchange]:
    """Return an answer whose outputs are bytes; raises SkippedError where they are not."""
    exchange = target.post(target.body(parameters=_ALL))
    try:
        answer = target.accepted(exchange)
        _all_raw(answer, exchange)
    except FailedError:
        raise SkippedError("outputs do not come as bytes: see binary.outputs-all") from None
    return answer, exchange


def _all_raw(answer: Answer, exchange: Exchange) -> None:
    """Require that every output came as bytes, with the length of the JSON before them."""
    missing = sorted(set(answer.names) - answer.raw)
    require(not missing, f"{missing} came as JSON", exchange)
    require(exchange.header(HEADER_LENGTH) is not None, f"no {HEADER_LENGTH}", exchange)


def _first_float_last(target: Target, chosen: Tensor) -> list[Tensor]:
    """Return the inputs with one of them at the end, so that its bytes end the body."""
    return [*(t for t in target.tensors() if t.name != chosen.name), chosen]
