"""Copies the files of a model from where MLflow keeps them, each below one folder.

Paths and sizes come from a server, so they are judged: no path leaves the folder, no link is
followed, a folder of this machine is read for a server of this machine only.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from afterfit.errors import (
    DependencyError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ResourceError,
    UnavailableError,
    first_line,
)
from afterfit.registry.mlflow.client import Client
from afterfit.registry.mlflow.source import Found
from afterfit.store.files import os_errors, replacing

__all__ = ["File", "copy", "proxy_root"]

MOST_FILES = 10_000
MOST_BYTES = 100 << 30
_DEEPEST = 30
_STORES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "wasbs": "adlfs",
    "az": "adlfs",
    "hdfs": "pyarrow",
    "memory": "fsspec",
}
_PROXY_PATH = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass(frozen=True)
class File:
    """A file by its relative path, and its size in bytes where the store tells it."""

    path: str
    size: int | None = None


class Store(Protocol):
    """A place with files."""

    def files(self) -> Iterator[File]:
        """Yield every file below the model's folder."""
        ...

    def read(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Give the bytes of a file in pieces."""
        ...


def copy(client: Client, found: Found, folder: Path) -> list[File]:
    """Return the files of a model after writing each below ``folder``.

    Raises NotFoundError where there are none, InputError for a path that leads out of the folder,
    ResourceError for more than 10,000 files or 100 GB, and the errors of the store.
    """
    store = _store(client, found)
    files = list(_bounded(store.files(), found.identity))
    if not files:
        raise NotFoundError(
            f"{found.identity} has no files in MLflow",
            where=found.artifacts,
            why="they were deleted, or the path below the run is another one",
            fix="look at the artifacts of the run or the version in MLflow",
        )
    written = 0
    for file in files:
        with store.read(file.path) as pieces, replacing(folder / file.path) as target:
            for piece in pieces:
                written += len(piece)
                if written > MOST_BYTES:
                    raise _too_much(found.identity)
                target.write(piece)
    return files


def proxy_root(client: Client, place: str) -> str | None:
    """Return the path that the server's own proxy has for a place; None where it has none."""
    parts = urlsplit(place)
    if parts.scheme == "mlflow-artifacts":
        return unquote(parts.path).strip("/")
    base = client.server.url + _PROXY_PATH
    return unquote(place.removeprefix(base)).strip("/") if place.startswith(base) else None


def _store(client: Client, found: Found) -> Store:
    place, parts = found.artifacts, urlsplit(found.artifacts)
    root = proxy_root(client, place)
    if root is not None:
        return _Proxy(client, _joined(root, found.path))
    if client.server.kind == "databricks" and found.name and parts.scheme in {"dbfs", ""}:
        return _Databricks(client, found)
    if parts.scheme in {"", "file"}:
        return _Local(_local_root(client, place, parts.path) / found.path)
    if parts.scheme in _STORES:
        return _ObjectStore(_joined(place, found.path), parts.scheme)
    raise InputError(
        f"files at {parts.scheme}:// cannot be read here",
        where=place,
        why="known are the server's own proxy, folders, "
        f"and {', '.join(f'{name}://' for name in sorted(_STORES) if name != 'memory')}",
        fix=f"mlflow artifacts download --artifact-uri {found.identity}, and ship the file",
    )


def _joined(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}".strip("/") if path else root


def _bounded(files: Iterator[File], what: str) -> Iterator[File]:
    total = 0
    for count, file in enumerate(files, 1):
        total += file.size or 0
        if count > MOST_FILES or total > MOST_BYTES:
            raise _too_much(what)
        yield File(_safe(file.path, what), file.size)


def _safe(path: str, what: str) -> str:
    parts = PurePosixPath(path).parts
    bad = not parts or path.startswith("/") or ".." in parts or re.search(r"[\\:\0-\x1f]", path)
    if bad or any(len(part.encode()) > 255 for part in parts):
        raise InputError(
            f"the server names a file that no model may have: {path[:200]!r}",
            where=what,
            why="a file of a model has a plain path below the model's folder",
            fix="do not trust this server; ask who runs it",
        )
    return path


def _too_much(what: str) -> ResourceError:
    return ResourceError(
        f"{what} is too large to be a model",
        why=f"it has over {MOST_FILES:,} files or {MOST_BYTES >> 30} GB",
        fix="log the model alone, in a folder of its own",
    )


class _Proxy:
    """The server hands out the files itself."""

    def __init__(self, client: Client, root: str) -> None:
        self._client, self._root = client, root

    def files(self) -> Iterator[File]:
        yield from self._below("", 0)

    def _below(self, path: str, depth: int) -> Iterator[File]:
        if depth > _DEEPEST:
            raise _too_much(self._root)
        for each in self._client.listing(_joined(self._root, path)):
            # The server names each by its last part, below what was asked for.
            name = f"{path}/{each.get('path', '')}".lstrip("/")
            if each.get("is_dir"):
                yield from self._below(_safe(name, self._root), depth + 1)
            else:
                yield File(name, _size(each.get("file_size")))

    def read(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        return self._client.artifact(_joined(self._root, path))


class _Databricks:
    """The registry of a workspace signs an address for each file."""

    def __init__(self, client: Client, found: Found) -> None:
        self._client = client
        self._asked = {"name": found.name, "version": found.number}

    def files(self) -> Iterator[File]:
        yield from self._below("", 0)

    def _below(self, path: str, depth: int) -> Iterator[File]:
        if depth > _DEEPEST:
            raise _too_much(path)
        told = self._client.get("model-versions/list-artifacts", **self._asked, path=path)
        for each in told.get("files") or []:
            name = str(each.get("path", ""))
            if each.get("is_dir"):
                yield from self._below(_safe(name, path), depth + 1)
            else:
                yield File(name, _size(each.get("file_size")))

    @contextmanager
    def read(self, path: str) -> Iterator[Iterator[bytes]]:
        told = self._client.get("model-versions/get-signed-download-uri", **self._asked, path=path)
        url = str(told.get("signed_uri", ""))
        headers = {str(h.get("name")): str(h.get("value")) for h in told.get("headers") or []}
        with self._client.elsewhere(url, headers) as pieces:
            yield pieces


class _Local:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def files(self) -> Iterator[File]:
        if self._root.is_file():
            raise InputError(
                "a model is a folder", where=str(self._root), fix="name the folder that holds it"
            )
        for folder, _, names in os.walk(self._root):
            for name in sorted(names):
                path = Path(folder) / name
                if path.is_symlink():
                    raise InputError(
                        "a link, where a model has plain files", where=str(path),
                        fix="put what it leads to in its place",
                    )  # fmt: skip
                yield File(path.relative_to(self._root).as_posix(), path.stat().st_size)

    @contextmanager
    def read(self, path: str) -> Iterator[Iterator[bytes]]:
        with os_errors(self._root / path, "read"), (self._root / path).open("rb") as stream:
            yield iter(lambda: stream.read(1 << 20), b"")


class _ObjectStore:
    """A store of fsspec, with the credentials that its library finds."""

    def __init__(self, address: str, scheme: str) -> None:
        try:
            fsspec = importlib.import_module("fsspec")
            self._system, self._root = fsspec.core.url_to_fs(address)
        except ImportError as error:
            raise DependencyError(
                f"files at {scheme}:// need {_STORES[scheme]}", where=address, why=str(error),
                fix=f"pip install fsspec {_STORES[scheme]}",
            ) from None  # fmt: skip

    def files(self) -> Iterator[File]:
        with _failing(self._root):
            told: dict[str, Any] = self._system.find(self._root, detail=True)
        for name, about in sorted(told.items()):
            yield File(name.removeprefix(self._root).lstrip("/"), _size(about.get("size")))

    @contextmanager
    def read(self, path: str) -> Iterator[Iterator[bytes]]:
        with _failing(self._root), self._system.open(f"{self._root}/{path}", "rb") as stream:
            yield iter(lambda: stream.read(1 << 20), b"")


@contextmanager
def _failing(where: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        kind = ForbiddenError if isinstance(error, PermissionError) else NotFoundError
        raise kind(
            "the store does not give the file", where=where, why=first_line(error),
            fix="look at the path and at the credentials in the environment",
        ) from None  # fmt: skip
    except Exception as error:
        # The libraries of stores raise errors of their own kinds.
        if type(error).__module__.startswith("afterfit."):
            raise
        raise UnavailableError(
            "the store of the model's files failed", where=where, why=first_line(error),
            fix="look at its credentials in the environment, then run the same command again",
        ) from None  # fmt: skip


def _local_root(client: Client, place: str, path: str) -> Path:
    if not client.server.is_local:
        raise ForbiddenError(
            "the server names a folder of this machine",
            where=place,
            why="a server elsewhere must not choose what is read here",
            fix="start it with --serve-artifacts, or with an object store as artifact root",
        )
    return Path(unquote(path))


def _size(told: Any) -> int | None:
    try:
        return int(told)
    except (TypeError, ValueError):
        return None
