"""News of alarms to a URL of one's own, signed, so that the receiver knows who sent them and when.

``webhooks://host/path?secret=env:NAME`` (``webhook://`` without TLS). The body is the evidence as
JSON. The header ``Afterfit-Signature`` is ``v1=`` and the HMAC-SHA256, in hexadecimal, of the
header ``Afterfit-Timestamp`` (seconds since 1970), a full stop and the body; `verify` checks both.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from afterfit.errors import ConfigError
from afterfit.monitor.channels.base import Message, check_status
from afterfit.monitor.channels.post import post

__all__ = ["WINDOW_S", "Webhook", "open_webhook", "signed", "verify"]

WINDOW_S = 300.0
"""Older or later signatures are replays, or from a clock that is wrong."""


def signed(secret: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a body at a time (seconds since 1970)."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1={mac.hexdigest()}"


def verify(
    secret: str, headers: Mapping[str, str], body: bytes, *, now: float, window_s: float = WINDOW_S
) -> bool:
    """Return whether a request is from whoever has the secret, and of the last ``window_s``.

    ``now`` is seconds since 1970. Within the window the same request may come twice: its
    ``Afterfit-Id`` tells.
    """
    told = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = told.get("afterfit-timestamp", ""), told.get("afterfit-signature", "")
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12:
        return False
    fresh = abs(now - int(timestamp)) <= window_s
    right = hmac.compare_digest(
        signed(secret, int(timestamp), body).encode(), signature.encode("utf-8", "replace")
    )
    return fresh and right


class Webhook:
    """Posts to one URL. A redirect is refused: a signature is for one receiver."""

    def __init__(
        self, base: str, path: str, secret: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._base, self._path, self._secret, self._clock = base, path, secret, clock

    def send(self, message: Message) -> str:
        """Return nothing to say; raises Refused or UnavailableError."""
        self.deliver(message.body, f"{message.alarm.id}-{message.event}")
        return ""

    def deliver(self, body: bytes, id_: str) -> None:
        """Post any JSON, signed, under an id; raises Refused or UnavailableError."""
        timestamp = int(self._clock())
        headers = {
            "Afterfit-Id": id_,
            "Afterfit-Timestamp": str(timestamp),
            "Afterfit-Signature": signed(self._secret, timestamp, body),
        }
        check_status(post(self._base, self._path, body, headers), "the webhook")


def open_webhook(address: str) -> Webhook:
    """Return the webhook at an address; raises ConfigError for one without a secret."""
    parts = urlsplit(address)
    query = parse_qs(parts.query)
    secret = query.pop("secret", [""])[0]
    if not secret or not parts.hostname:
        raise ConfigError(
            "a webhook needs a host and a secret to sign with",
            where="alarms.channels",
            fix='write "webhooks://host/path?secret=env:NAME", and set the variable NAME',
        )
    rest = "&".join(p for p in parts.query.split("&") if p and not p.startswith("secret="))
    scheme = "https" if parts.scheme == "webhooks" else "http"
    path = (parts.path or "/") + (f"?{rest}" if rest else "")
    return Webhook(f"{scheme}://{parts.netloc}", path, secret)
