"""Health, and the metadata of the server and the model, with and without a version."""

from __future__ import annotations

from typing import Any

from afterfit.core.wire.client import Exchange
from afterfit.core.wire.documents import (
    ModelMetadata,
    ServerMetadata,
    UnreadableError,
    json_of,
    typed,
)
from afterfit.core.wire.tensors import DATATYPES
from afterfit.testing.conformance.check import (
    FailedError,
    NotApplicableError,
    SkippedError,
    clause,
    require,
)
from afterfit.testing.conformance.target import Target

_VERSIONS = 3


@clause("server.live", "must", "Server Live")
def live(target: Target) -> None:
    """A server that answers requests says 200."""
    _ok(target.get("/v2/health/live", api="health"))


@clause("server.live-body", "should", "Server Live Response")
def live_body(target: Target) -> None:
    """The body is {"live": true}."""
    _says(target.get("/v2/health/live", api="health"), "live")


@clause("server.ready", "must", "Server Ready")
def ready(target: Target) -> None:
    """When all models are ready the server says 200."""
    _ok(target.get("/v2/health/ready", api="health"))


@clause("server.ready-body", "should", "Server Ready Response")
def ready_body(target: Target) -> None:
    """The body says true: the text names the field "live", servers name it "ready"."""
    _says(target.get("/v2/health/ready", api="health"), "ready", "live")


@clause("server.metadata", "must", "Server Metadata Response")
def server_metadata(target: Target) -> None:
    """200, with the texts name and version and an array of texts, extensions."""
    exchange = _ok(target.server_exchange)
    _typed(exchange, ServerMetadata)


@clause("model.metadata", "must", "Model Metadata Response")
def model_metadata(target: Target) -> None:
    """200, with name, platform, inputs and outputs; each tensor has name, datatype and shape."""
    exchange = _ok(target.model_exchange)
    _typed(exchange, ModelMetadata)


@clause("model.name", "must", "Model Metadata Response")
def model_name(target: Target) -> None:
    """The name is that of the model asked for."""
    name = target.metadata.name
    require(name == target.model, f"the name is {name!r}", target.model_exchange)


@clause("model.datatypes", "must", "Tensor Data Types")
def datatypes(target: Target) -> None:
    """Every datatype is of the table (BF16, which Triton adds, is let pass)."""
    for tensor in (*target.metadata.inputs, *target.metadata.outputs):
        fine = tensor.datatype in DATATYPES
        require(fine, f"{tensor.name} has {tensor.datatype!r}", target.model_exchange)


@clause("model.shapes", "must", "Model Metadata Response")
def shapes(target: Target) -> None:
    """A size is a number, -1 where it varies."""
    for tensor in (*target.metadata.inputs, *target.metadata.outputs):
        fine = all(size >= -1 for size in tensor.shape)
        require(fine, f"{tensor.name} has the shape {tensor.shape}", target.model_exchange)


@clause("model.ready", "must", "Model Ready")
def model_ready(target: Target) -> None:
    """A model that answers is ready: 200."""
    _ok(target.get(target.path("/ready"), api="health"))


@clause("model.ready-body", "should", "Model Ready Response")
def model_ready_body(target: Target) -> None:
    """The body is {"name": the model's, "ready": true}."""
    exchange = target.get(target.path("/ready"), api="health")
    document = _says(exchange, "ready")
    name = document.get("name")
    require(name == target.model, f"the name is {name!r}", exchange)


@clause("version.metadata", "must", "Model Metadata Response, versions")
def version_metadata(target: Target) -> None:
    """Each version in the list has metadata at its own path."""
    for version in _versions(target):
        exchange = _ok(target.get(target.path(version=version), api="model"))
        name = _typed(exchange, ModelMetadata).name
        require(name == target.metadata.name, f"the name is {name!r}", exchange)


@clause("version.ready", "must", "Model Ready")
def version_ready(target: Target) -> None:
    """Each version in the list is asked by its own path."""
    for version in _versions(target):
        _ok(target.get(target.path("/ready", version=version), api="health"))


@clause("version.infer", "must", "Inference Response, model_version")
def version_infer(target: Target) -> None:
    """A version that is asked for answers, and says that it was used."""
    for version in _versions(target):
        path = target.path("/infer", version=version)
        answer, exchange = target.answer(target.body(), path=path)
        said = answer.document.get("model_version")
        require(said == version, f"model_version is {said!r}", exchange)


@clause("version.unknown", "must", "Inference Request; Model Metadata")
def version_unknown(target: Target) -> None:
    """A version that does not exist is an error: for infer and for metadata."""
    version = "no-such-version"
    exchange = target.get(target.path(version=version), api="model", fault=True)
    _refused(exchange, "the metadata of an unknown version")
    path = target.path("/infer", version=version)
    target.refused(target.body(), "an unknown version", path=path)


@clause("version.unknown-ready", "must", "Model Ready")
def version_unknown_ready(target: Target) -> None:
    """An unknown version is not ready."""
    path = target.path("/ready", version="no-such-version")
    _refused(target.get(path, api="health", fault=True), "an unknown version")


@clause("model.unknown", "must", "Model Metadata; Inference Request")
def unknown(target: Target) -> None:
    """An unknown model is an error."""
    path = target.path(model="no-such-model", version="")
    _refused(target.get(path, api="model", fault=True), "the metadata of an unknown model")
    path = target.path("/infer", model="no-such-model", version="")
    target.refused(target.body(), "an unknown model", path=path)


@clause("model.unknown-404", "should", "RFC 9110, 15.5.5")
def unknown_404(target: Target) -> None:
    """An unknown model is 404 Not Found."""
    path = target.path(model="no-such-model", version="")
    exchange = target.get(path, api="model", fault=True)
    if exchange.status < 400:
        raise SkippedError("an unknown model is no error: see model.unknown")
    require(exchange.status == 404, f"the status is {exchange.status}", exchange)


@clause("model.unknown-ready", "must", "Model Ready")
def unknown_ready(target: Target) -> None:
    """An unknown model is not ready."""
    path = target.path("/ready", model="no-such-model", version="")
    _refused(target.get(path, api="health", fault=True), "an unknown model")


def _ok(exchange: Exchange) -> Exchange:
    require(exchange.status == 200, f"the status is {exchange.status}", exchange)
    return exchange


def _refused(exchange: Exchange, what: str) -> None:
    require(exchange.status >= 400, f"{what} got {exchange.status}", exchange)


def _typed(exchange: Exchange, shape: type[Any]) -> Any:
    try:
        return typed(json_of(exchange.body), shape)
    except UnreadableError as error:
        raise FailedError(str(error), exchange) from None


def _says(exchange: Exchange, *fields: str) -> dict[str, Any]:
    """Return the document of a probe one of whose fields must be true."""
    if exchange.status != 200:
        raise SkippedError(f"the probe got {exchange.status}")
    require(exchange.body.strip(), "the body is empty", exchange)
    document = _typed(exchange, dict)
    said = [document[field] for field in fields if field in document]
    require(said == [True] * len(said) and said, f"no {' or '.join(fields)} is true", exchange)
    return dict(document)


def _versions(target: Target) -> list[str]:
    versions = target.metadata.versions
    chosen = [target.version] if target.version else versions[:_VERSIONS]
    if not chosen:
        raise NotApplicableError("the metadata lists no versions")
    return chosen
