"""The OCI image layout: a folder of blobs by digest, and an index that names the images in it.

Source: OCI image specification 1.1, image-layout.md, manifest.md, image-index.md.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from afterfit.core.digest import canonical_json, sha256_file
from afterfit.errors import InputError, IntegrityError, NotFoundError
from afterfit.store.files import read_bytes

__all__ = ["CONFIG", "INDEX", "LAYER", "MANIFEST", "Artifact", "Descriptor", "Index", "Layout",
           "Manifest", "Platform", "decode"]  # fmt: skip

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
REF = "org.opencontainers.image.ref.name"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 1 << 20
MOST_JSON = 4 << 20
"""Bytes: the specification asks registries for manifests of 4 MiB at least, and none is larger."""

T = TypeVar("T")


class Reads(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes | None: ...


class Platform(msgspec.Struct, frozen=True):
    """What an image runs on; the specification wants both words in every index."""

    architecture: str
    os: str = "linux"
    variant: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def name(self) -> str:
        """Its name as people write it: ``linux/arm64``."""
        return f"{self.os}/{self.architecture}"


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A blob as others refer to it; names as in the specification."""

    media_type: str = ""
    digest: str
    size: int
    platform: Platform | None = None
    artifact_type: str = ""
    annotations: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Raise ValueError for what is no SHA-256, which is the name of a file later."""
        if not _DIGEST.fullmatch(self.digest):
            raise ValueError(f"not a SHA-256: {self.digest!r}")


class Manifest(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One image: its configuration and layers."""

    schema_version: int = 2
    media_type: str = MANIFEST
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}


class Artifact(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Something that refers to an image: a manifest with a ``subject`` and one blob."""

    schema_version: int = 2
    media_type: str = MANIFEST
    artifact_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Images, one for each platform or name."""

    schema_version: int = 2
    media_type: str = INDEX
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str] = {}


class Layout:
    """An image layout in ``folder``; writing keeps every blob under its digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self) -> None:
        """Make the folders and the file that says what this is."""
        (self.folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        (self.folder / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')

    def path(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self.folder / "blobs" / "sha256" / digest.partition(":")[2]

    def put(self, body: bytes, media: str, *, platform: Platform | None = None) -> Descriptor:
        """Return the descriptor of a small blob, which is kept."""
        found = Descriptor(
            media_type=media,
            digest=f"sha256:{hashlib.sha256(body).hexdigest()}",
            size=len(body),
            platform=platform,
        )
        self.path(found.digest).write_bytes(body)
        return found

    def put_json(self, value: Any, media: str, *, platform: Platform | None = None) -> Descriptor:
        """Return the descriptor of a structure as canonical JSON, which is kept."""
        return self.put(canonical_json(msgspec.to_builtins(value)), media, platform=platform)

    def take(self, stream: Reads, descriptor: Descriptor, where: str) -> None:
        """Keep the blob that is read; raises IntegrityError where it is not what was promised."""
        target = self.path(descriptor.digest)
        partial = target.with_suffix(".partial")
        hashed, size = hashlib.sha256(), 0
        with partial.open("wb") as file:
            while size <= descriptor.size and (piece := stream.read(_CHUNK)):
                hashed.update(piece)
                size += len(piece)
                file.write(piece)
        if size != descriptor.size or f"sha256:{hashed.hexdigest()}" != descriptor.digest:
            partial.unlink()
            raise IntegrityError(
                f"{where} gave other bytes than it promised",
                where=descriptor.digest,
                why=f"{size} bytes came, {descriptor.size} were promised, or their hash differs",
                fix="run the same command again; if it stays so, do not trust the source",
            )
        partial.replace(target)

    def name(self, manifest: Descriptor, tag: str) -> None:
        """Write the index of the layout: one image, called ``tag``."""
        named = msgspec.structs.replace(manifest, annotations={REF: tag} if tag else {})
        body = canonical_json(msgspec.to_builtins(Index(manifests=(named,))))
        (self.folder / "index.json").write_bytes(body)

    def top(self, tag: str = "") -> Descriptor:
        """Return what the index names ``tag``, or the only image; raises NotFoundError."""
        path = self.folder / "index.json"
        if not path.is_file():
            raise NotFoundError(
                "no image layout is there",
                where=str(self.folder),
                why="a layout has the files oci-layout and index.json",
                fix="name a folder that skopeo, buildah or this program wrote",
            )
        there = decode(read_bytes(path), Index, str(path)).manifests
        found = tuple(each for each in there if not tag or each.annotations.get(REF) == tag)
        if len(found) != 1:
            names = ", ".join(e.annotations.get(REF, e.digest[:19]) for e in there) or "none"
            raise NotFoundError(
                f"{len(found)} images are called {tag!r}" if tag else "no single image is meant",
                where=str(path),
                why=f"it has: {names}",
                fix="name one after the folder: oci:FOLDER:TAG",
            )
        return found[0]

    def read(self, descriptor: Descriptor) -> bytes:
        """Return a small blob, checked; raises IntegrityError, NotFoundError."""
        path = self.path(descriptor.digest)
        if not path.is_file():
            raise NotFoundError(
                "a blob of the layout is missing",
                where=str(path),
                fix="write the layout again",
            )
        if path.stat().st_size > MOST_JSON or f"sha256:{sha256_file(path)}" != descriptor.digest:
            raise IntegrityError(
                "a blob of the layout was changed", where=str(path), fix="write the layout again"
            )
        return read_bytes(path)


def decode(body: bytes, kind: type[T], where: str) -> T:
    """Return a structure from JSON; raises InputError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            "not what the OCI specification asks for",
            where=where,
            why=str(error),
            fix="name an image whose manifest has schema version 2",
        ) from None
