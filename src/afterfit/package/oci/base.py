"""The image under ours: from an image layout on disk, or pulled from a registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from afterfit.core.digest import sha256_bytes
from afterfit.core.progress import SILENT, Progress
from afterfit.errors import IntegrityError, NotFoundError
from afterfit.package.oci.client import Client, image_name
from afterfit.package.oci.credentials import docker_credentials
from afterfit.package.oci.layout import (
    DOCKER_INDEX,
    INDEX,
    MOST_JSON,
    Descriptor,
    Index,
    Layout,
    Manifest,
    Platform,
    decode,
)

__all__ = ["Base", "take_base"]

_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Base:
    """An image whose layers are in the layout now: its configuration, and its digest."""

    digest: str
    layers: tuple[Descriptor, ...]
    config: dict[str, Any]
    named: str

    @property
    def pinned(self) -> bool:
        """Whether it was asked for by its digest, or lies in a folder, which does not move."""
        return "@sha256:" in self.named or self.named.startswith("oci:")


def take_base(base: str, platform: Platform, target: Layout, progress: Progress = SILENT) -> Base:
    """Return the base image, its layers copied into ``target``.

    ``base`` is ``oci:FOLDER[:TAG]`` or the name of an image in a registry. Raises NotFoundError
    where there is none for the platform, IntegrityError, ForbiddenError, UnavailableError.
    """
    source = _Folder(base) if base.startswith("oci:") else _Pulled(base)
    progress.step(f"take the base {base}")
    top, body = source.top()
    if top.media_type in {INDEX, DOCKER_INDEX}:
        top = _for_platform(decode(body, Index, base), platform, base)
        body = source.read(top)
    manifest = decode(body, Manifest, base)
    config = decode(source.read(manifest.config), dict[str, Any], base)
    _require_whole(config, len(manifest.layers), base)
    if str(config.get("architecture", "")) != platform.architecture:
        raise NotFoundError(
            f"the base image is not for {platform.name}",
            where=base,
            why=f"it is for {config.get('os')}/{config.get('architecture')}",
            fix=f"name a base for {platform.name}",
        )
    for layer in manifest.layers:
        source.copy(layer, target)
    layers = tuple(_as_oci(layer) for layer in manifest.layers)
    return Base(top.digest, layers, config, base)


def _require_whole(config: dict[str, Any], layers: int, base: str) -> None:
    root, settings = config.get("rootfs"), config.get("config")
    known = root.get("diff_ids") if isinstance(root, dict) else None
    history = config.get("history") or []
    shaped = isinstance(settings, dict | None) and isinstance(history, list)
    if not isinstance(known, list) or len(known) != layers or not shaped:
        raise IntegrityError(
            "the base image is not whole", where=base,
            why="its configuration and its manifest do not fit together",
            fix="name another base image",
        )  # fmt: skip


def _as_oci(layer: Descriptor) -> Descriptor:
    """Return the layer by its name in OCI: Docker's gzip layers have the same bytes."""
    if layer.media_type == _DOCKER_LAYER:
        return msgspec.structs.replace(layer, media_type=_OCI_LAYER)
    return layer


def _for_platform(index: Index, platform: Platform, base: str) -> Descriptor:
    for each in index.manifests:
        found = each.platform
        if found and (found.os, found.architecture) == (platform.os, platform.architecture):
            return each
    names = sorted({each.platform.name for each in index.manifests if each.platform})
    raise NotFoundError(
        f"the base image is not there for {platform.name}", where=base,
        why=f"it is there for {', '.join(names) or 'none'}",
        fix=f"name a base for {platform.name}",
    )  # fmt: skip


class _Folder:
    """A base from an image layout."""

    def __init__(self, base: str) -> None:
        folder, _, tag = base.removeprefix("oci:").rpartition(":")
        # A colon in a path, as after a drive's letter, ends no folder.
        if not folder or "/" in tag or "\\" in tag:
            folder, tag = base.removeprefix("oci:"), ""
        self.layout, self.tag = Layout(Path(folder)), tag

    def top(self) -> tuple[Descriptor, bytes]:
        top = self.layout.top(self.tag)
        return top, self.layout.read(top)

    def read(self, descriptor: Descriptor) -> bytes:
        return self.layout.read(descriptor)

    def copy(self, layer: Descriptor, target: Layout) -> None:
        path = self.layout.path(layer.digest)
        if not path.is_file():
            raise NotFoundError(
                "a layer of the base is missing", where=str(path), fix="write the layout again"
            )
        with path.open("rb") as stream:
            target.take(stream, layer, str(self.layout.folder))


class _Pulled:
    """A base from a registry."""

    def __init__(self, base: str) -> None:
        self.client = Client(image_name(base), docker_credentials())

    def top(self) -> tuple[Descriptor, bytes]:
        body, descriptor = self.client.manifest()
        return descriptor, body

    def read(self, descriptor: Descriptor) -> bytes:
        if "manifest" in descriptor.media_type:
            return self.client.manifest(descriptor.digest)[0]
        with self.client.blob(descriptor.digest) as stream:
            body = stream.read(min(descriptor.size, MOST_JSON) + 1) or b""
        if f"sha256:{sha256_bytes(body)}" != descriptor.digest:
            raise IntegrityError(
                "the registry gave other bytes than it promised", where=descriptor.digest,
                fix="run the same command again; if it stays so, do not trust the source",
            )  # fmt: skip
        return body

    def copy(self, layer: Descriptor, target: Layout) -> None:
        with self.client.blob(layer.digest) as stream:
            target.take(stream, layer, str(self.client.name))
