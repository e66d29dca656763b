"""Who may do what: API keys checked on each request, read anew when their file changes.

    ring = KeyRing(Path("keys.json"), share=1 / workers)
    answer = ring.authorize(credentials(request.headers), "predict", "churn", time.time())
    if isinstance(answer, Refusal):
        return json_response(answer.status, {"error": answer.message}, answer.headers)
    ...
    answer.charge(row_count, time.time())   # once the rows are counted

``reload_if_changed`` goes on a timer of about a second. Secrets are neither logged nor written.
The header bytes of keys that were found right stay in memory until the next reload, so that a
client's second request costs a look-up in place of an HMAC. That look-up compares in no constant
time, which tells nothing: it compares bytes only where Python's keyed 64-bit hashes agree.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from afterfit.errors import AfterfitError
from afterfit.runtime.key_file import Key, KeyFile, Role, hash_key, read_key_file
from afterfit.runtime.limit import Bucket
from afterfit.runtime.log import log_line
from afterfit.runtime.watch import FileWatch

__all__ = ["Grant", "KeyRing", "Refusal", "credentials"]

MAX_VERIFIED = 4096
MAX_HEADER_BYTES = 256
_BEARER = b"bearer "
_NOBODY = bytes(32)


class Refusal(NamedTuple):
    """Why a request is not let in: 401, 403 or 429, with what the client may be told."""

    status: int
    message: str
    retry_after_s: float = 0.0

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """``www-authenticate`` of a 401, ``retry-after`` (whole seconds) of a 429."""
        if self.status == 401:
            return (("www-authenticate", 'Bearer realm="afterfit"'),)
        if self.status == 429:
            return (("retry-after", str(max(1, math.ceil(self.retry_after_s)))),)
        return ()


class Grant:
    """A key that was found right: its ``id`` and ``name`` for events and logs.

    One object for each key, shared by its requests; ``scope`` maps a role to the models it holds
    for (empty: all).
    """

    __slots__ = (
        "expires",
        "id",
        "limited",
        "limits",
        "name",
        "requests",
        "revoked",
        "rows",
        "scope",
    )

    def __init__(self, key: Key, share: float) -> None:
        self.id = key.id
        self.name = key.name
        self.limits = key.limits
        self.expires = math.inf if key.expires is None else key.expires.timestamp()
        self.revoked = key.revoked is not None
        self.scope: dict[str, frozenset[str]] = {
            role: _models(key.models, role) for role in key.roles
        }
        self.requests = _bucket(key.limits.rate, key.limits.burst, share)
        self.rows = _bucket(key.limits.rows_rate, key.limits.rows_burst, share)
        self.limited = self.requests is not None or self.rows is not None

    def take(self, now: float) -> Refusal | None:
        """Take one request from the key's limits, or return the 429; a refusal takes nothing."""
        if self.rows is not None and (seconds := self.rows.wait(now)):
            return Refusal(429, _too_many(self, self.limits.rows_rate, "rows"), seconds)
        if self.requests is not None and (seconds := self.requests.take(now)):
            return Refusal(429, _too_many(self, self.limits.rate, "requests"), seconds)
        return None

    def charge(self, rows: int, now: float) -> None:
        """Take the rows of an admitted request from the key's rows/s; the next ones wait for it."""
        if self.rows is not None:
            self.rows.spend(rows, now)

    def keep_buckets_of(self, before: Grant) -> None:
        """Go on with what is left of the limits, where they have not changed."""
        if before.limits == self.limits:
            self.requests, self.rows = before.requests, before.rows


class KeyRing:
    """The keys of one file; made once a worker.

    With N workers give ``share`` = 1/N: each worker lets in its part of a key's rate and burst
    (a burst of at least 1), so that all together keep the limit. A client whose connections all
    lie on one worker meets that worker's part first.

    Raises what ``read_key_file`` raises; ``say`` takes one line for the log.
    """

    def __init__(
        self,
        path: Path,
        *,
        share: float = 1.0,
        say: Callable[[dict[str, Any]], None] = log_line,
    ) -> None:
        self.path = path
        self.problem: AfterfitError | None = None
        self._share = share
        self._say = say
        self._watch = FileWatch((path,))
        self._watch.changed()
        self._pepper = _NOBODY
        self._grants: dict[bytes, tuple[Grant, bytes]] = {}
        self._verified: dict[bytes, Grant] = {}
        self._load()

    def authorize(self, header: bytes, role: Role, model: str, now: float) -> Grant | Refusal:
        """Return the key's grant, or why the request is refused.

        ``header`` is ``Bearer KEY`` or ``KEY``; see ``credentials``. ``model`` is the name that
        the request is about, or empty for one about no model: a key limited to models is let in
        there too, except as admin, because such an order concerns every model. ``now`` is in Unix
        seconds (``time.time()``). An admitted request has taken its token.
        """
        grant = self._verified.get(header)
        if grant is None:
            known = self._verify(header, now)
            if isinstance(known, Refusal):
                return known
            grant = known
        if now >= grant.expires:
            return Refusal(401, f"the key {grant.id} has expired")
        models = grant.scope.get(role)
        if models is None:
            return Refusal(403, f"the key {grant.id} has not the role {role}")
        if models and model not in models:
            return _wrong_model(grant, model)
        if grant.limited and (refusal := grant.take(now)):
            return refusal
        return grant

    def reload_if_changed(self) -> bool:
        """Return whether other keys hold now; a file that cannot be used keeps the old ones.

        It costs one ``stat``. May run in a thread beside ``authorize``.
        """
        if not self._watch.changed():
            return False
        try:
            self._load()
        except AfterfitError as error:
            self.problem = error
            line = {"event": "keys_not_reloaded", "kept": len(self._grants), **error.as_dict()}
            self._say(line)
            return False
        return True

    def _load(self) -> None:
        file, warnings = read_key_file(self.path)
        grants: dict[bytes, tuple[Grant, bytes]] = {}
        for key in file.keys:
            grant = Grant(key, self._share)
            identity = key.id.encode()
            if identity in self._grants:
                grant.keep_buckets_of(self._grants[identity][0])
            grants[identity] = (grant, key.hash)
        # In this order: a request that verifies meanwhile, in another thread, leaves what it found
        # by the old keys in the old dictionary.
        self._pepper, self._grants = file.pepper, grants
        self._verified = {}
        self.problem = None
        self._say(_loaded(self.path, file, warnings))

    def _verify(self, header: bytes, now: float) -> Grant | Refusal:
        """Return the grant of a header that was not seen yet, and remember it."""
        if not header:
            return Refusal(401, "a key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")
        verified, grants, pepper = self._verified, self._grants, self._pepper
        text = header[len(_BEARER) :] if header[: len(_BEARER)].lower() == _BEARER else header
        parts = text.strip().split(b"_", 2)
        if len(header) > MAX_HEADER_BYTES or len(parts) != 3:
            return Refusal(401, "not a key of this server: it begins with af_")
        grant, expected = grants.get(parts[1], (None, _NOBODY))
        # Hashed for an unknown id too: how long it takes tells nothing about which ids there are.
        right = hmac.compare_digest(hash_key(pepper, text.strip()), expected)
        if grant is None or not right:
            return Refusal(401, "the key is not known")
        if grant.revoked:
            return Refusal(401, f"the key {grant.id} was revoked")
        if now < grant.expires:
            if len(verified) >= MAX_VERIFIED:
                verified.clear()
            verified[header] = grant
        return grant


def credentials(headers: Mapping[bytes, bytes]) -> bytes:
    """Return what the client showed: ``X-API-Key``, else ``Authorization``; names in lower case.

    A gateway may put a token of its own into Authorization, so the other header comes first.
    """
    return headers.get(b"x-api-key") or headers.get(b"authorization", b"")


def _models(models: tuple[str, ...], role: str) -> frozenset[str]:
    if not models or role == "admin":
        return frozenset(models)
    return frozenset((*models, ""))


def _bucket(rate: float | None, burst: float | None, share: float) -> Bucket | None:
    if rate is None:
        return None
    return Bucket(rate * share, (burst or rate) * share)


def _wrong_model(grant: Grant, model: str) -> Refusal:
    if not model:
        return Refusal(403, f"the key {grant.id} is for some models, and this concerns all")
    return Refusal(403, f"the key {grant.id} is not for the model {model[:128]!r}")


def _too_many(grant: Grant, rate: float | None, unit: str) -> str:
    return f"the key {grant.id} has used up its {rate:g} {unit}/s"


def _loaded(path: Path, file: KeyFile, warnings: tuple[str, ...]) -> dict[str, Any]:
    now = datetime.now(UTC)
    states = [key.state(now) for key in file.keys]
    counts = {state: states.count(state) for state in ("active", "expired", "revoked")}
    line: dict[str, Any] = {"event": "keys_loaded", "file": str(path), **counts}
    return {**line, "warnings": list(warnings)} if warnings else line
