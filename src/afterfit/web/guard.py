"""Who gets to the pages: the right host, the right method, and a key where others can come.

A page of another site can make a browser ask this server (DNS rebinding); what gives it away is
the host that it asks for. So a name must be this machine's or one that somebody told; an address
of digits cannot be rebound. Keys are asked on every request, so that a revoked one ends its
sessions; a session's cookie is random, and goes with no request that another site makes.

Sources: RFC 9110 section 7.2 (host), RFC 6265bis section 5.6.7 (SameSite), https://www.w3.org/TR/CSP3/
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import urlsplit

from afterfit.core.digest import sha256_bytes
from afterfit.runtime.key_file import Role
from afterfit.runtime.keys import KeyRing, Refusal, credentials

__all__ = ["HEADERS", "Door", "Hosts", "Person", "safe_path", "same_origin"]

COOKIE = "afterfit_session"
SESSION_S = 12 * 3600.0
MOST_SESSIONS = 1000
RELOAD_S = 1.0
ROLE: Role = "view"
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "data:",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
HEADERS: tuple[tuple[str, str], ...] = (
    ("content-security-policy", "; ".join(f"{key} {value}" for key, value in _POLICY.items())),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
)


@dataclass(frozen=True)
class Hosts:
    """Which hosts may be asked for: names that were told, and what ``bound`` itself is.

    Bound to this machine alone, addresses of this machine; else every address of digits.
    """

    bound: str
    names: frozenset[str] = frozenset()

    @property
    def local(self) -> bool:
        """Whether nobody but this machine can come."""
        return _is_local(self.bound)

    def allow(self, header: str) -> bool:
        """Return whether a ``Host`` header names this server."""
        try:
            name = (urlsplit(f"//{header}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if not name or "@" in header or "/" in header:
            return False
        if name == "localhost" or name in self.names or name == self.bound.lower():
            return True
        try:
            asked = ipaddress.ip_address(name)
        except ValueError:
            return False
        return asked.is_loopback or not self.local


class Person(NamedTuple):
    """Who asks: the name of the key, empty where none is needed."""

    name: str = ""


class Door:
    """The keys and the sessions of people who showed one; without a ring everybody may come in."""

    def __init__(
        self,
        ring: KeyRing | None = None,
        *,
        secure: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ring = ring
        self.secure = secure
        self._clock = clock
        self._looked = 0.0
        self._sessions: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    @property
    def cookie(self) -> str:
        """The name of the cookie; over TLS browsers hold it to this host."""
        return f"__Host-{COOKIE}" if self.secure else COOKIE

    def enter(self, headers: dict[bytes, bytes]) -> Person | Refusal:
        """Return who asks, by the key of a header or by a session, or why not."""
        if self.ring is None:
            return Person()
        return self._known(credentials(headers) or self._session(headers))

    def open(self, key: str) -> tuple[Person, str] | Refusal:
        """Return who showed a key, and the cookie of a new session."""
        header = b"Bearer " + key.strip().encode("utf-8", "replace")
        found = self._known(header)
        if isinstance(found, Refusal):
            return found
        token = secrets.token_urlsafe(32)
        self._sessions[_named(token)] = (header, self._clock() + SESSION_S)
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return found, self._set_cookie(token, int(SESSION_S))

    def close(self, headers: dict[bytes, bytes]) -> str:
        """Return the cookie that ends a session, which is forgotten here too."""
        self._sessions.pop(_named(self._token(headers)), None)
        return self._set_cookie("", 0)

    def _known(self, header: bytes) -> Person | Refusal:
        if self.ring is None:
            return Person()
        now = self._clock()
        if now - self._looked > RELOAD_S:
            self._looked = now
            self.ring.reload_if_changed()
        found = self.ring.authorize(header, ROLE, "", now)
        if isinstance(found, Refusal):
            return found
        if found.scope[ROLE]:
            return Refusal(403, f"the key {found.id} is for some models, and the pages show all")
        return Person(found.name)

    def _session(self, headers: dict[bytes, bytes]) -> bytes:
        # The table is looked up by a hash of the cookie, so its timing tells nothing of another's.
        header, ends = self._sessions.get(_named(self._token(headers)), (b"", 0.0))
        return header if self._clock() < ends else b""

    def _token(self, headers: dict[bytes, bytes]) -> str:
        try:
            jar = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            return ""
        return jar[self.cookie].value if self.cookie in jar else ""

    def _set_cookie(self, value: str, seconds: int) -> str:
        rest = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict"
        return f"{self.cookie}={value}; {rest}{'; Secure' if self.secure else ''}"


def same_origin(headers: dict[bytes, bytes]) -> bool:
    """Return whether a form was sent from a page of this server, as far as the browser tells."""
    if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
        return False
    origin = headers.get(b"origin")
    if origin is None:
        return True
    host = urlsplit(origin.decode("latin-1")).netloc
    return host.lower() == headers.get(b"host", b"").decode("latin-1").lower()


def safe_path(text: str) -> str:
    """Return where to go after the way in: a path of this server, else the first page.

    >>> safe_path("//evil.example/"), safe_path("/records?step=assess")
    ('/', '/records?step=assess')
    """
    plain = text.isascii() and text.isprintable() and " " not in text
    inside = text.startswith("/") and not text.startswith(("//", "/\\", "/login", "/logout"))
    return text if plain and inside and "\\" not in text else "/"


def _named(token: str) -> str:
    return sha256_bytes(token.encode("utf-8", "replace"))


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
