"""A small server of the protocol with every extension, right unless told where to be wrong.

One thread a connection, HTTP by hand: so that a test can make exactly one thing wrong, in the
answers (``around``), the document of an answer (``edit``), the refusals (``forgives``, ``blames``)
or the connection (``Manners``).
"""

from __future__ import annotations

import gzip
import json
import math
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import unquote

import numpy as np

LENGTH = "inference-header-content-length"
VERSION = "2"
TYPES = {
    "BOOL": "?",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
}
EXTENSIONS = ["binary_tensor_data", "model_repository", "model_configuration", "statistics"]


def tensor(name: str, datatype: str, *shape: int) -> dict[str, Any]:
    """Metadata of a tensor."""
    return {"name": name, "datatype": datatype, "shape": list(shape)}


MODELS: dict[str, dict[str, Any]] = {
    "mixed": {
        "inputs": [
            tensor("x", "FP32", -1, 2),
            tensor("flag", "BOOL", -1, 1),
            tensor("word", "BYTES", -1),
            tensor("count", "INT32", -1),
        ],
        "outputs": [
            tensor("score", "FP32", -1, -1),
            tensor("even", "BOOL", -1),
            tensor("name", "BYTES", -1),
            tensor("sum", "INT64", -1),
        ],
    },
    "plain": {"inputs": [tensor("x", "FP64", -1, 3)], "outputs": [tensor("y", "FP64", -1)]},
    # Has no form in JSON: goes and comes as bytes, as on Triton.
    "half": {"inputs": [tensor("x", "FP16", -1, 2)], "outputs": [tensor("y", "FP16", -1)]},
    "image": {
        "inputs": [tensor("x", "FP32", -1, 3, 32, 32)],
        "outputs": [tensor("y", "FP32", -1)],
    },
    "fixed": {"inputs": [tensor("x", "FP32", 4)], "outputs": [tensor("y", "FP32", 1)]},
}


@dataclass
class Request:
    """A request whose transfer coding is undone."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without its query."""
        return self.target.partition("?")[0]

    @property
    def infers(self) -> bool:
        """Whether it asks for an inference."""
        return self.method == "POST" and self.path.endswith("/infer")

    def document(self) -> dict[str, Any]:
        """The JSON of a request to infer, or an empty one where it has none."""
        with suppress(ValueError, RecursionError):
            head = self.body[: int(self.headers[LENGTH])] if LENGTH in self.headers else self.body
            read = json.loads(head)
            return read if isinstance(read, dict) else {}
        return {}


@dataclass
class Reply:
    """An answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def document(self) -> Any:
        """The JSON of the answer."""
        return json.loads(self.body)


@dataclass
class Manners:
    """How a connection behaves."""

    head_has_body: bool = False
    keeps: bool = True
    hears_close: bool = True
    in_order: bool = True
    reads_chunks: bool = True
    waits_for_head: bool = True
    continues: bool = True


class WrongError(Exception):
    """A request that is wrong, under a code by which a fault can forgive it."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


Proceed = Callable[[Request], Reply]


def json_reply(document: Any, status: int = 200) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.dumps(document).encode(), {"content-type": "application/json"})


def error(status: int, text: str) -> Reply:
    """A refusal in the protocol's form."""
    return json_reply({"error": text}, status)


@dataclass
class Fault:
    """What is wrong with a server; nothing unless told."""

    around: Callable[[Request, Proceed], Reply] = lambda request, proceed: proceed(request)
    edit: Callable[[dict[str, Any]], None] = lambda _: None
    reads: Callable[[Request], Request] = lambda request: request
    forgives: frozenset[str] = frozenset()
    blames: str = ""
    manners: Manners = field(default_factory=Manners)
    mixes: bool = False
    infinite: str = ""
    positional: bool = False
    unsteady_rows: bool = False
    one_order: bool = False
    forgets_output: bool = False


class Reference:
    """The server, on a free port; a context that ends it."""

    def __init__(self, fault: Fault | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.fault = fault or Fault()
        self.tls = tls
        self.seen: list[Request] = []
        self.requests = 0
        self.inferences = 0
        self.defects: list[Exception] = []
        self.last: tuple[str, list[np.ndarray]] | None = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections: set[socket.socket] = set()
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and every connection."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    # Connections.

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, suppress(OSError):
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            stream = _Stream(connection, self.fault.manners)
            try:
                while self._serve_one(connection, stream):
                    pass
            except Exception as defect:
                self.defects.append(defect)
                raise
        self.connections.discard(connection)

    def _serve_one(self, connection: socket.socket, stream: _Stream) -> bool:
        """Whether the connection goes on after one more answer (or two, where they swap)."""
        manners = self.fault.manners
        requests = [stream.request()]
        if not manners.in_order and stream.held:
            requests.append(stream.request())
        replies = [(r, self.handle(r) if r else error(400, "no HTTP")) for r in requests]
        keeps = manners.keeps
        for request, reply in reversed(replies):
            if request is None and not stream.broken:
                return False
            asks = request is not None and request.headers.get("connection") == "close"
            keeps = keeps and request is not None and not (asks and manners.hears_close)
            closes = asks and manners.hears_close
            connection.sendall(_written(request, reply, manners, closes=closes))
        return keeps

    # Answers.

    def handle(self, request: Request) -> Reply:
        """The answer to a request, with the fault around it."""
        self.requests += 1
        self.seen.append(request)
        reply = self.fault.around(request, self.proceed)
        accepts = request.headers.get("accept-encoding", "")
        if "gzip" in accepts and reply.status == 200 and "content-encoding" not in reply.headers:
            reply.body = gzip.compress(reply.body)
            reply.headers["content-encoding"] = "gzip"
        return reply

    def proceed(self, request: Request) -> Reply:
        """The answer without what is around it."""
        fixed = {
            "/v2/health/live": {"live": True},
            "/v2/health/ready": {"ready": True},
            "/v2": {"name": "reference", "version": "1.0", "extensions": EXTENSIONS},
        }
        if request.path in fixed:
            return self._allowed(request, "GET", lambda: json_reply(fixed[request.path]))
        if request.path == "/v2/repository/index":
            index = [
                {"name": name, "version": VERSION, "state": "READY", "reason": ""}
                for name in MODELS
            ]
            return self._allowed(request, "POST", lambda: json_reply(index))
        parts = [unquote(part) for part in request.path.split("/")[1:]]
        if parts[:2] != ["v2", "models"] or len(parts) < 3:
            return error(404, "no such path")
        return self._model(request, parts[2], parts[3:])

    def _model(self, request: Request, name: str, rest: list[str]) -> Reply:
        versioned = rest[:1] == ["versions"] and len(rest) > 1
        version, rest = (rest[1], rest[2:]) if versioned else (VERSION, rest)
        if name not in MODELS:
            return error(404, "no such model")
        if version != VERSION:
            return error(404, "no such version")
        if rest == ["infer"]:
            return self._allowed(request, "POST", lambda: self._infer(request, name))
        document = {"name": name, "versions": [VERSION], "platform": "none", **MODELS[name]}
        routes: dict[str, Any] = {
            "": document,
            "ready": {"name": name, "ready": True},
            "config": {"name": name},
            "stats": {"model_stats": [{"name": name, "inference_count": self.inferences}]},
        }
        if "/".join(rest) not in routes:
            return error(404, "no such path")
        return self._allowed(request, "GET", lambda: json_reply(routes["/".join(rest)]))

    def _allowed(self, request: Request, method: str, make: Callable[[], Reply]) -> Reply:
        if request.method not in {method, "HEAD" if method == "GET" else method}:
            reply = error(405, "no such method")
            return replace(reply, headers={**reply.headers, "allow": method})
        return make()

    def _infer(self, request: Request, name: str) -> Reply:
        try:
            read = Reading(self.fault.reads(request), name, self.fault)
            return self._answer(read, name)
        except WrongError as wrong:
            if wrong.code in self.fault.forgives:
                return json_reply({"model_name": name, "outputs": []})
            status = 500 if wrong.code == self.fault.blames else wrong.status
            return error(status, f"wrong: {wrong.code}")

    def _answer(self, read: Reading, name: str) -> Reply:
        self.inferences += 1
        values = self._computed(read, name)
        asked = read.asked(MODELS[name]["outputs"])
        outputs, tail = [], b""
        for meta, raw in asked:
            array = values[meta["name"]]
            shape = [len(array), *array.shape[1:]]
            output = {"name": meta["name"], "datatype": meta["datatype"], "shape": shape}
            if meta["datatype"] == "FP16" and not raw:
                raise WrongError("half in JSON")
            if raw:
                data = raw_of(array, meta["datatype"])
                output["parameters"] = {"binary_data_size": len(data)}
                tail += data
            else:
                output["data"] = self._plain(array)
            outputs.append(output)
        document = {"model_name": name, "model_version": VERSION, "outputs": outputs}
        if "id" in read.document:
            document["id"] = read.document["id"]
        self.fault.edit(document)
        head = json.dumps(document).encode()
        if not any(raw for _, raw in asked):
            return Reply(200, head, {"content-type": "application/json"})
        headers = {"content-type": "application/octet-stream", LENGTH: str(len(head))}
        return Reply(200, head + tail, headers)

    def _plain(self, array: np.ndarray) -> list[Any]:
        values = array.reshape(-1).tolist()
        for value in values:
            if isinstance(value, float) and not math.isfinite(value):
                kind = "nan" if math.isnan(value) else "infinity"
                if kind != self.fault.infinite:
                    raise WrongError("not finite")
        return values

    def _computed(self, read: Reading, name: str) -> dict[str, np.ndarray]:
        arrays = read.arrays
        if self.fault.mixes:
            # As a server that keeps its request in one place for all threads.
            self.last = (name, list(arrays.values()))
            threading.Event().wait(0.002)
            arrays = dict(zip(arrays, self.last[1], strict=True))
        with np.errstate(all="ignore"):
            return computed(name, arrays, steady=not self.fault.unsteady_rows)


def computed(name: str, arrays: dict[str, np.ndarray], *, steady: bool) -> dict[str, np.ndarray]:
    """The outputs of a model for its inputs."""
    x = arrays["x"]
    if name == "fixed":
        return {"y": x.sum(keepdims=True)}
    drift = 0 if steady or len(x) < 2 else x.mean()
    if name in {"half", "image"}:
        return {"y": x.reshape(len(x), math.prod(x.shape[1:])).sum(axis=1)}
    if name == "plain":
        return {"y": x @ np.array([1.0, 2.0, 3.0]) + drift}
    count = arrays["count"]
    return {
        "score": (x * np.float32(2) + drift).astype(np.float32),
        "even": ~arrays["flag"].reshape(-1),
        "name": np.array([f"{word}!" for word in arrays["word"]], dtype=object),
        "sum": count.astype(np.int64) * 3,
    }


class Reading:
    """A request to infer, read strictly: every way to be wrong has its code."""

    def __init__(self, request: Request, name: str, fault: Fault) -> None:
        self.fault = fault
        self.metas = {meta["name"]: meta for meta in MODELS[name]["inputs"]}
        body = decoded(request)
        self.only_raw = request.headers.get(LENGTH) == "0"
        if self.only_raw:
            (meta,) = self.metas.values()
            self.document: dict[str, Any] = {"parameters": {"binary_data_output": True}}
            array = np.frombuffer(body, TYPES[meta["datatype"]])
            shape = [1 if size == -1 else size for size in meta["shape"]]
            self.arrays = {meta["name"]: array.reshape(shape)}
            return
        head, self.tail = split(body, request.headers.get(LENGTH))
        self.document = parsed(head, request)
        inputs = self.document.get("inputs")
        if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
            raise WrongError("inputs")
        names = [each.get("name") for each in inputs]
        known = set(names) == set(self.metas)
        if fault.positional and known and LENGTH not in request.headers:
            names = [*self.metas, *names[len(self.metas) :]]
        self.check_names(names)
        arrays = dict(
            zip(names, [self.array(*pair) for pair in zip(inputs, names, strict=True)], strict=True)
        )
        if self.tail:
            raise WrongError("long tail")
        self.arrays = {key: arrays[key] for key in self.metas}
        if self.metas["x"]["shape"][0] == -1 and len({len(a) for a in arrays.values()}) > 1:
            raise WrongError("rows")

    def check_names(self, names: list[Any]) -> None:
        """Refuse missing, unknown and repeated inputs."""
        if None in names:
            raise WrongError("no name")
        if set(self.metas) - set(names):
            raise WrongError("missing")
        if set(names) - set(self.metas):
            raise WrongError("extra")
        if len(names) > len(set(names)):
            raise WrongError("twice")

    def array(self, given: dict[str, Any], name: str) -> np.ndarray:
        """The array of one input."""
        meta = self.metas.get(name, given)
        shape, datatype = given.get("shape"), given.get("datatype")
        if not isinstance(shape, list) or not all(type(size) is int for size in shape):
            raise WrongError("no shape")
        if min(shape, default=0) < 0:
            raise WrongError("negative")
        if max(shape, default=0) > 1 << 40:
            raise WrongError("huge")
        if not isinstance(datatype, str):
            raise WrongError("no datatype")
        if datatype not in TYPES:
            raise WrongError("datatype")
        if datatype != meta["datatype"]:
            raise WrongError("other datatype")
        wanted = meta["shape"]
        if len(shape) != len(wanted) or any(
            w not in {-1, s} for w, s in zip(wanted, shape, strict=True)
        ):
            raise WrongError("shape")
        size = (given.get("parameters") or {}).get("binary_data_size")
        if size is None and datatype == "FP16":
            raise WrongError("half in JSON")
        values = self.json(given, shape) if size is None else self.raw(size, datatype, shape)
        return np.array(values, TYPES[datatype]).reshape(shape)

    def json(self, given: dict[str, Any], shape: list[int]) -> list[Any]:
        """The values of an input in JSON."""
        data = given.get("data")
        if not isinstance(data, list):
            raise WrongError("no data")
        for size in shape[1:] if data and isinstance(data[0], list) else ():
            if not all(isinstance(row, list) and len(row) == size for row in data):
                raise WrongError("ragged")
            data = [value for row in data for value in row]
        if len(data) < math.prod(shape):
            raise WrongError("few")
        if len(data) > math.prod(shape):
            raise WrongError("many")
        kinds = {"BOOL": bool, "BYTES": str}.get(given["datatype"], (int, float))
        if not all(isinstance(value, kinds) for value in data):
            raise WrongError("kind")
        if given["datatype"].startswith("INT") and any(abs(v) > 1 << 31 for v in data):
            raise WrongError("range")
        return data

    def raw(self, size: Any, datatype: str, shape: list[int]) -> list[Any]:
        """The values of an input in bytes."""
        if type(size) is not int or size < 0:
            raise WrongError("size")
        item = 0 if datatype == "BYTES" else np.dtype(TYPES[datatype]).itemsize
        if item and size != math.prod(shape) * item:
            raise WrongError("size")
        if size > len(self.tail):
            raise WrongError("short tail")
        data, self.tail = self.tail[:size], self.tail[size:]
        values = np.frombuffer(data, TYPES[datatype]).tolist() if item else texts(data)
        if len(values) != math.prod(shape):
            raise WrongError("size")
        return values

    def asked(self, metas: list[dict[str, Any]]) -> list[tuple[dict[str, Any], bool]]:
        """The outputs to give, and whether each is raw."""
        every = bool((self.document.get("parameters") or {}).get("binary_data_output"))
        default = metas[:-1] if self.fault.forgets_output else metas
        wanted = self.document.get("outputs") or [{"name": meta["name"]} for meta in default]
        known = {meta["name"]: meta for meta in metas}
        chosen = []
        for each in wanted:
            if each["name"] not in known:
                raise WrongError("output")
            raw = (each.get("parameters") or {}).get("binary_data", every)
            chosen.append((known[each["name"]], bool(raw)))
        if self.fault.one_order:
            chosen.sort(key=lambda pair: list(known).index(pair[0]["name"]))
        return chosen


def decoded(request: Request) -> bytes:
    """The body without its content coding."""
    coding = request.headers.get("content-encoding", "identity")
    if coding == "identity":
        return request.body
    if coding not in {"gzip", "deflate"}:
        raise WrongError("coding", 415)
    try:
        return (gzip.decompress if coding == "gzip" else zlib.decompress)(request.body)
    except (OSError, EOFError, zlib.error):
        raise WrongError("gzip") from None


def split(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    """The JSON and the raw bytes of a body."""
    if length is None:
        return body, b""
    if not length.isdigit() or int(length) > len(body):
        raise WrongError("header length")
    return body[: int(length)], body[int(length) :]


def parsed(head: bytes, request: Request) -> dict[str, Any]:
    """The document of a request."""

    def constant(_: str) -> None:
        raise WrongError("nan")

    if not head.strip():
        raise WrongError("empty")
    try:
        document = json.loads(head.decode("utf-8"), parse_constant=constant)
    except ValueError as broken:
        if "octet" in request.headers.get("content-type", ""):
            raise WrongError("raw bytes") from None
        utf8 = isinstance(broken, UnicodeDecodeError)
        raise WrongError("utf8" if utf8 else "malformed") from None
    except RecursionError:
        raise WrongError("deep") from None
    if not isinstance(document, dict):
        raise WrongError("no object")
    return document


def texts(data: bytes) -> list[str]:
    """The elements of raw BYTES."""
    found, start = [], 0
    while start < len(data):
        if start + 4 > len(data):
            raise WrongError("bytes")
        (size,) = struct.unpack_from("<I", data, start)
        if start + 4 + size > len(data):
            raise WrongError("bytes")
        found.append(data[start + 4 : start + 4 + size].decode())
        start += 4 + size
    return found


def raw_of(array: np.ndarray, datatype: str) -> bytes:
    """An array as raw bytes."""
    if datatype != "BYTES":
        return array.astype(TYPES[datatype]).tobytes()
    encoded = [str(value).encode() for value in array.reshape(-1)]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


class _Stream:
    """Requests out of a connection."""

    def __init__(self, connection: socket.socket, manners: Manners) -> None:
        self.connection = connection
        self.manners = manners
        self.held = b""
        self.broken = False

    def request(self) -> Request | None:
        """The next request; None at the end, or where what came is no request."""
        head = self._until(b"\r\n\r\n", once=not self.manners.waits_for_head)
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        if first.count(" ") != 2:
            self.broken = True
            return None
        method, target, _ = first.split(" ")
        pairs = [line.partition(":") for line in lines if line]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        if headers.get("expect") == "100-continue" and self.manners.continues:
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding") == "chunked" and self.manners.reads_chunks:
            return Request(method, target, headers, self._chunks())
        body = self._exactly(int(headers.get("content-length", 0)))
        return None if body is None else Request(method, target, headers, body)

    def _until(self, end: bytes, *, once: bool = False) -> bytes | None:
        while end not in self.held:
            more = self.connection.recv(65536)
            self.held += more
            if not more or (once and end not in self.held):
                self.broken = bool(self.held)
                return None
        found, _, self.held = self.held.partition(end)
        return found

    def _exactly(self, size: int) -> bytes | None:
        while len(self.held) < size:
            more = self.connection.recv(65536)
            if not more:
                return None
            self.held += more
        found, self.held = self.held[:size], self.held[size:]
        return found

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n") or b"0", 16):
            body += self._exactly(size) or b""
            self._until(b"\r\n")
        self._until(b"\r\n")
        return body


def _written(request: Request | None, reply: Reply, manners: Manners, *, closes: bool) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} Said", f"content-length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    if closes or request is None:
        lines.append("connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    hidden = request is not None and request.method == "HEAD" and not manners.head_has_body
    return head if hidden else head + reply.body
