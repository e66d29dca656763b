"""Whole hostile requests to the routes of a server, from a seed."""

from __future__ import annotations

import copy
import gzip
import random
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from tests.runtime.hostile.json_attacks import damaged, wounded
from tests.runtime.hostile.raw_attacks import arrow_body, csv_body, lines_body, tensor_body

if TYPE_CHECKING:
    from collections.abc import Iterator

BOMB = gzip.compress(b"\0" * 5_000_000)
TYPES = [
    *(b"application/json", b"application/json; charset=utf-16", b"text/csv", b"", b"*/*", b"a/b;"),
    *(b"application/x-www-form-urlencoded", b"application/jsonlines", b"image/png", b"\xff"),
    *(b"application/vnd.apache.arrow.stream", b"multipart/form-data; boundary=x", b"text/plain"),
    *(b"text/csv; header=maybe", b"application/octet-stream", b"application/json; charset=latin-1"),
]
ACCEPTS = [
    *(b"*/*", b"text/csv", b"application/jsonlines", b"application/vnd.apache.arrow.stream"),
    *(b"text/html", b"application/json;q=0", b";;q=", b"text/*;q=nan", b"x" * 500, b"\xff\xfe"),
]
CODINGS = [b"gzip", b"deflate;q=0.1", b";", b"\xff", b"*", b"gzip;q=0", b"br"]
TIMEOUTS = [b"0", b"-1", b"nan", b"inf", b"1e400", b"1e-9", b"", b"abc", b"5000", b"1" * 400]
PATHS = [
    *("/", "//", "/v2/models", "/v2/models/", "/v2/models//infer", "/predict/", "/predict/%00"),
    *("/predict/%ff", "/predict/%", "/predict/%zz", "/../../etc/passwd", "/v2/../predict", "/*"),
    *("/v2/models/churn/versions//infer", "/v2/models/churn/versions/99999999999/infer", "/%2e%2e"),
    *("/v2/models/churn/infer/infer", "/predict/" + "a" * 3000, "/v2/models/%F0%9F%98%80/ready"),
    *("/admin/v1/endpoint", "/metrics?x=%00", "/version?" + "a=b&" * 500, "/openapi.json/"),
    *("/v2/models/churn/versions/03/infer", "/v2/health/live/", "/predict;x", "/predict?a#b"),
]
METHODS = ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"]


class Model(NamedTuple):
    """What the attacks know of a model: its name, version, a row, and tensors with their types."""

    name: str
    version: int
    row: dict[str, Any]
    tensors: list[dict[str, Any]]


class Attack(NamedTuple):
    """One request; ``late`` where it may be too late, ``head`` where its answer has no body."""

    request: bytes
    late: bool
    head: bool


class Attacker:
    """Makes attacks on some models; ``routes`` are the platform's paths with their families."""

    def __init__(self, models: list[Model], routes: dict[str, str], seed: int) -> None:
        self.models = models
        self.routes = [(path, family) for path, family in routes.items() if family != "health"]
        self.rng = random.Random(seed)

    def attacks(self, count: int) -> Iterator[Attack]:
        """Yield that many attacks."""
        kinds = (self._json, self._json, self._json, self._infer, self._tensors, self._other)
        for _ in range(count):
            model = self.rng.choice(self.models)
            path, headers, body = self.rng.choice((*kinds, self._path))(model)
            yield self._request(path, headers, body)

    def _json(self, model: Model) -> tuple[str, dict[bytes, bytes], bytes]:
        path, family = self._route(model)
        document = self.rng.choice(_documents(model, family))
        return path, {}, wounded(copy.deepcopy(document), self.rng)

    def _infer(self, model: Model) -> tuple[str, dict[bytes, bytes], bytes]:
        inputs = []
        rows = self.rng.choice((1, 1, 3))
        for tensor in model.tensors:
            shape = [rows, *tensor["shape"][1:]]
            inputs.append({**tensor, "shape": shape, "data": tensor["data"] * rows})
        document: dict[str, Any] = {"inputs": inputs, "id": "r", "parameters": {}}
        if self.rng.random() < 0.4:
            document["outputs"] = [{"name": "label", "parameters": {"binary_data": True}}]
        return self._infer_path(model), {}, wounded(document, self.rng)

    def _tensors(self, model: Model) -> tuple[str, dict[bytes, bytes], bytes]:
        body, length = tensor_body(self.rng, model.tensors)
        return self._infer_path(model), {b"inference-header-content-length": length}, body

    def _other(self, model: Model) -> tuple[str, dict[bytes, bytes], bytes]:
        path, _ = self._route(model)
        kind = self.rng.randrange(3)
        names, row = list(model.row), list(model.row.values())
        if kind == 0:
            return path, {b"content-type": b"text/csv"}, csv_body(self.rng, names, row)
        if kind == 1:
            lines = [wounded(dict(model.row), self.rng) for _ in range(self.rng.choice((1, 3, 51)))]
            return path, {b"content-type": b"application/jsonlines"}, lines_body(self.rng, lines)
        arrow = {b"content-type": b"application/vnd.apache.arrow.stream"}
        return path, arrow, arrow_body(self.rng, names, row)

    def _path(self, _: Model) -> tuple[str, dict[bytes, bytes], bytes]:
        return self.rng.choice(PATHS), {}, damaged(b'{"rows":[{}]}', self.rng)

    def _route(self, model: Model) -> tuple[str, str]:
        if self.routes and self.rng.random() < 0.7:
            return self.rng.choice(self.routes)
        return f"/predict/{quote(model.name, safe='')}", "predict"

    def _infer_path(self, model: Model) -> str:
        base = f"/v2/models/{quote(model.name, safe='')}"
        return self.rng.choice((f"{base}/infer", f"{base}/versions/{model.version}/infer"))

    def _request(self, path: str, headers: dict[bytes, bytes], body: bytes) -> Attack:
        rng = self.rng
        method = rng.choice(METHODS) if rng.random() < 0.03 else "POST"
        headers = {b"content-type": b"application/json", **headers}
        if rng.random() < 0.1:
            headers[b"content-type"] = rng.choice(TYPES)
        if rng.random() < 0.15:
            headers[b"accept"] = rng.choice(ACCEPTS)
        if late := rng.random() < 0.05:
            headers[b"x-request-timeout-ms"] = rng.choice(TIMEOUTS)
        if rng.random() < 0.05:
            headers[b"x-request-id"] = rng.choice((b"", b"a\xffb", b"x" * 900, b"<script>", b"{}"))
        if rng.random() < 0.12:
            headers[b"content-encoding"], body = self._coded(body)
        if rng.random() < 0.05:
            headers[b"accept-encoding"] = rng.choice(CODINGS)
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers.items())
        target = f"{method} {path} HTTP/1.1\r\nhost: h\r\n".encode()
        if rng.random() < 0.1:
            framing, body = b"transfer-encoding: chunked\r\n", _chunked(body, rng)
        else:
            framing = b"content-length: %d\r\n" % len(body)
        return Attack(target + lines + framing + b"\r\n" + body, late, method == "HEAD")

    def _coded(self, body: bytes) -> tuple[bytes, bytes]:
        packed = gzip.compress(body, 1)
        return self.rng.choice(
            (
                (b"gzip", packed),
                (b"gzip", packed[: self.rng.randrange(len(packed))]),
                (b"gzip", damaged(packed, self.rng)),
                (b"gzip", BOMB),
                (b"gzip", packed + packed),
                (b"gzip", body),
                (b"deflate", zlib.compress(body)),
                (b"deflate", zlib.compress(body)[2:-4]),
                (b"br", body),
                (b"gzip, gzip", gzip.compress(packed)),
                (b"identity", body),
                (b"", body),
            )
        )


def _chunked(body: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 7, 1000, 100_000))
    size = max(size, len(body) // 200 + 1)
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _documents(model: Model, family: str) -> list[dict[str, Any]]:
    """Valid bodies of a family."""
    row, names, values = model.row, list(model.row), list(model.row.values())
    columns = {name: [value, value] for name, value in row.items()}
    plain: list[dict[str, Any]] = [
        {"rows": [row, row]},
        {"columns": columns},
        {"rows": [row], "entities": ["e"]},
    ]
    split = {"columns": names, "index": [0], "data": [values]}
    known: dict[str, list[dict[str, Any]]] = {
        "predict": plain,
        "invocations": [
            {"dataframe_split": split},
            {"dataframe_records": [row]},
            {"instances": [row], "params": {}},
            {"inputs": columns},
            *plain,
        ],
        "vertex": [{"instances": [row, row], "parameters": {}}, {"instances": [values]}],
        "azureml": [{"input_data": split}, {"data": [values]}, {"data": [row], "params": None}],
    }
    return known[family]
