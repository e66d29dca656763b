"""One folder of an object store through fsspec: S3, Google Cloud, Azure, or a mounted drive.

An object appears whole or not at all: stores of objects promise it, and everywhere else the bytes
go to a name that nothing reads, which is then renamed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from afterfit.core.digest import CHUNK_BYTES
from afterfit.errors import (
    AfterfitError,
    ConfigError,
    DependencyError,
    ForbiddenError,
    NotFoundError,
    ResourceError,
    UnavailableError,
    first_line,
)
from afterfit.store.files import TEMPORARY, os_errors, replacing
from afterfit.store.remote.secret import redacted

__all__ = ["Objects", "StoredObject"]

_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
_ONE_READ_BYTES = 8 << 20
_REFUSED = {"NoCredentialsError", "PartialCredentialsError", "ClientAuthenticationError"}
_FULL = {"ENOSPC", "EDQUOT"}


class StoredObject(NamedTuple):
    """An object: its key, its bytes, and when it was put (s since 1970), None where not told."""

    key: str
    size: int
    put_at: float | None


class Objects:
    """The objects below ``url``, such as ``s3://bucket/team``; a key is ``blobs/ab/abc…``.

    Credentials come from the environment, as the store's own package reads them. Raises
    DependencyError, or ConfigError for a URL that fsspec does not know.
    """

    def __init__(self, url: str) -> None:
        self.where = redacted(url).rstrip("/")
        self.scheme = url.partition("://")[0] if "://" in url else "file"
        self._files, root = _opened(url, self.scheme)
        self._root = root.rstrip("/")

    def size(self, key: str) -> int | None:
        """Return the bytes of an object, None where it is not there."""
        info = self._info(key)
        return None if info is None else int(info.get("size") or 0)

    def holds(self, key: str, path: Path, digest: str) -> bool:
        """Return whether the object has the size and the bytes of the file, whose SHA-256 is given.

        S3 tells the MD5 of what was put at once; anything else is read back and hashed.
        """
        info = self._info(key)
        if info is None or int(info.get("size") or 0) != path.stat().st_size:
            return False
        tag = str(info.get("ETag", "")).strip('"')
        if tag and tag == _md5(path):
            return True
        return self.sha256(key) == digest

    def put(self, key: str, path: Path) -> None:
        """Put a file; raises ForbiddenError, ResourceError, UnavailableError."""
        target = f"{self._root}/{key}"
        if self.scheme in {"file", "local"}:
            with path.open("rb") as source, replacing(Path(target), mode=0o444) as stream:
                while chunk := source.read(CHUNK_BYTES):
                    stream.write(chunk)
            return
        with self._errors("write", key):
            if self.scheme in _STORES:
                self._files.put_file(str(path), target)
                return
            folder = target.rpartition("/")[0]
            self._files.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/{TEMPORARY}{secrets.token_hex(8)}"
            try:
                self._files.put_file(str(path), temporary)
                self._files.mv(temporary, target)
            except BaseException:
                with suppress(Exception):
                    self._files.rm_file(temporary)
                raise

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object; raises NotFoundError, UnavailableError and others."""
        target = f"{self._root}/{key}"
        with self._errors("read", key):
            if int(self._files.info(target).get("size") or 0) <= _ONE_READ_BYTES:
                yield self._files.cat_file(target)
                return
            with self._files.open(target, "rb") as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk

    def sha256(self, key: str) -> str:
        """Return the SHA-256 of an object after reading all of it."""
        hasher = hashlib.sha256()
        for chunk in self.chunks(key):
            hasher.update(chunk)
        return hasher.hexdigest()

    def listed(self, folder: str) -> list[StoredObject]:
        """Return every object at any depth below a folder, sorted by key."""
        with self._errors("list", folder):
            try:
                found = self._files.find(f"{self._root}/{folder}", detail=True)
            except FileNotFoundError:
                return []
        infos = ((str(name).removeprefix(f"{self._root}/"), info) for name, info in found.items())
        return sorted(
            StoredObject(key, int(info.get("size") or 0), _put_at(info))
            for key, info in infos
            if not key.rpartition("/")[2].startswith(TEMPORARY)
        )

    def remove(self, key: str) -> None:
        """Remove an object; one that is gone is no error."""
        with self._errors("remove", key), suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{key}")

    def names(self, folder: str) -> list[str]:
        """Return the keys of the objects directly below a folder, sorted."""
        with self._errors("list", folder):
            try:
                found = self._files.ls(f"{self._root}/{folder}", detail=True, refresh=True)
            except FileNotFoundError:
                return []
        names = (str(each["name"]).rpartition("/")[2] for each in found if each["type"] == "file")
        return sorted(name for name in names if name and not name.startswith(TEMPORARY))

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders directly below a folder, sorted."""
        with self._errors("list", folder):
            try:
                found = self._files.ls(f"{self._root}/{folder}", detail=True, refresh=True)
            except FileNotFoundError:
                return []
        names = (str(e["name"]).rstrip("/").rpartition("/")[2] for e in found)
        return sorted(
            name for name, e in zip(names, found, strict=True) if e["type"] == "directory"
        )

    def _info(self, key: str) -> dict[str, Any] | None:
        with self._errors("look at", key):
            try:
                info: dict[str, Any] = self._files.info(f"{self._root}/{key}")
            except FileNotFoundError:
                return None
        return info if info.get("type") == "file" else None

    @contextmanager
    def _errors(self, doing: str, key: str) -> Iterator[None]:
        try:
            yield
        except AfterfitError:
            raise
        except Exception as error:  # noqa: BLE001 - each store has errors of its own
            raise self._told(error, doing, key) from None

    def _told(self, error: Exception, doing: str, key: str) -> AfterfitError:
        where, why = f"{self.where}/{key}", redacted(f"{type(error).__name__}: {first_line(error)}")
        if isinstance(error, FileNotFoundError):
            return NotFoundError(
                "the object is not in the shared store", where=where, why=why,
                fix="run the step that made it again, with --fresh",
            )  # fmt: skip
        if isinstance(error, PermissionError) or type(error).__name__ in _REFUSED:
            return ForbiddenError(
                f"the shared store does not let you {doing} it", where=where, why=why,
                fix="look at the credentials and at what they may do there "
                "(for S3: aws sts get-caller-identity)",
            )  # fmt: skip
        if isinstance(error, OSError) and _code(error) in _FULL:
            return ResourceError(
                "the disk is full", where=where, why=why,
                fix="free some space there and run the same command again",
            )  # fmt: skip
        return UnavailableError(
            f"the shared store does not answer: cannot {doing} it", where=where, why=why,
            fix="look at the network and at the store, then run the same command again: what is "
            "there already is not sent again",
        )  # fmt: skip


def _put_at(info: dict[str, Any]) -> float | None:
    """Return when an object was put, as each store tells it; None where it does not."""
    told = next((info[name] for name in _TIMES if info.get(name) is not None), None)
    if isinstance(told, str):
        with suppress(ValueError):
            told = datetime.fromisoformat(told)
    if isinstance(told, datetime):
        return told.timestamp()
    return float(told) if isinstance(told, int | float) else None


def _code(error: OSError) -> str:
    import errno

    return errno.errorcode.get(error.errno or 0, "")


def _md5(path: Path) -> str:
    with os_errors(path, "read"), path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _opened(url: str, scheme: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise DependencyError(
            "a shared workspace needs the package fsspec",
            why=str(error),
            fix="pip install 'afterfit[objectstore]'",
        ) from None
    try:
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        raise DependencyError(
            f"blobs in {scheme}:// need one more package",
            why=str(error),
            fix=f"pip install {package}" if package else "pip install 'afterfit[objectstore]'",
        ) from None
    except Exception as error:  # noqa: BLE001 - each store has errors of its own
        raise ConfigError(
            "blobs cannot be kept there",
            where=redacted(url),
            why=redacted(f"{type(error).__name__}: {first_line(error)}"),
            fix="give a URL such as s3://bucket/prefix",
        ) from None
    return files, str(root)
