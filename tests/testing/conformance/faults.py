"""Servers that are wrong in one way, each with the checks that must find it, and no others."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from tests.testing.conformance.reference import (
    EXTENSIONS,
    LENGTH,
    Fault,
    Manners,
    Proceed,
    Reply,
    Request,
    error,
    json_reply,
)


class Wrong(NamedTuple):
    """A fault, the checks that fail because of it, and the model that shows it."""

    checks: str
    make: Callable[[], Fault]
    model: str = "mixed"
    timeout: float = 10.0


def around(change: Callable[[Request, Proceed], Reply]) -> Callable[[], Fault]:
    """A fault in how requests are answered."""
    return lambda: Fault(around=change)


def replies(when: Callable[[Request], bool], reply: Callable[[], Reply]) -> Callable[[], Fault]:
    """A fault that gives one answer to some requests."""
    return around(lambda request, proceed: reply() if when(request) else proceed(request))


def says(when: Callable[[Request], bool], **fields: Any) -> Callable[[], Fault]:
    """A fault that changes fields of the JSON answers to some requests; None takes one away."""

    def change(request: Request, proceed: Proceed) -> Reply:
        reply = proceed(request)
        if not when(request) or reply.status != 200 or LENGTH in reply.headers:
            return reply
        document = {**reply.document(), **fields}
        return json_reply({key: value for key, value in document.items() if value is not None})

    return around(change)


def alters(change: Callable[[Request, Reply], Reply]) -> Callable[[], Fault]:
    """A fault that changes answers."""
    return around(lambda request, proceed: change(request, proceed(request)))


def edits(change: Callable[[dict[str, Any]], None]) -> Callable[[], Fault]:
    """A fault in the document of every inference response."""
    return lambda: Fault(edit=change)


def forgives(*codes: str) -> Callable[[], Fault]:
    """A fault that takes a wrong request for a right one."""
    return lambda: Fault(forgives=frozenset(codes))


def manners(**options: bool) -> Callable[[], Fault]:
    """A fault of the connection."""
    return lambda: Fault(manners=Manners(**options))


def at(path: str) -> Callable[[Request], bool]:
    """Whether a request has that path."""
    return lambda request: request.path == path and request.method in {"GET", "POST"}


def infers(when: Callable[[Request], bool]) -> Callable[[Request], bool]:
    """Whether a request asks for an inference, and more."""
    return lambda request: request.infers and when(request)


def refuses(when: Callable[[Request], bool]) -> Callable[[], Fault]:
    """A fault that refuses some right requests to infer."""
    return replies(infers(when), lambda: error(400, "not today"))


def inputs_of(request: Request) -> list[dict[str, Any]]:
    """The inputs of a request, none where it has no good ones."""
    inputs = request.document().get("inputs")
    fine = isinstance(inputs, list) and all(isinstance(each, dict) for each in inputs)
    return inputs if fine and isinstance(inputs, list) else []


def raw_of(request: Request) -> list[str]:
    """The names of the raw inputs of a request."""
    return [i.get("name", "") for i in inputs_of(request) if "data" not in i and "parameters" in i]


def names_of(request: Request) -> list[str]:
    """The names of the inputs of a request."""
    return [str(each.get("name")) for each in inputs_of(request)]


def outputs_of(request: Request) -> list[dict[str, Any]]:
    """The outputs that a request asks for."""
    return request.document().get("outputs") or []


def all_raw(request: Request) -> bool:
    """Whether a request asks for every output as bytes."""
    parameters = request.document().get("parameters")
    return isinstance(parameters, dict) and bool(parameters.get("binary_data_output"))


def coded(request: Request) -> str:
    """The content coding of a request."""
    return request.headers.get("content-encoding", "")


def asks(
    when: Callable[[Request], bool], change: Callable[[dict[str, Any]], None]
) -> Callable[[], Fault]:
    """A fault that takes a request for another: its document is changed, its raw bytes are not."""

    def reads(request: Request) -> Request:
        document = request.document()
        if not document or coded(request) or not when(request):
            return request
        change(document)
        written = json.dumps(document).encode()
        if LENGTH not in request.headers:
            return replace(request, body=written)
        tail = request.body[int(request.headers[LENGTH]) :]
        headers = {**request.headers, LENGTH: str(len(written))}
        return replace(request, body=written + tail, headers=headers)

    return lambda: Fault(reads=reads)


# What the faults do that needs more than a line.


def metadata_of(tensor: int, **fields: Any) -> Callable[[], Fault]:
    """A fault in the metadata of an output."""

    def change(request: Request, reply: Reply) -> Reply:
        if request.path != "/v2/models/mixed":
            return reply
        document = reply.document()
        document["outputs"][tensor].update(fields)
        return json_reply(document)

    return alters(change)


def another_datatype(document: dict[str, Any]) -> None:
    """Say another datatype where the data is JSON."""
    for output in document["outputs"]:
        if output["name"] == "score" and "data" in output:
            output["datatype"] = "FP64"


def one_dimension_more(document: dict[str, Any]) -> None:
    """Say a shape with a dimension that the metadata does not have."""
    for output in document["outputs"]:
        if output["name"] == "score":
            output["shape"].append(1)


def too_wide(document: dict[str, Any]) -> None:
    """Say a shape that is wider than the data."""
    for output in document["outputs"]:
        if output["name"] == "score":
            output["shape"][1] += 1


def numbers_for_booleans(document: dict[str, Any]) -> None:
    """Give BOOL as 0 and 1."""
    for output in document["outputs"]:
        if output["datatype"] == "BOOL" and "data" in output:
            output["data"] = [int(value) for value in output["data"]]


def ascii_id(document: dict[str, Any]) -> None:
    """Lose what is not ASCII in the id."""
    if "id" in document:
        document["id"] = document["id"].encode("ascii", "ignore").decode()


def data_as_well(document: dict[str, Any]) -> None:
    """Give data beside the raw bytes."""
    for output in document["outputs"]:
        output.setdefault("data", [])


def more_than_asked(request: Request, reply: Reply) -> Reply:
    """Give an output beside the one that was asked for, where it is JSON."""
    if reply.status == 200 and len(outputs_of(request)) == 1 and LENGTH not in reply.headers:
        document = reply.document()
        if document["outputs"]:
            more = {"name": "more", "datatype": "FP32", "shape": [1], "data": [0]}
            document["outputs"].append(more)
            return json_reply(document)
    return reply


def texts_break(request: Request, proceed: Proceed) -> Reply:
    """Break at an empty text."""
    empty = any("" in i.get("data", ()) for i in inputs_of(request) if i.get("datatype") == "BYTES")
    return error(500, "broken") if request.infers and empty else proceed(request)


def false_gzip(request: Request, reply: Reply) -> Reply:
    """Say gzip of what is none."""
    if "gzip" in request.headers.get("accept-encoding", "") and LENGTH not in reply.headers:
        reply.headers["content-encoding"] = "gzip"
    return reply


def gzip_unasked(request: Request, reply: Reply) -> Reply:
    """Compress what must not be."""
    if request.headers.get("accept-encoding") == "identity":
        headers = {**reply.headers, "content-encoding": "gzip"}
        return Reply(reply.status, gzip.compress(reply.body), headers)
    return reply


def wrong_length_of_gzip(request: Request, reply: Reply) -> Reply:
    """Count the compressed JSON."""
    if "gzip" in request.headers.get("accept-encoding", "") and LENGTH in reply.headers:
        reply.headers[LENGTH] = str(int(reply.headers[LENGTH]) // 2)
    return reply


def takes_raw_without_length(request: Request, reply: Reply) -> Reply:
    """Take raw bytes with no length of the JSON before them."""
    octets = request.headers.get("content-type") == "application/octet-stream"
    if request.infers and octets and LENGTH not in request.headers and reply.status == 400:
        return json_reply({"model_name": "mixed", "outputs": []})
    return reply


def query_is_path(request: Request, proceed: Proceed) -> Reply:
    """Take the query for a part of the path."""
    return error(404, "no such path") if "?" in request.target else proceed(request)


def undecoded(request: Request, proceed: Proceed) -> Reply:
    """Leave %xx in the path."""
    return error(404, "no such path") if "%" in request.target else proceed(request)


def breaks_at_last() -> Fault:
    """Answer otherwise after many requests at once."""
    seen: list[str] = []
    lock = threading.Lock()

    def change(request: Request, proceed: Proceed) -> Reply:
        id_ = str(request.document().get("id", "")) if request.infers else ""
        with lock:
            seen.extend([id_] if id_.startswith("row-") else [])
        if request.infers and len(seen) >= 48 and not id_:
            return error(503, "tired")
        return proceed(request)

    return Fault(around=change)


def raw_in_metadata_order(request: Request) -> Request:
    """Read raw inputs in the order of the metadata, whatever that of the JSON."""
    if len(raw_of(request)) == 4 and names_of(request) == ["count", "word", "flag", "x"]:
        head = int(request.headers[LENGTH])
        return replace(request, body=request.body[:head] + request.body[head:][::-1])
    return request


def every_output_raw(document: dict[str, Any]) -> None:
    """Ask for bytes."""
    document["parameters"] = {"binary_data_output": True}


def no_parameters(document: dict[str, Any]) -> None:
    """Pass over what the request says of all its outputs."""
    document.pop("parameters", None)


def no_output_parameters(document: dict[str, Any]) -> None:
    """Pass over what the request says of each output."""
    for output in document["outputs"]:
        output.pop("parameters", None)


def all_outputs_raw(document: dict[str, Any]) -> None:
    """Give every output as bytes where one was asked for so."""
    for output in document["outputs"]:
        output["parameters"] = {"binary_data": True}


def single(request: Request, *datatypes_of: str) -> bool:
    """Whether one output was asked for, of those."""
    names = [output.get("name") for output in outputs_of(request)]
    return len(names) == 1 and names[0] in datatypes_of


def no_binary(request: Request, proceed: Proceed) -> Reply:
    """Have no binary extension, and refuse who asks for it."""
    if request.path == "/v2" and request.method == "GET":
        document = proceed(request).document()
        return json_reply({**document, "extensions": EXTENSIONS[1:]})
    if request.infers and all_raw(request):
        return error(400, "unknown parameter")
    return proceed(request)


def plain_text(request: Request, reply: Reply) -> Reply:
    """Call JSON text."""
    if request.infers and LENGTH not in reply.headers:
        reply.headers["content-type"] = "text/plain"
    return reply


def form(when: Callable[[Request], bool], body: bytes) -> Callable[[], Fault]:
    """A fault in the form of refusals."""

    def change(request: Request, reply: Reply) -> Reply:
        if reply.status >= 400 and when(request):
            return replace(reply, body=body)
        return reply

    return alters(change)


def is_metadata(request: Request) -> bool:
    """Whether a request asks for the metadata of a model."""
    last = request.path.rpartition("/")[2]
    return request.path.startswith("/v2/models/") and last not in {"infer", "ready", "config"}


MODEL = "/v2/models/mixed"
UNKNOWN = "/v2/models/no-such-model"
VERSIONED = f"{MODEL}/versions/2"
WRONG_VERSION = f"{MODEL}/versions/no-such-version"
GOOD = json_reply
DETAIL = b'{"detail": "no"}'

FAULTS: tuple[Wrong, ...] = (
    # metadata
    Wrong("server.live", replies(at("/v2/health/live"), lambda: error(500, "no"))),
    Wrong("server.live-body", replies(at("/v2/health/live"), lambda: Reply(200))),
    Wrong("server.ready", replies(at("/v2/health/ready"), lambda: error(503, "no"))),
    Wrong("server.ready-body", says(at("/v2/health/ready"), ready=False)),
    Wrong("server.metadata", says(at("/v2"), version=None)),
    Wrong("model.metadata", says(at(MODEL), platform=None)),
    Wrong("model.name", says(lambda r: r.path in {MODEL, VERSIONED}, name="other")),
    Wrong("model.datatypes", metadata_of(0, datatype="FLOAT")),
    Wrong("model.shapes", metadata_of(0, shape=[-2, -1])),
    Wrong("model.ready", replies(at(f"{MODEL}/ready"), lambda: error(503, "no"))),
    Wrong("model.ready-body", says(at(f"{MODEL}/ready"), name="other")),
    Wrong("version.metadata", replies(at(VERSIONED), lambda: error(404, "no"))),
    Wrong("version.ready", replies(at(f"{VERSIONED}/ready"), lambda: error(404, "no"))),
    Wrong("version.infer", says(at(f"{VERSIONED}/infer"), model_version="1")),
    Wrong("version.unknown", replies(at(WRONG_VERSION), lambda: GOOD({}))),
    Wrong("version.unknown", replies(at(f"{WRONG_VERSION}/infer"), lambda: GOOD({}))),
    Wrong("version.unknown-ready", replies(at(f"{WRONG_VERSION}/ready"), lambda: GOOD({}))),
    Wrong("model.unknown", replies(at(UNKNOWN), lambda: GOOD({}))),
    Wrong("model.unknown", replies(at(f"{UNKNOWN}/infer"), lambda: GOOD({}))),
    Wrong("model.unknown-404", replies(at(UNKNOWN), lambda: error(400, "no"))),
    Wrong("model.unknown-ready", replies(at(f"{UNKNOWN}/ready"), lambda: GOOD({}))),
    # answers
    Wrong("infer.accepted", refuses(lambda _: True)),
    Wrong("infer.answer", edits(lambda document: document.update(parameters=[]))),
    Wrong("infer.model-name", edits(lambda document: document.update(model_name="other"))),
    Wrong("infer.model-version", says(at(f"{MODEL}/infer"), model_version="9")),
    Wrong("infer.all-outputs", lambda: Fault(forgets_output=True)),
    Wrong("infer.datatypes", edits(another_datatype)),
    Wrong("infer.shapes", edits(one_dimension_more)),
    Wrong("infer.batch", refuses(lambda r: any(i.get("shape", [0])[0] > 3 for i in inputs_of(r)))),
    Wrong("infer.data-fits", edits(too_wide)),
    Wrong("infer.values", edits(numbers_for_booleans)),
    Wrong("infer.rows-alone", lambda: Fault(unsteady_rows=True)),
    # requests
    Wrong("infer.nested", refuses(lambda r: b"[[" in r.body)),
    Wrong("infer.id", edits(ascii_id)),
    Wrong("infer.no-id", edits(lambda document: document.setdefault("id", "made up"))),
    Wrong("infer.requested", alters(more_than_asked)),
    Wrong("infer.requested-order", lambda: Fault(one_order=True)),
    Wrong("infer.input-order", lambda: Fault(positional=True)),
    Wrong("infer.parameters", refuses(lambda r: b"conform_text" in r.body)),
    Wrong("infer.largest-numbers", lambda: Fault(infinite="infinity")),
    Wrong("infer.texts", around(texts_break)),
    Wrong(
        "infer.no-rows",
        replies(
            infers(lambda r: any(i.get("shape", [1])[:1] == [0] for i in inputs_of(r))),
            lambda: error(500, "no"),
        ),
    ),
    # faults
    Wrong("fault.malformed-json", forgives("malformed")),
    Wrong("fault.empty-body", forgives("empty")),
    Wrong("fault.no-object", forgives("no object")),
    Wrong("fault.no-inputs", forgives("inputs")),
    Wrong("fault.missing-field", forgives("no shape")),
    Wrong("fault.missing-field", forgives("no data")),
    Wrong("fault.missing-input", forgives("missing")),
    Wrong("fault.missing-input", forgives("missing"), "plain"),
    Wrong("fault.extra-input", forgives("extra")),
    Wrong("fault.input-twice", forgives("twice")),
    Wrong("fault.unknown-output", forgives("output")),
    Wrong("fault.unknown-datatype", forgives("datatype")),
    Wrong("fault.other-datatype", forgives("other datatype")),
    Wrong("fault.text-for-number", forgives("kind")),
    Wrong("fault.out-of-range", forgives("range")),
    Wrong("fault.too-few-values", forgives("few")),
    Wrong("fault.too-many-values", forgives("many")),
    Wrong("fault.wrong-shape", forgives("shape")),
    Wrong("fault.rows-differ", forgives("rows")),
    Wrong("fault.ragged", forgives("ragged")),
    Wrong("fault.negative-size", forgives("negative")),
    Wrong("fault.huge-size", forgives("huge")),
    Wrong("fault.deep-json", forgives("deep")),
    Wrong("fault.nan-token", forgives("nan")),
    Wrong("fault.bad-utf8", forgives("utf8")),
    Wrong("fault.unknown-path", replies(at("/v2/no-such-path"), lambda: GOOD({}))),
    # clients
    Wrong("client.no-content-type", refuses(lambda r: "content-type" not in r.headers)),
    Wrong(
        "client.octet-stream",
        refuses(lambda r: "octet" in r.headers.get("content-type", "") and LENGTH not in r.headers),
    ),
    Wrong("client.binary-output", around(no_binary)),
    Wrong("client.charset", refuses(lambda r: "charset" in r.headers.get("content-type", ""))),
    Wrong("client.query", around(query_is_path)),
    Wrong("client.encoded-path", around(undecoded)),
    Wrong("coding.gzip-request", refuses(lambda r: coded(r) == "gzip")),
    Wrong("coding.deflate-request", refuses(lambda r: coded(r) == "deflate")),
    Wrong("coding.gzip-response", alters(false_gzip)),
    Wrong("coding.identity", alters(gzip_unasked)),
    Wrong("coding.broken-gzip", forgives("gzip")),
    Wrong("coding.unknown", forgives("coding")),
    Wrong("extension.model-repository", replies(at("/v2/repository/index"), lambda: GOOD([]))),
    Wrong("extension.model-configuration", says(at(f"{MODEL}/config"), name="other")),
    Wrong("extension.statistics", says(at(f"{MODEL}/stats"), model_stats=[])),
    # binary
    Wrong(
        "binary.inputs",
        refuses(lambda r: raw_of(r) == ["x", "flag", "word", "count"] and not coded(r)),
    ),
    Wrong("binary.inputs-order", lambda: Fault(reads=raw_in_metadata_order)),
    Wrong("binary.inputs-mixed", refuses(lambda r: raw_of(r) == ["flag", "count"])),
    Wrong("binary.bytes-in", refuses(lambda r: raw_of(r) == ["word"] and names_of(r)[0] == "x")),
    Wrong("binary.bool-in", refuses(lambda r: raw_of(r) == ["flag"])),
    Wrong("binary.json-default", asks(lambda r: raw_of(r) == ["x"], every_output_raw)),
    Wrong("binary.outputs-all", asks(lambda r: all_raw(r) and not outputs_of(r), no_parameters)),
    Wrong("binary.output-each", asks(lambda r: single(r, "sum"), no_output_parameters)),
    Wrong("binary.bytes-out", asks(lambda r: single(r, "name"), no_output_parameters)),
    Wrong("binary.bool-out", asks(lambda r: single(r, "even"), no_output_parameters)),
    Wrong(
        "binary.outputs-mixed",
        asks(lambda r: len(outputs_of(r)) > 1 and b'"binary_data":true' in r.body, all_outputs_raw),
    ),
    Wrong(
        "binary.output-override",
        asks(lambda r: len(outputs_of(r)) > 1 and all_raw(r), no_output_parameters),
    ),
    Wrong("binary.no-data", edits(data_as_well)),
    Wrong(
        "binary.content-type",
        alters(
            lambda _, reply: (
                replace(reply, headers={**reply.headers, "content-type": "application/json"})
                if LENGTH in reply.headers
                else reply
            )
        ),
    ),
    Wrong("binary.gzip-request", refuses(lambda r: coded(r) == "gzip" and LENGTH in r.headers)),
    Wrong("binary.gzip-response", alters(wrong_length_of_gzip)),
    Wrong("binary.raw-body", refuses(lambda r: r.headers.get(LENGTH) == "0"), "plain"),
    Wrong("binary.nan", lambda: Fault(infinite="nan")),
    Wrong("binary.header-length", forgives("header length")),
    Wrong("binary.no-header-length", alters(takes_raw_without_length)),
    Wrong("binary.size", forgives("size")),
    Wrong("binary.short-tail", forgives("short tail")),
    Wrong("binary.long-tail", forgives("long tail")),
    Wrong("binary.bytes-length", forgives("bytes")),
    # connections
    Wrong("http.head", replies(lambda r: r.method == "HEAD", lambda: error(405, "no"))),
    Wrong("http.head-no-body", manners(head_has_body=True)),
    Wrong(
        "http.method",
        replies(lambda r: r.method == "GET" and r.path.endswith("/infer"), lambda: error(404, "")),
    ),
    Wrong(
        "http.allow",
        alters(lambda _, reply: error(405, "no such method") if reply.status == 405 else reply),
    ),
    Wrong("http.keep-alive", manners(keeps=False)),
    Wrong("http.close", manners(hears_close=False), timeout=1.0),
    Wrong("http.pipelining", manners(in_order=False)),
    Wrong("http.chunked", manners(reads_chunks=False)),
    Wrong("http.pieces", manners(waits_for_head=False)),
    Wrong("http.expect", manners(continues=False), timeout=1.0),
    Wrong("http.concurrent", lambda: Fault(mixes=True)),
    # afterwards
    Wrong("error.infer", form(lambda r: r.path.endswith("/infer") and r.method == "POST", DETAIL)),
    Wrong("error.model", form(is_metadata, b"no")),
    Wrong("error.elsewhere", form(at("/v2/no-such-path"), b'{"error": 404}')),
    Wrong("error.client-fault", lambda: Fault(blames="shape")),
    Wrong("json.content-type", alters(plain_text)),
    Wrong("server.still-well", breaks_at_last),
)
