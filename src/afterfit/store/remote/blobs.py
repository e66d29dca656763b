"""Blobs of a shared workspace: in an object store, with a copy on this machine.

What is read is hashed, whether it comes from the store or from the copy; a copy that was spoilt is
fetched again. What is put is sent only where the store does not hold it already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from afterfit.core.digest import sha256_file
from afterfit.errors import IntegrityError, NotFoundError
from afterfit.store.blobs import READ_ONLY, BlobStore, Trouble
from afterfit.store.files import replacing
from afterfit.store.remote.objects import Objects, StoredObject

__all__ = ["SharedBlobs"]

_Seen = tuple[int, int, int]


class SharedBlobs(BlobStore):
    """The blobs of ``objects``; copies are kept below ``folder``, and may be deleted there."""

    def __init__(self, folder: Path, objects: Objects) -> None:
        super().__init__(folder)
        self.objects = objects
        self._intact: dict[str, _Seen] = {}
        self._sent: set[str] = set()

    def has(self, digest: str, *, kept: bool = False) -> bool:
        """Return whether a blob of that digest is in the store, or (not ``kept``) copied here."""
        here = not kept and super().has(digest)
        return here or self.objects.size(_key(digest)) is not None

    def put_bundle(self, folder: Path) -> str:
        """Return the version digest of a bundle's folder, all of which the store holds then."""
        self._sent.clear()  # somebody may have pruned what was sent before
        return super().put_bundle(folder)

    def listed(self) -> list[StoredObject]:
        """Return every blob of the store, with its size and age."""
        found = self.objects.listed("blobs")
        return [each for each in found if each.key == _key(each.key.rpartition("/")[2])]

    def remove(self, digest: str) -> None:
        """Remove a blob from the store, and its copy here; one that is gone is no error."""
        self.objects.remove(_key(digest))
        self._sent.discard(digest)
        self._place(digest).unlink(missing_ok=True)

    def path(self, digest: str) -> Path:
        """Return the copy of a blob, hashed once and whenever its file changes.

        Raises NotFoundError, IntegrityError where the store holds other bytes, UnavailableError.
        """
        path = self._place(digest)
        if not self._is_intact(path, digest):
            self._fetch(path, digest)
        return path

    def trouble(self, digest: str, size: int, *, kept: bool = False) -> Trouble | None:
        """Return what is wrong with a blob of ``size`` bytes, None for nothing.

        The store must hold as many bytes. With ``kept`` they are read there and hashed; otherwise
        those of the copy are.
        """
        key = _key(digest)
        where = f"{self.objects.where}/{key}"
        found = self.objects.size(key)
        if found is None:
            return Trouble(where, "is gone")
        if found != size or (kept and self.objects.sha256(key) != digest):
            return Trouble(where, "was changed")
        with suppress(NotFoundError, IntegrityError):
            self._intact.pop(digest, None)
            self.path(digest)
            return None
        return Trouble(where, "was changed")

    def verify(self) -> Iterator[tuple[Path, IntegrityError]]:
        """Yield each file, here and in the store, that is not what its name says."""
        yield from super().verify()
        for group in self.objects.folders("blobs"):
            for digest in self.objects.names(f"blobs/{group}"):
                key = f"blobs/{group}/{digest}"
                if self.objects.sha256(key) != digest:
                    where = f"{self.objects.where}/{key}"
                    yield Path(where), _differs(where)

    def _put(self, stream: BinaryIO, digest: str, source: Path | None = None) -> str:
        super()._put(stream, digest, source)
        if digest not in self._sent:
            path = self._place(digest)
            if not self.objects.holds(_key(digest), path, digest):
                self.objects.put(_key(digest), path)
            self._sent.add(digest)
        return digest

    def _is_intact(self, path: Path, digest: str) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._intact.get(digest) == seen:
            return True
        if sha256_file(path) != digest:
            return False
        self._intact[digest] = seen
        return True

    def _fetch(self, path: Path, digest: str) -> None:
        """Bring a blob here whole, hashed on its way; a wrong one leaves nothing."""
        key = _key(digest)
        hasher = hashlib.sha256()
        with replacing(path, mode=READ_ONLY) as target:
            for chunk in self.objects.chunks(key):
                hasher.update(chunk)
                target.write(chunk)
            if hasher.hexdigest() != digest:
                raise _differs(f"{self.objects.where}/{key}")


def _key(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"


def _differs(where: str) -> IntegrityError:
    return IntegrityError(
        "a blob of the shared store is not what its digest says",
        where=where,
        why="its bytes were changed or damaged there; nothing was taken from it",
        fix="delete it there and ship the model again, or restore it from a copy",
    )
