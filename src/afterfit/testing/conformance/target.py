"""The server under test: requests to it, and what is learnt of it once and used by many checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from afterfit.core.wire.client import (
    Api,
    Client,
    Exchange,
    Headers,
    NoAnswerError,
    OutOfBudgetError,
    Sent,
)
from afterfit.core.wire.documents import (
    Answer,
    ModelMetadata,
    ServerMetadata,
    TensorMetadata,
    UnreadableError,
    answer_of,
    json_of,
    typed,
)
from afterfit.core.wire.material import Material, candidates, given
from afterfit.core.wire.tensors import RAW_ONLY, Tensor, alike
from afterfit.testing.conformance.check import (
    FailedError,
    NotApplicableError,
    SkippedError,
    require,
)

__all__ = ["JSON_TYPE", "Body", "Target", "body_of", "difference"]

Document = TypeVar("Document")
Known = TypeVar("Known")
BINARY = "binary_tensor_data"
JSON_TYPE = (("Content-Type", "application/json"),)
RAW_TYPE = (("Content-Type", "application/octet-stream"),)


class Body(msgspec.Struct, frozen=True):
    """The body of an inference request: a JSON document and the raw tensors behind it."""

    document: dict[str, Any]
    tail: bytes = b""
    raw: bool = False

    @property
    def head(self) -> bytes:
        """Return the document as JSON."""
        return msgspec.json.encode(self.document)

    @property
    def headers(self) -> Headers:
        """Return the headers that such a body needs."""
        if not self.raw:
            return JSON_TYPE
        return (*RAW_TYPE, ("Inference-Header-Content-Length", str(len(self.head))))

    def changed(self, **fields: Any) -> Body:
        """Return the body with other fields in its document; None takes one away."""
        document = {k: v for k, v in {**self.document, **fields}.items() if v is not None}
        return Body(document, self.tail, self.raw)


def body_of(
    tensors: Sequence[Tensor],
    *,
    raw: Iterable[str] = (),
    nested: bool = False,
    parameters: dict[str, Any] | None = None,
) -> Body:
    """Return the body of a request with these inputs, those of ``raw`` as bytes."""
    names, inputs, tail = set(raw), [], b""
    for tensor in tensors:
        if tensor.name in names:
            data = tensor.as_raw()
            inputs.append(tensor.described(binary_data_size=len(data)))
            tail += data
        else:
            inputs.append(tensor.as_json(nested=nested))
    document: dict[str, Any] = {"inputs": inputs}
    if parameters:
        document["parameters"] = parameters
    return Body(document, tail, raw=bool(names))


def difference(one: Answer, other: Answer) -> str:
    """Return how two answers differ in their outputs, or an empty text."""
    if one.names != other.names:
        return f"the outputs are {one.names} and {other.names}"
    for mine, theirs in zip(one.outputs, other.outputs, strict=True):
        if mine.shape != theirs.shape:
            return f"the shape of {mine.name} is {list(mine.shape)} and {list(theirs.shape)}"
        if not alike(mine.values, theirs.values):
            return f"the values of {mine.name} differ: {mine.values[:8]} and {theirs.values[:8]}"
    return ""


class Trial(NamedTuple):
    """A request with some rows, and what came of it."""

    material: Material
    rows: int
    exchange: Exchange


class Target:
    """A model on a server. What is learnt of it raises SkippedError where it is not to be had."""

    def __init__(
        self, client: Client, model: str, *, version: str = "", request: Any = None, seed: int = 0
    ) -> None:
        self.client = client
        self.model = model
        self.version = version
        self.request = request
        self.seed = seed
        self.gone = False
        self._known: dict[str, Any] = {}

    # Requests.

    def path(self, rest: str = "", *, model: str | None = None, version: str | None = None) -> str:
        """Return the path of the model, or of another, with the version that was asked for."""
        name = quote(self.model if model is None else model, safe="")
        chosen = self.version if version is None else version
        middle = f"/versions/{quote(chosen, safe='')}" if chosen else ""
        return f"/v2/models/{name}{middle}{rest}"

    def get(self, path: str, *, api: Api = "other", fault: bool = False) -> Exchange:
        """Return the answer to a GET."""
        return self.client.request(Sent("GET", path), api=api, fault=fault)

    def post(
        self,
        body: Body | bytes,
        *,
        path: str | None = None,
        headers: Headers | None = None,
        more: Headers = (),
        fault: bool = False,
    ) -> Exchange:
        """Return the answer to an inference request; ``more`` headers come after the usual ones."""
        sent = self.sent(body, path=path, headers=headers, more=more)
        return self.client.request(sent, api="infer", fault=fault)

    def sent(
        self,
        body: Body | bytes,
        *,
        path: str | None = None,
        headers: Headers | None = None,
        more: Headers = (),
    ) -> Sent:
        """Return an inference request."""
        content = body.head + body.tail if isinstance(body, Body) else body
        usual = body.headers if isinstance(body, Body) else JSON_TYPE
        chosen = usual if headers is None else headers
        return Sent("POST", path or self.path("/infer"), (*chosen, *more), content)

    def answer(self, body: Body | bytes, **options: Any) -> tuple[Answer, Exchange]:
        """Return the answer to a right request; raises FailedError where it is refused."""
        exchange = self.post(body, **options)
        return self.accepted(exchange), exchange

    def accepted(self, exchange: Exchange) -> Answer:
        """Return the answer in an exchange that must have succeeded."""
        require(exchange.status == 200, f"a right request got {exchange.status}", exchange)
        try:
            return answer_of(exchange)
        except UnreadableError as error:
            raise FailedError(str(error), exchange) from None

    def same(self, body: Body | bytes, expected: Answer | None = None, **options: Any) -> Answer:
        """Return the answer to a request, which must be that of the plain request."""
        self.need_repeatable()
        answer, exchange = self.answer(body, **options)
        differs = difference(expected or self.plain, answer)
        require(not differs, f"another answer than to the plain request: {differs}", exchange)
        return answer

    def refused(self, body: Body | bytes, what: str, **options: Any) -> Exchange:
        """Return the answer to a wrong request; raises FailedError where it succeeded."""
        exchange = self.post(body, fault=True, **options)
        require(exchange.status >= 400, f"{what} got {exchange.status}", exchange)
        return exchange

    # Material.

    @property
    def material(self) -> Material:
        """Return where the rows come from; raises SkippedError where no request was accepted."""
        return self._accepted().material

    @property
    def rows(self) -> int:
        """Return the rows of the plain request; raises SkippedError as ``material`` does."""
        return self._accepted().rows

    def tensors(self, rows: int | None = None, start: int = 0) -> list[Tensor]:
        """Return inputs, those of the plain request unless told otherwise."""
        return self.material.tensors(self.rows if rows is None else rows, start)

    def body(self, rows: int | None = None, start: int = 0, **options: Any) -> Body:
        """Return a right request, the plain one unless told otherwise."""
        return self.body_with(self.tensors(rows, start), **options)

    def body_with(self, tensors: Sequence[Tensor], **options: Any) -> Body:
        """Return a request with these inputs."""
        return self._body(self.material, tensors, **options)

    def asked(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return the field ``outputs`` of a request; what JSON has no form for comes as bytes."""
        only_raw = {meta.name for meta in self.outputs if meta.datatype in RAW_ONLY and self.binary}
        raw = {"parameters": {"binary_data": True}}
        return [{"name": name, **(raw if name in only_raw else {})} for name in names]

    def _body(self, material: Material, tensors: Sequence[Tensor], **options: Any) -> Body:
        """Return a request; what JSON has no form for goes as bytes where the server takes them."""
        raw, parameters = set(options.pop("raw", ())), dict(material.parameters)
        if self.binary:
            raw |= {tensor.name for tensor in tensors if tensor.datatype in RAW_ONLY}
            if any(meta.datatype in RAW_ONLY for meta in self.outputs):
                parameters = {"binary_data_output": True} | parameters
        parameters |= options.pop("parameters", {})
        return body_of(tensors, raw=raw, parameters=parameters, **options)

    # What is learnt.

    @property
    def server_exchange(self) -> Exchange:
        """Return the answer to a request for the server's metadata."""
        return self._once("server", lambda: self.get("/v2", api="server"))

    @property
    def model_exchange(self) -> Exchange:
        """Return the answer to a request for the model's metadata."""
        return self._once("model", lambda: self.get(self.path(), api="model"))

    @property
    def trial(self) -> Trial:
        """Return the first request that was accepted, or the last that was refused."""
        return self._once("trial", self._try)

    @property
    def server(self) -> ServerMetadata:
        """Return the server's metadata; raises SkippedError where it is no good."""
        return self._read(lambda: self.server_exchange, ServerMetadata, "server.metadata")

    @property
    def metadata(self) -> ModelMetadata:
        """Return the model's metadata; raises SkippedError where it is no good."""
        return self._read(lambda: self.model_exchange, ModelMetadata, "model.metadata")

    @property
    def extensions(self) -> tuple[str, ...]:
        """Return the extensions that the server tells, none where its metadata is no good."""
        with suppress(SkippedError):
            return tuple(self.server.extensions)
        return ()

    @property
    def binary(self) -> bool:
        """Return whether the server says that it takes raw tensors."""
        return BINARY in self.extensions

    @property
    def inputs(self) -> list[TensorMetadata]:
        """Return the metadata of the inputs, none where it is no good."""
        with suppress(SkippedError):
            return self.metadata.inputs
        return []

    @property
    def outputs(self) -> list[TensorMetadata]:
        """Return the metadata of the outputs, none where it is no good."""
        with suppress(SkippedError):
            return self.metadata.outputs
        return []

    @property
    def plain(self) -> Answer:
        """Return the answer to the plain request; raises SkippedError where there is none."""
        try:
            return self._once("plain", lambda: answer_of(self._accepted().exchange))
        except UnreadableError:
            raise SkippedError("the answers cannot be read: see infer.answer") from None

    def need_repeatable(self) -> None:
        """Raise SkippedError where the model answers one request differently each time."""
        expected = self.plain
        again = self._once("again", lambda: self.answer(self.body())[0])
        if difference(expected, again):
            raise SkippedError("the model does not answer a request the same way twice")

    def need_batch(self) -> None:
        """Raise NotApplicableError where the model has no dimension for rows."""
        if not self.material.batched:
            raise NotApplicableError("the first dimension of the inputs is fixed")

    def _accepted(self) -> Trial:
        try:
            trial = self.trial
        except NoAnswerError:
            raise SkippedError("no request was answered: see infer.accepted") from None
        if trial.exchange.status != 200:
            raise SkippedError("no request was accepted: see infer.accepted")
        return trial

    def _try(self) -> Trial:
        trial: Trial | None = None
        for material, rows in self._candidates():
            body = self._body(material, material.tensors(rows))
            trial = Trial(material, rows, self.post(body))
            if trial.exchange.status == 200:
                break
        if trial is None:
            raise SkippedError("the inputs are too large to make up: give a request with --input")
        return trial

    def _candidates(self) -> Iterable[tuple[Material, int]]:
        if self.request is None:
            return candidates(self.metadata.inputs, self.seed)
        material = given(self.request, self.inputs)
        return [(material, material.rows)]

    def _read(
        self, exchange: Callable[[], Exchange], shape: type[Document], check: str
    ) -> Document:
        try:
            return typed(json_of(exchange().body), shape)
        except (UnreadableError, NoAnswerError):
            raise SkippedError(f"there is no usable metadata: see {check}") from None
        except OutOfBudgetError as error:
            raise SkippedError(str(error)) from None

    def _once(self, name: str, make: Callable[[], Known]) -> Known:
        """Return what ``make`` gave, or raise what it raised, the first time that it was asked."""
        if name not in self._known:
            try:
                self._known[name] = make()
            except Exception as error:  # noqa: BLE001 - kept, and raised below
                self._known[name] = error
        known = self._known[name]
        if isinstance(known, Exception):
            raise known
        return known  # type: ignore[no-any-return]
