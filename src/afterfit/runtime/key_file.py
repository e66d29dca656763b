"""The file of API keys: what stands in it, and how a key is made, hashed and revoked.

A key is ``af_ID_SECRET`` with 256 random bits of secret. The file keeps the HMAC-SHA256 of the
whole text under a random pepper of 32 bytes that stands in the same file (mode 0600). A password
hash would add nothing: nobody guesses 256 random bits, however fast each guess is.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec

from afterfit.errors import (
    AfterfitError,
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ResourceError,
    UsageError,
)

__all__ = [
    "ROLES",
    "Key",
    "KeyFile",
    "KeyLimits",
    "NewKey",
    "Role",
    "add_key",
    "encode_key_file",
    "find_key",
    "hash_key",
    "new_key_file",
    "read_key_file",
    "revoke_key",
]

PREFIX = "af"
Role = Literal["predict", "label", "admin", "view"]
ROLES: tuple[Role, ...] = get_args(Role)

_NAME = re.compile(r"[\w.@:+-][\w .@:+-]{0,63}")
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class KeyLimits(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What one key may take: requests and rows a second, and how many of each at once.

    None is no limit. A burst that is not given is one second's worth.
    """

    rate: _Positive | None = None
    burst: _Positive | None = None
    rows_rate: _Positive | None = None
    rows_burst: _Positive | None = None


class Key(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One key without its secret; ``models`` empty is every model."""

    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$")]
    name: str
    hash: _Digest
    roles: Annotated[tuple[Role, ...], msgspec.Meta(min_length=1)]
    created: _Moment
    models: tuple[str, ...] = ()
    limits: KeyLimits = KeyLimits()
    expires: _Moment | None = None
    revoked: _Moment | None = None

    def state(self, now: datetime) -> str:
        """Return ``active``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        expired = self.expires is not None and self.expires <= now
        return "expired" if expired else "active"


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: Literal[1] = 1
    pepper: _Digest
    keys: tuple[Key, ...] = ()


class NewKey(NamedTuple):
    """A file with a key more, that key, and its text: the only place where the secret is."""

    file: KeyFile
    key: Key
    text: str


_decoder = msgspec.json.Decoder(KeyFile)


def new_key_file() -> KeyFile:
    """Return a file without keys, with a pepper of its own."""
    return KeyFile(pepper=secrets.token_bytes(32))


def add_key(
    file: KeyFile,
    name: str,
    roles: Iterable[Role],
    *,
    models: Iterable[str] = (),
    limits: KeyLimits = KeyLimits(),  # noqa: B008 - frozen
    expires: datetime | None = None,
) -> NewKey:
    """Return the file with a new random key; raises UsageError, or ConflictError for the name."""
    asked_roles, asked_models = tuple(dict.fromkeys(roles)), tuple(dict.fromkeys(models))
    created = datetime.now(UTC).replace(microsecond=0)
    _check_asked(name, asked_roles, asked_models, limits)
    if any(key.name == name and key.state(created) == "active" for key in file.keys):
        raise ConflictError(
            f"there is a key named {name!r} already",
            why="names tell keys apart",
            fix="give another name, or revoke that key first",
        )
    identity = secrets.token_hex(6)
    text = f"{PREFIX}_{identity}_{secrets.token_urlsafe(32)}"
    key = Key(
        id=identity,
        name=name,
        hash=hash_key(file.pepper, text.encode()),
        roles=asked_roles,
        created=created,
        models=asked_models,
        limits=limits,
        expires=expires,
    )
    return NewKey(msgspec.structs.replace(file, keys=(*file.keys, key)), key, text)


def revoke_key(file: KeyFile, ref: str) -> tuple[KeyFile, Key]:
    """Return the file in which the key is revoked, and the key; twice is no error.

    ``ref`` is an id, a name or a whole key. Raises NotFoundError or UsageError.
    """
    found = find_key(file, ref)
    now = datetime.now(UTC).replace(microsecond=0)
    revoked = msgspec.structs.replace(found, revoked=found.revoked or now)
    keys = tuple(revoked if key is found else key for key in file.keys)
    return msgspec.structs.replace(file, keys=keys), revoked


def find_key(file: KeyFile, ref: str) -> Key:
    """Return the key with that id or name, an unrevoked one first; raises as ``revoke_key``."""
    prefix, _, rest = ref.partition("_")
    identity, separator, _ = rest.partition("_")
    # Whoever found a leaked key has its text; the secret in it is not repeated anywhere.
    wanted = identity if prefix == PREFIX and separator else ref
    found = [key for key in file.keys if wanted in {key.id, key.name}]
    found = [key for key in found if key.revoked is None] or found[-1:]
    if not found:
        raise NotFoundError(f"there is no key {wanted[:80]!r}", fix="afterfit key list")
    if len(found) > 1:
        ids = ", ".join(key.id for key in found)
        raise UsageError(f"{wanted!r} is several keys: {ids}", fix="give the id")
    return found[0]


def hash_key(pepper: bytes, text: bytes) -> bytes:
    """Return the keyed hash of a key's whole text, so that it holds for that id alone."""
    return hmac.digest(pepper, text, "sha256")


def encode_key_file(file: KeyFile) -> bytes:
    """Return the bytes of the file, as people can read it."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def read_key_file(path: Path) -> tuple[KeyFile, tuple[str, ...]]:
    """Return the file and what is doubtful about it.

    Raises NotFoundError, ForbiddenError (also where others could write keys of their own),
    InputError or ResourceError.
    """
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read()
    except OSError as error:
        raise _cannot_read(path, error) from None
    warnings = _check_mode(path, mode) if os.name == "posix" else ()
    try:
        file = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            "not a file of API keys",
            where=str(path),
            why=str(error),
            fix="restore it from a copy, or delete it and make new keys: afterfit key create",
        ) from None
    ids = [key.id for key in file.keys]
    if len(set(ids)) < len(ids):
        raise InputError("two keys have one id", where=f"{path} $.keys", fix="remove one of them")
    return file, warnings


def _check_asked(
    name: str, roles: tuple[Role, ...], models: tuple[str, ...], limits: KeyLimits
) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            "a key's name has 1 to 64 letters, digits, spaces or any of . _ @ : + -",
            where="NAME",
            fix="afterfit key create NAME --role predict",
        )
    if not roles or set(roles) - set(ROLES):
        raise UsageError("a key needs a role", where="--role", fix=f"one of {', '.join(ROLES)}")
    if any(not model or "/" in model or len(model) > 128 for model in models):
        raise UsageError(
            "a model name has 1 to 128 characters and no '/'",
            where="--model",
            fix="name a model that is served: --model churn",
        )
    if limits.burst and not limits.rate:
        raise UsageError("a burst goes with a rate", where="--burst", fix="give --rate as well")
    if limits.rows_burst and not limits.rows_rate:
        raise UsageError(
            "a burst goes with a rate", where="--rows-burst", fix="give --rows-rate as well"
        )


def _check_mode(path: Path, mode: int) -> tuple[str, ...]:
    """Return a warning where anyone can read the file; raises where others can write it.

    A group may read it: so do the pods that get it as a mounted secret.
    """
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ForbiddenError(
            "others can write the file of API keys",
            where=str(path),
            why=f"its mode is {stat.S_IMODE(mode):04o}: whoever writes it can let anyone in",
            fix=f"chmod 600 '{path}'",
        )
    if mode & stat.S_IROTH:
        return (f"{path} can be read by anyone (mode {stat.S_IMODE(mode):04o}): chmod 600",)
    return ()


def _cannot_read(path: Path, error: OSError) -> AfterfitError:
    where, why = str(path), str(error.strerror or error)
    if isinstance(error, FileNotFoundError):
        fix = f"afterfit key create NAME --role predict --file '{path}'"
        return NotFoundError("there is no file of API keys", where=where, why=why, fix=fix)
    if isinstance(error, PermissionError):
        fix = f"give it to the user that runs the server: ls -l '{path}'"
        return ForbiddenError(
            "the file of API keys is not to be read", where=where, why=why, fix=fix
        )
    return ResourceError(
        "the file of API keys cannot be read",
        where=where,
        why=why,
        fix="look at the owner and the mode of the file",
    )
