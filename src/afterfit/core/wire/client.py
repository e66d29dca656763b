"""HTTP/1.1 to one address, byte by byte, with every exchange kept.

No proxy is used and no redirect is followed: only the address of the URL is contacted. Requests,
seconds of one exchange, seconds of all of them and bytes of one answer are bounded.
"""

from __future__ import annotations

import gzip
import http.client
import io
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from afterfit.errors import UsageError

__all__ = [
    "Address",
    "Api",
    "Client",
    "Exchange",
    "Line",
    "NoAnswerError",
    "OutOfBudgetError",
    "Sent",
    "address_of",
    "message",
]

Api = Literal["infer", "model", "server", "health", "extension", "other"]
Headers = tuple[tuple[str, str], ...]
ANSWER_BYTES = 64 << 20


class Address(NamedTuple):
    """Where the server is: ``base`` is the path in front of ``/v2``, without a slash at its end."""

    secure: bool
    host: str
    port: int
    base: str

    @property
    def authority(self) -> str:
        """Return what the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


class Sent(NamedTuple):
    """One request; ``headers`` are those that the check chose, and so may be shown."""

    method: str
    path: str
    headers: Headers = ()
    body: bytes = b""


class Exchange(NamedTuple):
    """A request and its answer; ``fault`` where the request was wrong on purpose."""

    sent: Sent
    status: int
    headers: Headers
    body: bytes
    api: Api = "other"
    fault: bool = False
    will_close: bool = False

    def header(self, name: str) -> str | None:
        """Return the first header of that name, or None."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def encoding(self) -> str:
        """Return the content coding, ``identity`` where none is told."""
        return (self.header("content-encoding") or "identity").strip().lower()

    def content(self) -> bytes:
        """Return the body without its content coding; raises ValueError where it has another."""
        if self.encoding == "identity":
            return self.body
        if self.encoding not in {"gzip", "deflate"}:
            raise ValueError(f"content-encoding {self.encoding} was not asked for")
        try:
            decode = gzip.decompress if self.encoding == "gzip" else zlib.decompress
            return decode(self.body)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"the body is not {self.encoding}: {error}") from None


class NoAnswerError(Exception):
    """A request that got no HTTP answer; ``gone`` where not even a connection was made."""

    def __init__(self, reason: str, sent: Sent, *, gone: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.gone = gone


class OutOfBudgetError(Exception):
    """The requests or the seconds of the run are used up."""


def address_of(url: str) -> Address:
    """Return the address in a URL; raises UsageError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _not_a_url(url, str(error)) from None
    if parts.scheme not in {"http", "https"}:
        raise _not_a_url(url, f"its scheme is {parts.scheme!r}")
    if not host:
        raise _not_a_url(url, "it names no host")
    if not url.isascii() or any(letter.isspace() for letter in url):
        raise _not_a_url(url, "it holds a space, or a letter that is not ASCII")
    if parts.username or parts.password:
        raise UsageError("the URL holds a password", fix="send it with --header 'authorization: …'")
    secure = parts.scheme == "https"
    base = parts.path.rstrip("/").removesuffix("/v2")
    return Address(secure, host, (443 if secure else 80) if port is None else port, base)


def _not_a_url(url: str, why: str) -> UsageError:
    return UsageError(f"not the URL of a server: {url}", why=why, fix="give http://HOST:PORT")


def message(client: Client, sent: Sent, *, length: bool = True) -> bytes:
    """Return the bytes of a request; ``length`` adds content-length where there may be a body."""
    lines = [f"{sent.method} {client.address.base}{sent.path} HTTP/1.1"]
    lines += [f"Host: {client.address.authority}", f"User-Agent: {client.agent}"]
    lines += [f"{name}: {value}" for name, value in (*client.headers, *sent.headers)]
    if length and (sent.body or sent.method not in {"GET", "HEAD"}):
        lines.append(f"Content-Length: {len(sent.body)}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1") + sent.body


class Client:
    """Makes connections to one address and keeps every exchange in ``log``."""

    def __init__(
        self,
        address: Address,
        *,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float = 10.0,
        limit: float = 300.0,
        requests: int = 600,
        agent: str = "afterfit",
    ) -> None:
        self.address = address
        self.agent = agent
        self.headers = tuple(headers)
        self.timeout = timeout
        self.log: list[Exchange] = []
        self.count = 0
        self._requests = requests
        self._ends = time.monotonic() + limit
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Return the seconds that are left for all requests, negative where they are over."""
        return self._ends - time.monotonic()

    def open(self) -> Line:
        """Return a new connection; raises NoAnswerError where none is made."""
        return Line(self)

    def request(self, sent: Sent, *, api: Api = "other", fault: bool = False) -> Exchange:
        """Return the answer to one request on a connection of its own; raises NoAnswerError."""
        with self.open() as line:
            line.ask(sent)
            return line.receive(sent, api=api, fault=fault)

    def spend(self) -> None:
        """Take one request from the budget; raises OutOfBudgetError."""
        with self._lock:
            self.count += 1
            if self.count > self._requests:
                raise OutOfBudgetError(f"{self._requests} requests were made, the limit of a run")
        if self.left < 0:
            raise OutOfBudgetError("the seconds of this run are used up")


class Line:
    """One connection; a context that closes it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        address = client.address
        try:
            plain = socket.create_connection((address.host, address.port), client.timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = _secured(plain, address) if address.secure else plain
        except (OSError, UnicodeError) as error:
            reason = f"no connection: {error}"
            raise NoAnswerError(reason, Sent("CONNECT", address.authority), gone=True) from None
        self._source = _Source(self._socket)
        self._reader = _Reader(self._source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, sent: Sent) -> None:
        """Send a whole request; raises OutOfBudgetError."""
        self.client.spend()
        self.send(message(self.client, sent))

    def send(self, data: bytes) -> None:
        """Send bytes; a server that stops reading may have answered already, so it is no error."""
        self._socket.settimeout(self.client.timeout)
        with suppress(ConnectionError, TimeoutError):
            self._socket.sendall(data)

    def end(self) -> None:
        """Close this side of the connection: the server reads the end, and may still answer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def receive(self, sent: Sent, *, api: Api = "other", fault: bool = False) -> Exchange:
        """Return the next answer on this connection; raises NoAnswerError."""
        self._source.ends = time.monotonic() + self.client.timeout
        try:
            response = http.client.HTTPResponse(_Shared(self._reader), method=sent.method)  # type: ignore[arg-type]
            response.begin()
            body = response.read(ANSWER_BYTES + 1)
            if not response.isclosed() and len(body) <= ANSWER_BYTES:
                body += response.read()
        except TimeoutError:
            raise NoAnswerError(self._late(), sent) from None
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise NoAnswerError(_told(error), sent) from None
        if len(body) > ANSWER_BYTES:
            raise NoAnswerError(f"the answer has more than {ANSWER_BYTES} bytes", sent)
        exchange = Exchange(
            sent,
            response.status,
            tuple(response.getheaders()),
            body,
            api,
            fault,
            will_close=bool(response.will_close),
        )
        self.client.log.append(exchange)
        return exchange

    def first_line(self, sent: Sent) -> str:
        """Return the next status line without its end, headers skipped if it is a 100."""
        self._source.ends = time.monotonic() + self.client.timeout
        try:
            line = self._reader.peek(1) and self._reader.readline(65536)
            while line.startswith(b"HTTP/1.1 100") and self._reader.readline(65536).strip():
                pass
        except TimeoutError:
            raise NoAnswerError(self._late(), sent) from None
        except OSError as error:
            raise NoAnswerError(_told(error), sent) from None
        return line.decode("latin-1").strip()

    def ended(self) -> bool:
        """Return whether the server closes the connection, within the time of one exchange."""
        self._source.ends = time.monotonic() + self.client.timeout
        try:
            return self._reader.read(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def _late(self) -> str:
        return f"no answer within {self.client.timeout:g} s"


class _Source(io.RawIOBase):
    """The bytes of a socket until a moment: a server that drips cannot hold the run."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.ends = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Reader(io.BufferedReader):
    """A buffer that outlives one answer: http.client closes what it reads from."""

    def close(self) -> None:
        pass


class _Shared:
    """What http.client takes for a socket."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def makefile(self, *_: object) -> _Reader:
        return self._reader


def _secured(plain: socket.socket, address: Address) -> socket.socket:
    try:
        context = ssl.create_default_context()
        return context.wrap_socket(plain, server_hostname=address.host)
    except OSError:
        plain.close()
        raise


def _told(error: Exception) -> str:
    if isinstance(error, ConnectionError | http.client.RemoteDisconnected):
        return "the server closed the connection without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer ended before its length"
    return f"no HTTP answer: {type(error).__name__}: {error}"
