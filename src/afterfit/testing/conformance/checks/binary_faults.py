"""Wrong requests of the binary tensor extension: each is an error and never an answer."""

from __future__ import annotations

from afterfit.core.wire.documents import HEADER_LENGTH
from afterfit.testing.conformance.check import NotApplicableError, clause
from afterfit.testing.conformance.target import RAW_TYPE, Body, Target

_SECTION = "Triton, Binary Tensor Data Extension"


@clause("binary.header-length", "extension", _SECTION)
def header_length(target: Target) -> None:
    """A header length that is no number, or not that of the JSON, is an error."""
    body = _raw_body(target)
    head, whole = len(body.head), len(body.head) + len(body.tail)
    for length in ("no number", "-1", str(whole + 1), str(head - 5), str(head + 3), "9" * 30):
        headers = (*RAW_TYPE, (HEADER_LENGTH, length))
        target.refused(body.head + body.tail, f"the header length {length}", headers=headers)


@clause("binary.no-header-length", "extension", _SECTION)
def no_header_length(target: Target) -> None:
    """Raw bytes without a header length are an error."""
    body = _raw_body(target)
    target.refused(body.head + body.tail, "raw bytes without a header length", headers=RAW_TYPE)


@clause("binary.size", "extension", _SECTION)
def size(target: Target) -> None:
    """A binary_data_size that is not that of the shape, or no number, is an error."""
    body = _raw_body(target)
    right = body.document["inputs"][-1]["parameters"]["binary_data_size"]
    for wrong in (right - 1, right + 1, -1, "x", 1.5, 1 << 62):
        target.refused(_sized(body, wrong), f"binary_data_size {wrong!r} for {right}")


@clause("binary.short-tail", "extension", _SECTION)
def short_tail(target: Target) -> None:
    """Fewer raw bytes than were told are an error."""
    body = _raw_body(target)
    cut = Body(body.document, body.tail[:-1], raw=True)
    target.refused(cut, "a body with a byte too few")


@clause("binary.long-tail", "extension", _SECTION)
def long_tail(target: Target) -> None:
    """More raw bytes than were told are an error."""
    body = _raw_body(target)
    more = Body(body.document, body.tail + b"\0", raw=True)
    target.refused(more, "a body with a byte too many")


@clause("binary.bytes-length", "extension", _SECTION)
def bytes_length(target: Target) -> None:
    """A BYTES element whose length goes beyond its tensor is an error."""
    _need(target)
    texts = [tensor for tensor in target.tensors() if tensor.datatype == "BYTES"]
    if not texts:
        raise NotApplicableError("no input is BYTES")
    others = [tensor for tensor in target.tensors() if tensor.name != texts[0].name]
    body = target.body_with([*others, texts[0]], raw=[texts[0].name])
    start = len(body.tail) - len(texts[0].as_raw())
    for length in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"):
        tail = body.tail[:start] + length + body.tail[start + 4 :]
        target.refused(Body(body.document, tail, raw=True), "a BYTES element without an end")


def _need(target: Target) -> None:
    if not target.binary:
        raise NotApplicableError("the server does not tell the extension binary_tensor_data")


def _raw_body(target: Target) -> Body:
    """Return the plain request with every input as bytes."""
    _need(target)
    tensors = target.tensors()
    return target.body_with(tensors, raw=[tensor.name for tensor in tensors])


def _sized(body: Body, wrong: object) -> Body:
    """Return the request with another size of its last input; the bytes stay."""
    *others, last = body.document["inputs"]
    parameters = {**last["parameters"], "binary_data_size": wrong}
    document = {**body.document, "inputs": [*others, {**last, "parameters": parameters}]}
    return Body(document, body.tail, raw=True)
