"""Blobs: files by the SHA-256 of their bytes, and bundles made of them."""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from afterfit.core.bundle import MANIFEST, Bundle, BundleFile, Manifest, check_file_name
from afterfit.core.digest import CHUNK_BYTES, sha256_bytes, sha256_file
from afterfit.core.shell import shell_word
from afterfit.errors import RESTORE, IntegrityError, NotFoundError
from afterfit.store.files import (
    TEMPORARY,
    is_temporary,
    os_errors,
    read_bytes,
    remove_tree,
    replacing,
    sync_folder,
)

__all__ = ["READ_ONLY", "BlobStore", "Trouble"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
READ_ONLY = 0o444


class Trouble(NamedTuple):
    """What is wrong with a blob, and where."""

    where: str
    what: str


class BlobStore:
    """Read-only files ``blobs/ab/<sha256>`` below ``folder`` (a workspace's ``.afterfit``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "blobs"

    def put_bytes(self, data: bytes) -> str:
        """Return the SHA-256 under which ``data`` is kept; putting it again changes nothing."""
        return self._put(io.BytesIO(data), sha256_bytes(data))

    def put_file(self, path: Path, expected: str | None = None) -> str:
        """Return the SHA-256 under which a copy of the file is kept, made in constant memory.

        Raises IntegrityError where ``expected`` is another digest, or the file changes meanwhile.
        """
        with os_errors(path, "read"):
            digest = sha256_file(path)
            if expected is not None and digest != expected:
                raise _differs(path, expected, digest)
            with path.open("rb") as stream:
                return self._put(stream, digest, path)

    def put_bundle(self, folder: Path) -> str:
        """Return the version digest of a bundle's folder, whose files and manifest are kept."""
        bundle = Bundle(folder)
        manifest = bundle.manifest
        bundle.verify(manifest.digest)
        for name, entry in manifest.files.items():
            check_file_name(name, folder / MANIFEST)
            self.put_file(folder / name, entry.sha256)
        return self.put_bytes(manifest.encode())

    def has(self, digest: str, *, kept: bool = False) -> bool:
        """Return whether a blob of that digest is there.

        ``kept`` asks where everybody's are kept, which here is the same.
        """
        del kept
        return self._place(digest).is_file()

    def mend_bundle(self, folder: Path) -> None:
        """Put what is gone of a bundle that was put before."""
        bundle = Bundle(folder)
        digests = [file.sha256 for file in bundle.manifest.files.values()]
        if not all(self.has(digest, kept=True) for digest in [*digests, bundle.manifest.digest]):
            self.put_bundle(folder)

    def path(self, digest: str) -> Path:
        """Return the file of a blob; raises NotFoundError."""
        path = self._place(digest)
        if not path.is_file():
            raise NotFoundError(
                f"no blob {digest[:12]}… in this workspace",
                where=str(path),
                why="it was never put here, or it was deleted",
                fix="run the step that made it again, with --fresh",
            )
        return path

    def open(self, digest: str) -> BinaryIO:
        """Return an open stream of a blob, its bytes not checked; raises NotFoundError."""
        path = self.path(digest)
        with os_errors(path, "read"):
            return path.open("rb")

    def read(self, digest: str) -> bytes:
        """Return the checked bytes of a blob; raises NotFoundError or IntegrityError."""
        path = self.path(digest)
        data = read_bytes(path)
        found = sha256_bytes(data)
        if found != digest:
            raise _differs(path, digest, found)
        return data

    def trouble(self, digest: str, size: int, *, kept: bool = False) -> Trouble | None:
        """Return what is wrong with a blob of ``size`` bytes after hashing them, None for nothing.

        ``kept`` asks for the bytes where everybody's are kept, which here are the same.
        """
        del kept
        path = self._place(digest)
        if not path.is_file():
            return Trouble(str(path), "is gone")
        with os_errors(path, "read"):
            intact = path.stat().st_size == size and sha256_file(path) == digest
        return None if intact else Trouble(str(path), "was changed")

    def verify(self) -> Iterator[tuple[Path, IntegrityError]]:
        """Yield each file that is not what its name says; every byte of every blob is hashed."""
        for path in self._files():
            if not _DIGEST.fullmatch(path.name) or path.parent.name != path.name[:2]:
                yield (
                    path,
                    IntegrityError(
                        "a file that is no blob",
                        where=str(path),
                        fix=f"mv {shell_word(path)} /tmp   # nothing refers to it",
                    ),
                )
                continue
            with os_errors(path, "read"):
                found = sha256_file(path)
            if found != path.name:
                yield path, _differs(path, path.name, found)

    def manifest(self, digest: str) -> Manifest:
        """Return the manifest of a bundle put before; raises NotFoundError or IntegrityError."""
        try:
            return msgspec.json.decode(self.read(digest), type=Manifest)
        except msgspec.MsgspecError as error:
            raise IntegrityError(
                f"{digest[:12]}… is no manifest",
                where=str(self.path(digest)),
                why=str(error),
                fix=RESTORE,
            ) from None

    def checkout(self, manifest: Manifest, folder: Path) -> Path:
        """Return ``folder`` holding exactly the bundle's files, every byte of them checked.

        Files are hard links to the blobs where the system can, else copies. The folder appears
        whole or not at all; one that is there and intact is kept, a broken one is replaced.
        Raises NotFoundError for a blob that is gone, IntegrityError for one that changed.
        """
        if _intact(folder, manifest):
            return folder
        with os_errors(folder, "write"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = folder.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
            try:
                self._fill(manifest, temporary)
                _swap(temporary, folder, manifest)
            finally:
                remove_tree(temporary)
            sync_folder(folder.parent)
        return folder

    def _fill(self, manifest: Manifest, folder: Path) -> None:
        folder.mkdir()
        for name, entry in manifest.files.items():
            check_file_name(name, folder / MANIFEST)
            source = self.path(entry.sha256)
            _check_blob(source, entry)
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)
                target.chmod(READ_ONLY)
        (folder / MANIFEST).write_bytes(manifest.encode())

    def _files(self) -> list[Path]:
        paths = (path for path in self.folder.glob("*/*") if path.is_file())
        return sorted(path for path in paths if not is_temporary(path))

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise NotFoundError(
                f"not a digest: {digest[:80]!r}",
                why="a blob's name is 64 hexadecimal digits",
                fix="afterfit version list   # shows the digests",
            )
        return self.folder / digest[:2] / digest

    def _put(self, stream: BinaryIO, digest: str, source: Path | None = None) -> str:
        path = self._place(digest)
        # A blob that a failing disk has spoilt is mended by putting it again.
        if path.is_file() and sha256_file(path) == digest:
            return digest
        hasher = hashlib.sha256()
        with replacing(path, mode=READ_ONLY) as target:
            while chunk := stream.read(CHUNK_BYTES):
                hasher.update(chunk)
                target.write(chunk)
            if hasher.hexdigest() != digest:
                raise IntegrityError(
                    "the file changed while it was read",
                    where=str(source or path),
                    fix="wait until nothing writes to it, then run the same command again",
                )
        return digest


def _intact(folder: Path, manifest: Manifest) -> bool:
    if not folder.exists():
        return False
    try:
        Bundle(folder).verify(manifest.digest)
    except (IntegrityError, NotFoundError):
        return False
    return True


def _swap(temporary: Path, folder: Path, manifest: Manifest) -> None:
    """Rename the new folder to its place; another process that was quicker has done the same."""
    if _intact(folder, manifest):
        return
    old = temporary.with_name(f"{temporary.name}-old")
    try:
        if folder.exists():
            with suppress(FileNotFoundError):
                folder.replace(old)
        try:
            temporary.replace(folder)
        except OSError:
            if not _intact(folder, manifest):
                raise
    finally:
        remove_tree(old)


def _check_blob(path: Path, entry: BundleFile) -> None:
    found = sha256_file(path)
    if found != entry.sha256 or path.stat().st_size != entry.size:
        raise _differs(path, entry.sha256, found)


def _differs(path: Path, expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} is not what its digest says",
        where=str(path),
        why=f"its SHA-256 is {found[:16]}…, it should be {expected[:16]}…",
        fix="restore it from a copy, or run the step that made it again, with --fresh",
    )
