"""Layers: a tar of sorted files without times or owners, so that equal files give equal bytes.

The compressed bytes also depend on the zlib that made them; `Layer.diff_id` does not.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from afterfit.errors import InputError
from afterfit.package.oci.layout import LAYER, Descriptor

__all__ = ["Content", "Layer", "layer_file", "tree"]

_LEVEL = 6
_FILE, _FOLDER = 0o644, 0o755


@dataclass(frozen=True)
class Content:
    """One file of a layer: where it stands in the image (no slash in front), and its bytes."""

    path: str
    source: Path | bytes
    executable: bool = False


@dataclass(frozen=True)
class Layer:
    """A layer that was written: its entry of a manifest, and the digest of its plain tar.

    ``files_size`` are the bytes of its files.
    """

    descriptor: Descriptor
    diff_id: str
    note: str
    files_size: int = 0


class _Writes(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Hashing(io.RawIOBase):
    """Passes bytes on and hashes them."""

    def __init__(self, target: _Writes) -> None:
        super().__init__()
        self.target, self.hash, self.size = target, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # what tarfile hands it
        self.hash.update(data)
        self.size += len(data)
        self.target.write(data)
        return len(data)


def tree(folder: Path, inside: str) -> Iterator[Content]:
    """Yield every file below ``folder`` as it shall stand below ``inside`` of the image.

    Raises InputError for a link: what it leads to is not in the image.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise InputError("a link cannot go into an image", where=str(path), fix="copy the file")
        if path.is_file():
            name = str(PurePosixPath(inside) / path.relative_to(folder).as_posix())
            yield Content(name, path, executable=bool(path.stat().st_mode & 0o100))


def layer_file(target: Path, contents: Iterable[Content], note: str) -> Layer:
    """Return the layer written to ``target``: its folders and files, sorted by their paths."""
    files = sorted(contents, key=lambda each: each.path)
    with target.open("wb") as stream:
        outer = _Hashing(stream)
        with gzip.GzipFile(
            filename="", mode="wb", fileobj=outer, compresslevel=_LEVEL, mtime=0
        ) as z:
            inner = _Hashing(z)
            # Names beyond 100 characters take a header of their own, which has no time either.
            with tarfile.open(fileobj=inner, mode="w|", format=tarfile.GNU_FORMAT) as tar:
                for folder in sorted(_folders(files)):
                    tar.addfile(_entry(folder, tarfile.DIRTYPE, _FOLDER))
                for each in files:
                    _add(tar, each)
    return Layer(
        Descriptor(media_type=LAYER, digest=f"sha256:{outer.hash.hexdigest()}", size=outer.size),
        f"sha256:{inner.hash.hexdigest()}",
        note,
        sum(_size(each) for each in files),
    )


def _size(content: Content) -> int:
    source = content.source
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _folders(files: Iterable[Content]) -> set[str]:
    return {
        str(parent)
        for each in files
        for parent in PurePosixPath(each.path).parents
        if str(parent) != "."
    }


def _add(tar: tarfile.TarFile, content: Content) -> None:
    entry = _entry(content.path, tarfile.REGTYPE, 0o755 if content.executable else _FILE)
    entry.size = _size(content)
    if isinstance(content.source, bytes):
        tar.addfile(entry, io.BytesIO(content.source))
        return
    with content.source.open("rb") as stream:
        opened: IO[bytes] = stream
        tar.addfile(entry, opened)


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = kind, mode
    return entry
