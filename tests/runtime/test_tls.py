"""TLS: real handshakes on 127.0.0.1, on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.certificates import Pair, issue, make_authority, make_key

from afterfit.errors import AfterfitError, ForbiddenError, InputError, NotFoundError
from afterfit.runtime.certificate import Validity, certificates, validity_of
from afterfit.runtime.tls import Tls, TlsSettings, make_context

SECONDS = 20.0


class Files:
    """Two authorities, and what they have issued."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = make_authority(folder, "ca")
        self.other_ca = make_authority(folder, "other-ca")
        self.server = issue(self.ca, folder, "server")
        self.renewed = issue(self.ca, folder, "renewed", days=300)
        self.expired = issue(self.ca, folder, "expired", days=-1)
        self.client = issue(self.ca, folder, "client", usage="clientAuth")
        self.stranger = issue(self.other_ca, folder, "stranger", usage="clientAuth")
        self.late_client = issue(self.ca, folder, "late", usage="clientAuth", days=-1)

    def settings(self, pair: Pair | None = None, **others: Any) -> TlsSettings:
        """The settings of a server with that pair."""
        made = pair or self.server
        return TlsSettings(cert=str(made.cert), key=str(made.key), **others)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Made once; nobody changes them."""
    return Files(tmp_path_factory.mktemp("certificates"))


class Echo(asyncio.Protocol):
    """Sends back what comes, and counts connections."""

    made = 0
    transport: Any

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport
        Echo.made += 1

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(data)


class EchoServer:
    """Takes raw sockets from a listener, as a worker does, and has them adopted."""

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self.adopted: asyncio.Queue[bool] = asyncio.Queue()
        self.trouble: list[dict[str, Any]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.trouble.append(context))
        Echo.made = 0
        self._tasks.append(asyncio.create_task(self._accept()))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop; nothing went to the loop's handler of errors, so nothing would have been logged."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.listener.close()
        assert self.trouble == []

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self.listener)
            client.setblocking(False)
            self._tasks.append(asyncio.create_task(self._adopt(client)))

    async def _adopt(self, client: socket.socket) -> None:
        self.adopted.put_nowait(await self.tls.adopt(Echo, client))

    async def echoed(self, context: ssl.SSLContext, data: bytes = b"ping") -> dict[str, Any]:
        """What a client learns from one exchange: version, ALPN, the server's common name."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        try:
            writer.write(data)
            answer = await reader.readexactly(len(data))
            assert answer == data
            found: ssl.SSLObject = writer.get_extra_info("ssl_object")
            certificate = found.getpeercert() or {}
            subject: Any = certificate.get("subject", ())
            return {
                "name": dict(part[0] for part in subject).get("commonName"),
                "version": found.version(),
                "alpn": found.selected_alpn_protocol(),
            }
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


Run = Callable[[Awaitable[None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on one kind of loop, bounded in time."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def bounded(awaitable: Awaitable[None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(awaitable, SECONDS))

    return bounded


def client_context(files: Files, pair: Pair | None = None) -> ssl.SSLContext:
    """A client that trusts the authority, and may show a certificate."""
    context = ssl.create_default_context(cafile=str(files.ca.cert))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def test_a_raw_socket_becomes_a_tls_connection(files: Files, run: Run) -> None:
    """TLS 1.3, HTTP/1.1 by ALPN, verified by the client; a megabyte goes there and back."""

    async def exchange() -> None:
        said: list[dict[str, Any]] = []
        async with EchoServer(Tls(files.settings(), say=said.append)) as server:
            found = await server.echoed(client_context(files), b"x" * 1_000_000)
            assert found == {"name": "server", "version": "TLSv1.3", "alpn": "http/1.1"}
            assert await server.adopted.get()
            assert (server.tls.handshaking, server.tls.failures) == (0, {})
        assert [line["event"] for line in said] == ["certificate_loaded"]

    run(exchange())


def test_tls_1_2_is_the_least(files: Files, run: Run) -> None:
    """1.2 is spoken; a client that offers no more than 1.1 is turned away."""

    async def exchange() -> None:
        async with EchoServer(Tls(files.settings(), say=lambda _: None)) as server:
            context = client_context(files)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            assert (await server.echoed(context))["version"] == "TLSv1.2"
            assert await server.adopted.get()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            # OpenSSL offers TLS 1.1 at this level only.
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            with pytest.raises(OSError):  # noqa: PT011 - the loops differ; the reason is below
                await server.echoed(context)
            assert not await server.adopted.get()
            assert server.tls.failures == {"UNSUPPORTED_PROTOCOL": 1}

    run(exchange())


def test_no_renegotiation_and_no_compression(files: Files) -> None:
    """Both have been ways to make a server work or tell more than it should."""
    options = make_context(files.settings())[0].options
    assert options & ssl.OP_NO_RENEGOTIATION
    assert options & ssl.OP_NO_COMPRESSION


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("client", ""),
        (None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        ("stranger", "CERTIFICATE_VERIFY_FAILED"),
        ("server", "CERTIFICATE_VERIFY_FAILED"),
        ("late_client", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_with_a_client_ca_only_its_clients_are_let_in(
    files: Files, run: Run, name: str | None, failure: str
) -> None:
    """None, of another CA, not made for clients, or expired: no protocol hears of it."""

    async def exchange() -> None:
        settings = files.settings(client_ca=str(files.ca.cert))
        async with EchoServer(Tls(settings, say=lambda _: None)) as server:
            context = client_context(files, getattr(files, name) if name else None)
            if failure:
                with pytest.raises((OSError, asyncio.IncompleteReadError)):
                    await server.echoed(context)
            else:
                assert (await server.echoed(context))["name"] == "server"
            assert await server.adopted.get() is (not failure)
            assert Echo.made == int(not failure)
            assert server.tls.failures == ({failure: 1} if failure else {})

    run(exchange())


def test_plain_text_and_silence_are_cut_off_and_others_go_on(files: Files, run: Run) -> None:
    """HTTP without TLS gets no answer in HTTP; a client that says nothing is closed in time."""

    async def exchange() -> None:
        settings = files.settings(handshake_seconds=0.5)
        async with EchoServer(Tls(settings, say=lambda _: None)) as server:
            silent, other = await asyncio.open_connection("127.0.0.1", server.port)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            with suppress(ConnectionError):
                assert b"HTTP" not in await reader.read()
            assert not await server.adopted.get()
            assert (await server.echoed(client_context(files)))["name"] == "server"
            assert await server.adopted.get()
            with suppress(ConnectionError):
                assert await silent.read() == b""
            assert not await server.adopted.get()
            assert server.tls.failures == {"HTTP_REQUEST": 1, "ConnectionAbortedError": 1}
            assert (server.tls.handshaking, Echo.made) == (0, 1)
            writer.close()
            other.close()

    run(exchange())


def test_handshakes_at_once_are_bounded(files: Files, run: Run) -> None:
    """One too many is closed at once; when those are over, others are let in."""

    async def exchange() -> None:
        settings = files.settings(handshakes=2)
        async with EchoServer(Tls(settings, say=lambda _: None)) as server:
            slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            with pytest.raises(OSError):  # noqa: PT011 - the system's word for it differs
                await server.echoed(client_context(files))
            assert not await server.adopted.get()
            for _, writer in slow:
                writer.close()
            assert [await server.adopted.get() for _ in slow] == [False, False]
            assert server.tls.failures["TOO_MANY"] == 1
            assert (await server.echoed(client_context(files)))["name"] == "server"

    run(exchange())


def test_new_files_hold_for_new_connections_and_old_ones_go_on(
    files: Files, run: Run, tmp_path: Path
) -> None:
    """Between the two writes the old certificate serves, and the log says why."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    replace(files.server.cert, cert)
    replace(files.server.key, key)

    async def exchange() -> None:
        said: list[dict[str, Any]] = []
        tls = Tls(TlsSettings(cert=str(cert), key=str(key)), say=said.append)
        async with EchoServer(tls) as server:
            context = client_context(files)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
            assert not tls.reload_if_changed()
            replace(files.renewed.cert, cert)
            assert not tls.reload_if_changed()
            assert not tls.reload_if_changed()
            events = [line["event"] for line in said]
            assert events == ["certificate_loaded", "certificate_not_reloaded"]
            assert isinstance(problem_of(tls), InputError)
            assert (await server.echoed(context))["name"] == "server"
            replace(files.renewed.key, key)
            assert tls.reload_if_changed()
            assert problem_of(tls) is None
            assert (await server.echoed(context))["name"] == "renewed"
            writer.write(b"still here")
            assert await reader.readexactly(10) == b"still here"
            writer.close()

    run(exchange())


def problem_of(tls: Tls) -> AfterfitError | None:
    """Why the last reload failed; a call, because type checkers think that nothing changes it."""
    return tls.problem


def replace(source: Path, target: Path) -> None:
    """Put a copy into the place of a file, as tools that renew certificates do."""
    new = target.with_suffix(".new")
    shutil.copy(source, new)
    new.chmod(0o600)
    new.replace(target)


def test_the_client_ca_is_reloaded_too(files: Files, tmp_path: Path) -> None:
    """A CA that is taken out lets its clients in no more."""
    ca = tmp_path / "clients.pem"
    replace(files.ca.cert, ca)
    tls = Tls(files.settings(client_ca=str(ca)), say=lambda _: None)
    before = tls.context
    replace(files.other_ca.cert, ca)
    assert tls.reload_if_changed()
    assert tls.context is not before
    names = [str(found["subject"]) for found in tls.context.get_ca_certs()]
    assert len(names) == 1
    assert "other-ca" in names[0]


@pytest.mark.parametrize(("state", "days"), [("expired", -1), ("expires soon", 3), ("valid", 30)])
def test_a_certificate_near_or_past_its_end_is_told_once(
    files: Files, tmp_path: Path, state: str, days: int
) -> None:
    """It serves nevertheless: whether clients take it is theirs to say."""
    said: list[dict[str, Any]] = []
    tls = Tls(files.settings(issue(files.ca, tmp_path, "s", days=days)), say=said.append)
    tls.reload_if_changed()
    told = [line for line in said if line["event"] == "certificate"]
    assert [line["state"] for line in told] == ([] if state == "valid" else [state])
    assert isinstance(tls.context, ssl.SSLContext)


def test_a_certificate_that_ends_while_it_serves_is_told(files: Files) -> None:
    """By the timer that also looks for new files."""
    said: list[dict[str, Any]] = []
    tls = Tls(files.settings(), say=said.append)
    now = datetime.now(UTC)
    tls.validity = Validity(now - timedelta(days=90), now - timedelta(seconds=1))
    tls.reload_if_changed()
    tls.reload_if_changed()
    assert [line["state"] for line in said if line["event"] == "certificate"] == ["expired"]


def spoilt(files: Files, folder: Path, what: str) -> TlsSettings:
    """Settings with one thing wrong."""
    wrong = folder / "wrong.pem"
    cert, key, ca = files.server.cert, files.server.key, ""
    if what == "truncated certificate":
        lines = files.server.cert.read_text().splitlines()
        wrong.write_text("\n".join([*lines[:3], lines[-1]]))
        cert = wrong
    elif what == "certificate in DER":
        wrong.write_bytes(ssl.PEM_cert_to_DER_cert(cert.read_text()))
        cert = wrong
    elif what == "truncated key":
        lines = files.server.key.read_text().splitlines()
        wrong.write_text("\n".join([*lines[:2], lines[-1]]))
        key = wrong
    elif what == "key of another":
        key = make_key(wrong)
    elif what == "encrypted key":
        wrong.write_text(
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
        )
        key = wrong
    elif what == "certificate for key":
        key = cert
    elif what == "key for client CA":
        ca = str(key)
    elif what == "folder":
        cert = folder
    else:
        gone = folder / "gone.pem"
        cert = gone if what == "no certificate" else cert
        key = gone if what == "no key" else key
        ca = str(gone) if what == "no client CA" else ""
    return TlsSettings(cert=str(cert), key=str(key), client_ca=ca)


@pytest.mark.parametrize(
    ("what", "kind", "told"),
    [
        ("no certificate", NotFoundError, "certificate is not there"),
        ("no key", NotFoundError, "key is not there"),
        ("no client CA", NotFoundError, "client CA is not there"),
        ("truncated certificate", InputError, "certificate cannot be read"),
        ("certificate in DER", InputError, "no certificate in the file"),
        ("truncated key", InputError, "cannot be loaded"),
        ("key of another", InputError, "does not belong to the certificate"),
        ("encrypted key", InputError, "is encrypted"),
        ("certificate for key", InputError, "no private key in the file"),
        ("key for client CA", InputError, "no certificate of a client CA"),
        ("folder", AfterfitError, "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_path(
    files: Files, tmp_path: Path, what: str, kind: type[AfterfitError], told: str
) -> None:
    """Nobody is asked for a passphrase, and no key's bytes are in the message."""
    settings = spoilt(files, tmp_path, what)
    with pytest.raises(kind, match=told) as caught:
        Tls(settings, say=lambda _: None)
    assert str(tmp_path) in caught.value.where or str(files.folder) in caught.value.where
    secret = files.server.key.read_text().splitlines()[2]
    assert secret not in str(caught.value)


def test_a_file_that_may_not_be_read_is_told(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's refusal is made here: a test that runs as the administrator may read all."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ForbiddenError, match="not to be read"):
        make_context(files.settings())


def test_a_key_that_others_can_read_is_warned_of(files: Files, tmp_path: Path) -> None:
    """It is loaded all the same."""
    key = tmp_path / "key.pem"
    shutil.copy(files.server.key, key)
    key.chmod(0o644)
    _, _, told = make_context(TlsSettings(cert=str(files.server.cert), key=str(key)))
    assert len(told) == 1
    assert "0644" in told[0]
    key.chmod(0o640)
    assert make_context(TlsSettings(cert=str(files.server.cert), key=str(key)))[2] == []


def test_chain_and_key_may_stand_in_one_file(files: Files, tmp_path: Path) -> None:
    """The first certificate is the server's; which one ends first does not matter."""
    whole = tmp_path / "all.pem"
    parts = (files.server.key, files.renewed.cert, files.ca.cert)
    whole.write_text("".join(part.read_text() for part in parts))
    with pytest.raises(InputError, match="does not belong"):
        make_context(TlsSettings(cert=str(whole)))
    parts = (files.renewed.key, files.renewed.cert, files.ca.cert)
    whole.write_text("".join(part.read_text() for part in parts))
    _, validity, _ = make_context(TlsSettings(cert=str(whole)))
    assert validity == validity_of(certificates(files.renewed.cert.read_bytes())[0])


@pytest.mark.parametrize("days", [1, 400, 20_000])
def test_the_end_of_a_certificate_is_what_openssl_says(
    files: Files, tmp_path: Path, days: int
) -> None:
    """Also past 2050, where the form of the time is another one."""
    made = issue(files.ca, tmp_path, "leaf", days=days)
    validity = validity_of(certificates(made.cert.read_bytes())[0])
    assert validity.ends - validity.begins == timedelta(days=days)
    assert abs(validity.begins - datetime.now(UTC)) < timedelta(minutes=2)


@given(st.data())
def test_bytes_that_are_no_certificate_are_a_value_error(data: st.DataObject) -> None:
    """Random bytes, and a certificate's frame around them."""
    body = data.draw(st.binary(max_size=60))
    framed = data.draw(st.sampled_from([body, b"0" + bytes([len(body)]) + body]))
    with suppress(ValueError):
        validity_of(framed)
