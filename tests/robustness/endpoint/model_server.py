"""A small JSON endpoint, right unless told in which way to be wrong: `/predict` takes rows.

One thread a connection, HTTP by hand, so that a test can break exactly one thing. ``faults`` holds
the names of checks; each makes the server fail that check.
"""

from __future__ import annotations

import json
import math
import re
import socket
import sys
import threading
import time
import uuid
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

JOBS = {"clerk": 0.0, "nurse": 0.5, "smith": 1.0}
HEAD_BYTES, BODY_BYTES, ROWS = 64 << 10, 4 << 20, 10_000
NUMBER = {"type": "number", "minimum": 18, "maximum": 80}
ROW = {
    "type": "object",
    "required": ["age", "hours", "job"],
    "properties": {
        "age": {"anyOf": [NUMBER, {"type": "null"}]},
        "hours": {"type": "integer", "minimum": 10, "maximum": 59},
        "job": {"type": "string", "examples": ["nurse"]},
    },
    "example": {"age": 41.5, "hours": 40, "job": "nurse"},
}
REQUEST = {
    "type": "object",
    "required": ["rows"],
    "properties": {"rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}},
}
OPENAPI = {
    "openapi": "3.1.0",
    "paths": {
        "/predict": {
            "post": {"requestBody": {"content": {"application/json": {"schema": REQUEST}}}}
        }
    },
    "components": {"schemas": {"Row": ROW}},
}


class RefusedError(Exception):
    """A request that is refused: the status and the words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class StopError(Exception):
    """The connection ends without an answer."""


@dataclass
class Request:
    """A request that was read."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """The endpoint on a port of its own; a context that ends it."""

    faults: frozenset[str] = frozenset()
    port: int = 0
    requests: int = 0
    hung: bool = False
    _current: Any = None
    _seen_deep: bool = False
    _hoard: list[bytes] = field(default_factory=list)
    _one: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def has(self, fault: str) -> bool:
        """Whether the server is wrong in that way."""
        return fault in self.faults

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with connection, suppress(StopError, OSError):
            if self.has("connection.slow"):
                with self._one:
                    self._answer(connection)
            else:
                self._answer(connection)

    # HTTP.

    def _answer(self, connection: socket.socket) -> None:
        self.requests += 1
        try:
            request = self._read(connection)
            while self.hung:
                time.sleep(0.05)
            status, document, more = self._routed(request)
        except RefusedError as refusal:
            status, document, more = refusal.status, {"error": refusal.words}, {}
            if self.has("unnamed"):
                document = {"error": "bad request"}
        except StopError:
            raise
        except Exception as error:  # noqa: BLE001 - what a framework does
            status, document, more = 500, {"error": f"{type(error).__name__}"}, {}
            if self.has("words.unseen"):
                document = {"error": 'Traceback (most recent call last):\n File "x.py", line 3'}
        body = json.dumps(document).encode()
        head = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
        head += ["content-type: application/json", *(f"{k}: {v}" for k, v in more.items())]
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        # What is still on its way is read, so that the answer is not lost by a reset.
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(0.5)
        with suppress(OSError):
            while connection.recv(1 << 20):
                pass

    def _read(self, connection: socket.socket) -> Request:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(1 << 16)
            data += part
            if not part:
                raise StopError
            if len(data) > HEAD_BYTES and not self.has("payload.header"):
                raise RefusedError(431, "the head is too large")
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        if length > BODY_BYTES and not (self.faults & {"payload.large", "hoard"}):
            raise RefusedError(413, "the body is too large")
        parts = [body]
        have = len(body)
        while have < length and not self.has("connection.pieces"):
            part = connection.recv(1 << 20)
            if not part and not self.has("connection.truncated"):
                raise StopError
            if not part:
                break
            parts.append(part)
            have += len(part)
        if self.has("connection.half-closed"):
            connection.settimeout(0.05)
            with suppress(TimeoutError):
                if not connection.recv(1):
                    time.sleep(3)
                    raise StopError
        return Request(method, path, headers, b"".join(parts))

    def _routed(self, request: Request) -> tuple[int, Any, dict[str, str]]:
        path = request.path
        if request.method == "GET":
            if path == "/openapi.json":
                return 200, OPENAPI, {}
            if path == "/readyz" and not self.has("service.ready"):
                return 200, {}, {}
            if path.endswith("/ready") and self.has("service.missing-ready"):
                return 200, {}, {}
        if request.method == "POST" and (path == "/predict" or self.has("service.missing")):
            return 200, self._predicted(request), {}
        if path != "/predict":
            raise RefusedError(404, "no such path")
        if self.has(f"service.{request.method.lower()}"):
            return 200, {"usage": "POST rows"}, {}
        return 405, {"error": "POST only"}, {"allow": "POST"}

    # Predictions.

    def _predicted(self, request: Request) -> Any:
        if "xml" in request.headers.get("content-type", "") and not self.has(
            "request.content-type"
        ):
            raise RefusedError(415, "application/json is read")
        if self._seen_deep and self.has("afterwards"):
            raise RefusedError(429, "still busy")
        body = self._inflated(request)
        if not body and self.has("request.empty-body"):
            return {"predictions": []}
        document = self._parsed(body)
        if document == {} and self.has("request.empty-object"):
            return {"predictions": []}
        if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
            raise RefusedError(422, "rows: an array is needed")
        rows = document["rows"]
        if not rows:
            if self.has("request.no-rows"):
                return {"predictions": [self._answer_to(0.5)]}
            raise RefusedError(422, "rows: at least one is needed")
        if len(rows) > ROWS:
            if self.has("payload.batch"):
                raise MemoryError
            raise RefusedError(413, f"rows: at most {ROWS}")
        logits = [self._logit(self._checked(row, index)) for index, row in enumerate(rows)]
        return {"predictions": self._answers(rows, logits)}

    def _answers(self, rows: list[Any], logits: list[float]) -> list[Any]:
        if self.has("rows.alone") and len(rows) > 1:
            mean = sum(logits) / len(logits)
            logits = [logit - mean for logit in logits]
        if self.has("rows.concurrent"):
            self._current = logits
            time.sleep(0.01)
            logits = self._current
        if self.has("rows.order"):
            logits = sorted(logits)
        if self.has("rows.twice"):
            logits = [logit + 0.01 * self.requests for logit in logits]
        probabilities = [1 / (1 + math.exp(-max(-30.0, min(30.0, logit)))) for logit in logits]
        if self.has("rows.constant") and len(rows) >= 20:
            probabilities = [1.5] * len(rows)
        if self.has("rows.far"):
            probabilities = [
                p if abs(row.get("age") or 0) < 1e5 else p * 7
                for p, row in zip(probabilities, rows, strict=True)
            ]
        if self.has("extreme.range"):
            probabilities = [
                p if abs(row.get("age") or 0) < 1e5 else math.nan
                for p, row in zip(probabilities, rows, strict=True)
            ]
        return [self._answer_to(p) for p in probabilities]

    def _answer_to(self, probability: float) -> Any:
        label = "yes" if probability >= 0.5 else "no"
        pair = {"no": 1 - probability, "yes": probability}
        return {"id": uuid.uuid4().hex, "label": label, "probabilities": pair}

    def _inflated(self, request: Request) -> bytes:
        if "hoard" in self.faults and len(request.body) > 1 << 20:
            self._hoard.append(request.body * 4)
        coding = request.headers.get("content-encoding", "identity")
        if coding == "identity":
            return request.body
        if not self.has("payload.gzip-bomb"):
            raise RefusedError(415, "content-encoding is not read")
        # A part of it is enough to be wrong without harm.
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(request.body, BODY_BYTES)

    def _parsed(self, body: bytes) -> Any:
        wide = body[:2] in {b"\xff\xfe", b"\xfe\xff"}
        errors = "replace" if self.has("request.bad-charset") else "strict"
        text = ""
        try:
            text = body.decode("utf-16" if wide else "utf-8", errors)
            return json.loads(text, parse_constant=self._constant)
        except RecursionError:
            self._deep()
            if self.has("payload.deep"):
                raise
            raise RefusedError(400, "the body is nested too deep") from None
        except ValueError:
            if self.has("request.bad-json") and text:
                return {"rows": [ROW["example"]] * 7}
            raise RefusedError(400, "the body is not JSON") from None

    def _deep(self) -> None:
        self._seen_deep = True
        if self.has("dies"):
            self.close()
            raise StopError
        if self.has("hangs"):
            self.hung = True

    def _constant(self, name: str) -> float:
        if not self.has("nonfinite.tokens"):
            raise RefusedError(422, f"{name} is no JSON")
        return 0.0

    def _checked(self, row: Any, index: int) -> dict[str, Any]:
        where = f"rows[{index}]"
        if not isinstance(row, dict):
            raise RefusedError(422, f"{where}: an object is needed")
        unknown = [name for name in row if name not in {"age", "hours", "job"}]
        if unknown and not self.has("request.extra-field"):
            raise RefusedError(422, f"{where}.{unknown[0]}: unknown field")
        if self.has("request.missing-field"):
            row = {"age": None, "hours": 0, "job": "", **row}
        if self.has("rows.field-order"):
            numbers = [v for v in row.values() if isinstance(v, int | float)]
            row = {**row, **dict(zip(("age", "hours"), numbers, strict=False))}
        row = {"age": None, **row}
        for name in ("age", "hours", "job"):
            if name not in row:
                raise RefusedError(422, f"{where}.{name}: missing")
        return {
            "age": self._number(row["age"], f"{where}.age", nullable=True),
            "hours": self._number(row["hours"], f"{where}.hours", nullable=False),
            "job": self._word(row["job"], f"{where}.job"),
        }

    def _number(self, value: Any, where: str, *, nullable: bool) -> float | None:
        if value is None and (nullable or self.has("null.declared")):
            return None
        if isinstance(value, list) and self.has("request.wrong-shape"):
            value = 1.0
        if isinstance(value, str):
            value = self._spelled(value)
        if isinstance(value, dict) and self.has("request.wrong-type"):
            value = 0.0
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RefusedError(422, f"{where}: a number is needed")
        return self._in_range(value, where)

    def _in_range(self, value: float, where: str) -> float:
        if self.has("extreme.int64") and abs(value) > 2**63:
            raise OverflowError
        if isinstance(value, int) and abs(value) >= 2**63:
            raise RefusedError(422, f"{where}: beyond int64")
        if not math.isfinite(value):
            if not self.has("nonfinite.overflow"):
                raise RefusedError(422, f"{where}: beyond float64")
            value = 0.0
        if self.has("extreme.tiny") and 0 < abs(value) < 1e-300:
            raise ZeroDivisionError
        if self.has("extreme.float32") and round(value, 7) != value and abs(value) < 1e3:
            raise ArithmeticError
        if self.has("extreme.minus-zero") and math.copysign(1, value) < 0 and value == 0:
            value = 30.0
        return float(value)

    def _spelled(self, text: str) -> Any:
        if text == "" and self.has("request.empty-text"):
            return 0.0
        if re.fullmatch(r"[-+]?(nan|inf(inity)?)", text, re.IGNORECASE):
            return 0.0 if self.has("nonfinite.texts") else text
        return 0.0 if text and self.has("request.wrong-type") else text

    def _word(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise RefusedError(422, f"{where}: a text is needed")
        limit = 256 << 10 if "payload.large" not in self.faults else sys.maxsize
        known = value in JOBS
        wrong = {
            "words.unseen": value.endswith("never seen"),
            "words.spelling": value.strip().lower() in JOBS and not known,
            "words.unicode": not value.isascii(),
            "words.long": len(value) > 100_000,
        }
        if any(self.has(fault) and broken for fault, broken in wrong.items()):
            raise KeyError(value)
        if len(value) > limit:
            raise RefusedError(422, f"{where}: too long")
        return value

    def _logit(self, row: dict[str, Any]) -> float:
        age = 40.0 if row["age"] is None else row["age"]
        hours = 35.0 if row["hours"] is None else row["hours"]
        return float(0.05 * age + 0.01 * hours + JOBS.get(row["job"], 0.25) - 3)


if __name__ == "__main__":
    with Server(faults=frozenset(sys.argv[2:]), port=int(sys.argv[1])):
        print("ready", flush=True)  # noqa: T201 - its starter waits for it
        sys.stdin.read()
