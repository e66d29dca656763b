"""What clients in use do beyond the plain request: headers they leave out, codings, paths."""

from __future__ import annotations

import gzip
import zlib

from afterfit.core.wire.client import Exchange, Sent
from afterfit.core.wire.documents import Document, json_of, typed
from afterfit.testing.conformance.check import NotApplicableError, clause, require
from afterfit.testing.conformance.target import JSON_TYPE, Body, Target, difference

_DECLINED = (411, 415, 501)
_GZIP = ("Content-Encoding", "gzip")
# Rows enough that a server with a least size for compressing an answer compresses it.
_LONG = 20


@clause("client.no-content-type", "should", "tritonclient.http")
def no_content_type(target: Target) -> None:
    """A body without a content type is JSON: this client sends none."""
    target.same(_json_body(target), headers=())


@clause("client.octet-stream", "should", "tritonclient.http.aio")
def octet_stream(target: Target) -> None:
    """JSON sent as application/octet-stream is taken: this client does so."""
    target.same(_json_body(target), headers=(("Content-Type", "application/octet-stream"),))


@clause("client.binary-output", "should", "tritonclient.http; Parameters")
def binary_output(target: Target) -> None:
    """binary_data_output, which this client sends by itself, is obeyed or passed over."""
    target.same(target.body(parameters={"binary_data_output": True}))


@clause("client.charset", "should", "RFC 9110, 8.3")
def charset(target: Target) -> None:
    """application/json; charset=utf-8 is taken."""
    target.same(_json_body(target), headers=(("content-type", "application/json; charset=utf-8"),))


@clause("client.query", "should", "tritonclient.http")
def query(target: Target) -> None:
    """A query after the path changes nothing."""
    target.same(target.body(), path=target.path("/infer") + "?conform=1")


@clause("client.encoded-path", "should", "RFC 3986, 6.2.2.2")
def encoded_path(target: Target) -> None:
    """A letter of the model's name written as %xx is the same letter."""
    first = target.model.encode()[:1]
    path = target.path("/infer").replace(
        f"/models/{first.decode('latin-1')}", f"/models/%{first.hex().upper()}", 1
    )
    if "%" not in path or not first.isalnum():
        raise NotApplicableError("the model's name begins with no letter or digit")
    target.same(target.body(), path=path)


@clause("coding.gzip-request", "should", "RFC 9110, 8.4")
def gzip_request(target: Target) -> None:
    """A gzip body is taken (415 declines it)."""
    body = target.body()
    data = gzip.compress(body.head + body.tail, mtime=0)
    _coded(target, target.post(data, headers=(*body.headers, _GZIP)))


@clause("coding.deflate-request", "should", "tritonclient.http")
def deflate_request(target: Target) -> None:
    """A deflate body is taken (415 declines)."""
    body = target.body()
    data = zlib.compress(body.head + body.tail)
    headers = (*body.headers, ("Content-Encoding", "deflate"))
    _coded(target, target.post(data, headers=headers))


@clause("coding.gzip-response", "should", "RFC 9110, 12.5.3")
def gzip_response(target: Target) -> None:
    """To Accept-Encoding: gzip the answer is gzip or plain, and the same."""
    body = target.body(_LONG if target.material.batched else None)
    target.need_repeatable()
    if target.post(body).status != 200:
        body = target.body()
    usual, _ = target.answer(body)
    exchange = target.post(body, more=(("Accept-Encoding", "gzip"),))
    require(exchange.encoding in {"gzip", "identity"}, f"it is {exchange.encoding}", exchange)
    differs = difference(usual, target.accepted(exchange))
    require(not differs, f"another answer than without gzip: {differs}", exchange)


@clause("coding.identity", "should", "RFC 9110, 12.5.3")
def identity(target: Target) -> None:
    """To Accept-Encoding: identity the answer has no content coding."""
    exchange = target.post(target.body(), more=(("Accept-Encoding", "identity"),))
    require(exchange.encoding == "identity", f"the answer is {exchange.encoding}", exchange)


@clause("coding.broken-gzip", "should", "RFC 9110, 8.4")
def broken_gzip(target: Target) -> None:
    """A body that is not gzip as told is refused."""
    body = target.body()
    headers = (*body.headers, _GZIP)
    target.refused(body.head + body.tail, "a body that is not gzip", headers=headers)
    cut = gzip.compress(body.head + body.tail, mtime=0)[:-12]
    target.refused(cut, "a gzip body that ends early", headers=headers)


@clause("coding.unknown", "should", "RFC 9110, 8.4")
def unknown(target: Target) -> None:
    """A body in a coding that nobody knows is refused."""
    headers = (*JSON_TYPE, ("Content-Encoding", "conform"))
    target.refused(target.body().head, "an unknown content coding", headers=headers)


@clause("extension.model-repository", "extension", "Triton, Model Repository Extension")
def repository_index(target: Target) -> None:
    """The index lists the model with its state."""
    _need(target, "model_repository")
    exchange = target.client.request(
        Sent("POST", "/v2/repository/index", JSON_TYPE, b"{}"), api="extension"
    )
    models = _document(exchange, list)
    named = [each for each in models if isinstance(each, dict) and each.get("name") == target.model]
    require(named, f"{target.model} is not in the index", exchange)
    require(all(isinstance(each.get("state"), str) for each in named), "it has no state", exchange)


@clause("extension.model-configuration", "extension", "Triton, Model Configuration Extension")
def configuration(target: Target) -> None:
    """The configuration names the model."""
    _need(target, "model_configuration")
    exchange = target.get(target.path("/config"), api="extension")
    name = _document(exchange, dict).get("name")
    require(name == target.model, f"the name is {name!r}", exchange)


@clause("extension.statistics", "extension", "Triton, Statistics Extension")
def statistics(target: Target) -> None:
    """The statistics count what the model was asked."""
    _need(target, "statistics")
    target.need_repeatable()
    exchange = target.get(target.path("/stats"), api="extension")
    models = _document(exchange, dict).get("model_stats")
    listed = models if isinstance(models, list) else []
    named = [m for m in listed if isinstance(m, dict) and m.get("name") == target.model]
    require(named, f"no model_stats of {target.model}", exchange)
    counts = [m.get("inference_count") for m in named]
    fine = any(isinstance(count, int) and count > 0 for count in counts)
    require(fine, f"inference_count is {counts}", exchange)


def _json_body(target: Target) -> Body:
    """Return the plain request where all of it is JSON."""
    body = target.body()
    if body.raw:
        raise NotApplicableError("an input has no form in JSON")
    return body


def _coded(target: Target, exchange: Exchange) -> None:
    if exchange.status in _DECLINED:
        raise NotApplicableError(f"the server declines the coding with {exchange.status}")
    target.need_repeatable()
    differs = difference(target.plain, target.accepted(exchange))
    require(not differs, f"another answer than to the plain request: {differs}", exchange)


def _need(target: Target, extension: str) -> None:
    if extension not in target.extensions:
        raise NotApplicableError(f"the server does not tell the extension {extension}")


def _document(exchange: Exchange, shape: type[Document]) -> Document:
    require(exchange.status == 200, f"the status is {exchange.status}", exchange)
    return typed(json_of(exchange.body), shape)
