"""TLS of a server: its context from files, client certificates, and new files while it runs.

    tls = Tls(TlsSettings(cert="server.pem", key="server.key", client_ca="clients.pem"))
    ...
    await tls.adopt(server.connection, client)   # a raw accepted socket becomes a connection

``reload_if_changed`` goes on a timer of about a second; connections that stand keep what they
agreed on, and new ones get the new certificate.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from afterfit.errors import (
    AfterfitError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ResourceError,
)
from afterfit.runtime.certificate import Validity, certificates, validity_of
from afterfit.runtime.log import log_line
from afterfit.runtime.watch import FileWatch

__all__ = ["Tls", "TlsSettings", "make_context"]


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of PEM files: the certificate with its chain, its key, and the CA of the clients.

    Without ``key`` the key stands in the file of the certificate. With ``client_ca`` a client
    needs a certificate of that CA. ``handshake_seconds`` is how long one handshake may take, and
    ``handshakes`` how many may go on at once in one worker.
    """

    cert: str
    key: str = ""
    client_ca: str = ""
    handshake_seconds: float = 10.0
    handshakes: int = 256


class Tls:
    """The TLS of one worker; ``context`` is the one for new connections.

    ``failures`` counts the handshakes that failed, by OpenSSL's reason (as ``HTTP_REQUEST`` or
    ``PEER_DID_NOT_RETURN_A_CERTIFICATE``), by the class of another error, or ``TOO_MANY``.
    Raises what ``make_context`` raises; ``say`` takes one line for the log.
    """

    context: ssl.SSLContext
    validity: Validity

    def __init__(
        self, settings: TlsSettings, *, say: Callable[[dict[str, Any]], None] = log_line
    ) -> None:
        self.settings = settings
        self.problem: AfterfitError | None = None
        self.handshaking = 0
        self.failures: Counter[str] = Counter()
        self._say = say
        paths = [Path(path) for path in (settings.cert, settings.key, settings.client_ca) if path]
        self._watch = FileWatch(paths)
        self._watch.changed()
        self._told = ""
        self._load()

    def reload_if_changed(self) -> bool:
        """Return whether new connections get another context; bad files keep the one before.

        A certificate and its key are two files: between the two writes they do not fit, which is
        said, and the second write is seen as a change of its own.
        """
        self._tell_state()
        if not self._watch.changed():
            return False
        try:
            self._load()
        except AfterfitError as error:
            self.problem = error
            self._say({"event": "certificate_not_reloaded", **error.as_dict()})
            return False
        return True

    async def adopt(
        self, factory: Callable[[], asyncio.BaseProtocol], client: socket.socket
    ) -> bool:
        """Return whether the accepted socket became a connection of a protocol from ``factory``.

        ``connection_made`` is called once the handshake is done. A socket whose handshake fails,
        takes too long or is one too many is closed, and its protocol never hears of it.
        """
        if self.handshaking >= self.settings.handshakes:
            self.failures["TOO_MANY"] += 1
            client.close()
            return False
        self.handshaking += 1
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                factory,
                client,
                ssl=self.context,
                ssl_handshake_timeout=self.settings.handshake_seconds,
            )
        except OSError as error:
            # ssl.SSLError and the time-out are OSErrors; strangers cause them, so they are counted
            # and not logged.
            self.failures[getattr(error, "reason", None) or type(error).__name__] += 1
            client.close()
            return False
        finally:
            self.handshaking -= 1
        return True

    def _load(self) -> None:
        self.context, self.validity, warnings = make_context(self.settings)
        self.problem = None
        until = self.validity.ends.isoformat()
        line = {"event": "certificate_loaded", "file": self.settings.cert, "until": until}
        self._say({**line, "warnings": warnings} if warnings else line)
        self._told = ""
        self._tell_state()

    def _tell_state(self) -> None:
        """Warn once when the certificate comes near its end, and once when it is over."""
        state = self.validity.state(datetime.now(UTC))
        if state not in {"valid", self._told}:
            until = self.validity.ends.isoformat()
            line = {"event": "certificate", "state": state, "until": until}
            self._say({**line, "warning": f"the certificate is {state}"})
        self._told = state


def make_context(settings: TlsSettings) -> tuple[ssl.SSLContext, Validity, list[str]]:
    """Return the context, from when to when its certificate is valid, and warnings.

    TLS 1.2 and 1.3, HTTP/1.1 by ALPN, no renegotiation. Raises NotFoundError, ForbiddenError,
    ResourceError for a file, InputError for what is in it.
    """
    cert, key = Path(settings.cert), Path(settings.key or settings.cert)
    validity = _check_certificate(cert)
    warnings = _check_key(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise _cannot_load(cert, key, error) from None
    if settings.client_ca:
        _trust_clients_of(context, Path(settings.client_ca))
    return context, validity, warnings


def _check_certificate(path: Path) -> Validity:
    found = certificates(_read(path, "certificate"))
    if not found:
        raise InputError(
            "there is no certificate in the file",
            where=str(path),
            why="a PEM file has a line -----BEGIN CERTIFICATE-----",
            fix=f"if it is DER: openssl x509 -inform der -in '{path}' -out server.pem",
        )
    try:
        return validity_of(found[0])
    except ValueError as error:
        raise InputError(
            "the certificate cannot be read",
            where=str(path),
            why=str(error),
            fix=f"openssl x509 -in '{path}' -noout -text shows what is wrong",
        ) from None


def _check_key(path: Path) -> list[str]:
    """Return a warning where others can read the key; raises for what is no key to use."""
    data = _read(path, "key")
    if b"PRIVATE KEY-----" not in data:
        raise InputError(
            "there is no private key in the file",
            where=str(path),
            why="a PEM file has a line -----BEGIN PRIVATE KEY-----",
            fix="give the key's file with --tls-key",
        )
    if b"BEGIN ENCRYPTED" in data or b"Proc-Type: 4,ENCRYPTED" in data:
        raise InputError(
            "the private key is encrypted",
            where=str(path),
            why="a server that restarts by itself has nobody to ask for the passphrase",
            fix=f"(umask 077; openssl pkey -in '{path}' -out server.key)",
        )
    if os.name != "posix":
        return []
    mode = stat.S_IMODE(path.stat().st_mode)
    others = mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP)
    return [f"others can use the key {path} (mode {mode:04o}): chmod 600"] if others else []


def _trust_clients_of(context: ssl.SSLContext, path: Path) -> None:
    """Ask every client for a certificate that the CA in the file has signed."""
    _read(path, "client CA")
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise InputError(
            "there is no certificate of a client CA in the file",
            where=str(path),
            why=error.reason or str(error),
            fix=f"openssl x509 -in '{path}' -noout -text shows what is wrong",
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal and wait.
    raise ValueError("the private key is encrypted")


def _cannot_load(cert: Path, key: Path, error: Exception) -> InputError:
    reason = getattr(error, "reason", None) or str(error)
    if reason == "KEY_VALUES_MISMATCH":
        return InputError(
            "the private key does not belong to the certificate",
            where=f"{key}, {cert}",
            why="they hold different public keys (the server's certificate comes first in a chain)",
            fix=f"compare: openssl x509 -in '{cert}' -noout -pubkey; "
            f"openssl pkey -in '{key}' -pubout",
        )
    return InputError(
        "the certificate and its key cannot be loaded",
        where=f"{cert}, {key}",
        why=reason,
        fix=f"openssl x509 -in '{cert}' -noout -text; openssl pkey -in '{key}' -noout -check",
    )


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"the file of the {what} is not there",
            where=str(path),
            why=str(error.strerror),
            fix="look at the path",
        ) from None
    except PermissionError as error:
        raise ForbiddenError(
            f"the file of the {what} is not to be read",
            where=str(path),
            why=str(error.strerror),
            fix=f"give it to the user that runs the server: ls -l '{path}'",
        ) from None
    except OSError as error:
        raise ResourceError(
            f"the file of the {what} cannot be read",
            where=str(path),
            why=str(error),
            fix="look at the owner and the mode of the file",
        ) from None
