"""Where a shared workspace is: a URL, or a ``workspace.toml`` that holds it.

::

    postgresql://ana@db.example/team?blobs=s3://bucket/afterfit

    # workspace.toml
    database = "postgresql://ana@db.example/team"
    blobs = "s3://bucket/afterfit"
    cache = "/var/cache/afterfit"      # optional
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from urllib.parse import unquote

import msgspec

from afterfit.errors import ConfigError, NotFoundError, first_line
from afterfit.store.files import os_errors, read_bytes, write_bytes
from afterfit.store.remote.secret import redacted, without_secrets

__all__ = ["POINTER", "SharedPlace", "is_url", "place_of"]

POINTER = "workspace.toml"
_DATABASES = ("postgresql://", "postgres://")


class SharedPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The database of pointers and log, the URL of blobs and records, and the folder of copies.

    Without ``cache`` that is a folder of the user's own, one for each workspace.
    """

    database: str
    blobs: str
    cache: str = ""

    @property
    def folder(self) -> Path:
        """The folder on this machine for copies, checkouts, events and pages."""
        if self.cache:
            return Path(self.cache).expanduser()
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        told = f"{without_secrets(self.database)} {without_secrets(self.blobs)}"
        name = hashlib.sha256(told.encode()).hexdigest()[:16]
        return Path(base) / "afterfit" / "workspaces" / name

    def __str__(self) -> str:
        """Return the database without its password."""
        return redacted(self.database)

    def point(self) -> None:
        """Write ``workspace.toml`` into the folder, so that the folder alone leads here too."""
        secret_free = {
            "database": without_secrets(self.database),
            "blobs": without_secrets(self.blobs),
        }
        lines = [f"{key} = {_quoted(value)}\n" for key, value in secret_free.items()]
        text = "".join([*lines, f"cache = {_quoted(str(self.folder.resolve()))}\n"]).encode()
        path = self.folder / POINTER
        with os_errors(self.folder, "create"):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.is_file() or read_bytes(path) != text:
            write_bytes(path, text)


def is_url(place: str) -> bool:
    """Return whether a workspace is told by a URL."""
    return "://" in place


def place_of(place: str | Path) -> SharedPlace | None:
    """Return the shared workspace that is told, None for a local folder.

    Raises ConfigError for a URL or a ``workspace.toml`` that lacks something.
    """
    text = str(place)
    if is_url(text):
        return _of_url(text)
    path = Path(text)
    if path.suffix == ".toml":
        if not path.is_file():
            raise NotFoundError(
                "no such file", where=text, fix=f"write {POINTER}, or give a folder or a URL"
            )
        return _of_file(path)
    pointer = path / POINTER
    return _of_file(pointer) if pointer.is_file() else None


def _of_url(url: str) -> SharedPlace:
    address, _, query = url.partition("?")
    parts = [part.partition("=") for part in query.split("&") if part]
    ours = {key: unquote(value) for key, _, value in parts if key in {"blobs", "cache"}}
    rest = "&".join(f"{key}={value}" for key, _, value in parts if key not in ours)
    if not address.startswith(_DATABASES) or not ours.get("blobs"):
        raise ConfigError(
            "not the URL of a shared workspace",
            where=redacted(url),
            why="it names a database of PostgreSQL, and with ?blobs= a place for bytes",
            fix="write, for example: postgresql://ana@db.example/team?blobs=s3://bucket/afterfit",
        )
    return SharedPlace(database=f"{address}?{rest}" if rest else address, **ours)


def _of_file(path: Path) -> SharedPlace:
    try:
        table = tomllib.loads(read_bytes(path).decode())
        found = msgspec.convert(table, SharedPlace)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"{path.name} does not say where the workspace is",
            where=str(path),
            why=redacted(first_line(error)),
            fix='write database = "postgresql://…" and blobs = "s3://bucket/prefix"',
        ) from None
    if not found.database.startswith(_DATABASES):
        raise ConfigError(
            "the database of a shared workspace is one of PostgreSQL",
            where=str(path),
            why=redacted(found.database),
            fix='write, for example: database = "postgresql://ana@db.example/team"',
        )
    return found


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
