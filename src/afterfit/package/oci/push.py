"""Sends an image that lies in a layout to a registry: blobs first, then what names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from afterfit.core.progress import SILENT, Progress
from afterfit.errors import IntegrityError, NotFoundError
from afterfit.package.oci.client import Client, ImageName, image_name
from afterfit.package.oci.credentials import Credentials, docker_credentials
from afterfit.package.oci.layout import INDEX, Descriptor, Index, Layout, Manifest, decode
from afterfit.package.oci.referrers import KINDS, attach

__all__ = ["Pushed", "push"]

_MARK = ".afterfit-package"


@dataclass(frozen=True)
class Pushed:
    """What was sent: name with digest, bytes that went, and bytes that were there already.

    ``evidence`` are the files that refer to the image in the registry now; ``bundle`` is the digest
    of the version in it, empty for an image that ``package`` did not make.
    """

    name: str
    digest: str
    sent_bytes: int
    known_bytes: int
    evidence: tuple[str, ...] = ()
    bundle: str = ""


def push(
    folder: Path,
    name: str,
    *,
    credentials: Credentials | None = None,
    progress: Progress = SILENT,
) -> Pushed:
    """Return what was sent of the image in ``folder`` to the registry of ``name``.

    ``folder`` is a layout with one image, or what ``package`` wrote around one, whose bill of
    materials and card go along. The tag moves last, so that a push that dies leaves the registry as
    it was for everybody who asks by tag. Raises NotFoundError, IntegrityError, ForbiddenError,
    UnavailableError.
    """
    layout, image = Layout(_layout_of(folder)), image_name(name)
    client = Client(image, credentials or docker_credentials())
    top = layout.top()
    body = layout.read(top)
    sent = known = 0
    for each in _manifests(layout, top):
        for blob in _blobs(layout, each):
            progress.step(f"send {blob.digest[7:19]} ({blob.size / 1e6:.1f} MB)")
            if client.push_blob(_checked(layout, blob), blob):
                sent += blob.size
            else:
                known += blob.size
        client.push_manifest(layout.read(each), each.media_type, each.digest)
    client.push_manifest(body, top.media_type, top.digest)
    evidence = _evidence(layout.folder)
    for path in evidence:
        progress.step(f"send {path.name}")
        sent += attach(client, top, path)
    if image.tag:
        client.push_manifest(body, top.media_type, image.tag)
    named, files = _named(image, top.digest), tuple(path.name for path in evidence)
    return Pushed(named, top.digest, sent, known, files, _bundle(layout.folder))


def _layout_of(folder: Path) -> Path:
    found = folder / "image" if (folder / "image").is_dir() else folder
    if not found.is_dir():
        raise NotFoundError(
            "there is no such folder",
            where=str(folder),
            fix="afterfit package churn@champion --for oci",
        )
    return found


def _evidence(layout: Path) -> list[Path]:
    """Return the files beside a layout that ``package`` wrote about the image."""
    if not (layout.parent / _MARK).is_file():
        return []
    return [path for name in KINDS if (path := layout.parent / name).is_file()]


def _bundle(layout: Path) -> str:
    mark = layout.parent / _MARK
    return mark.read_text(encoding="utf-8").strip() if mark.is_file() else ""


def _manifests(layout: Layout, top: Descriptor) -> tuple[Descriptor, ...]:
    if top.media_type != INDEX:
        return (top,)
    return decode(layout.read(top), Index, str(layout.folder)).manifests


def _blobs(layout: Layout, manifest: Descriptor) -> tuple[Descriptor, ...]:
    found = decode(layout.read(manifest), Manifest, str(layout.folder))
    return (*found.layers, found.config)


def _checked(layout: Layout, blob: Descriptor) -> Path:
    path = layout.path(blob.digest)
    if not path.is_file() or path.stat().st_size != blob.size:
        raise IntegrityError(
            "a layer of the image is missing or cut", where=str(path), fix="package it again"
        )
    return path


def _named(image: ImageName, digest: str) -> str:
    return f"{image.host}/{image.path}@{digest}"
