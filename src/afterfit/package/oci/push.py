"""Sends an image that lies in a layout to a registry: blobs first, then what names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from afterfit.core.progress import SILENT, Progress
from afterfit.errors import IntegrityError
from afterfit.package.oci.base import docker_credentials
from afterfit.package.oci.client import Client, Credentials, ImageName, image_name
from afterfit.package.oci.layout import INDEX, Descriptor, Index, Layout, Manifest, decode

__all__ = ["Pushed", "push"]


@dataclass(frozen=True)
class Pushed:
    """What was sent: name with digest, bytes that went, and bytes that were there already."""

    name: str
    digest: str
    sent_bytes: int
    known_bytes: int


def push(
    folder: Path,
    name: str,
    *,
    credentials: Credentials | None = None,
    progress: Progress = SILENT,
) -> Pushed:
    """Return what was sent of the only image of the layout ``folder`` to the registry of ``name``.

    The tag moves last, so that a push that dies leaves the registry as it was for everybody who
    asks by tag. Raises NotFoundError, IntegrityError, ForbiddenError, UnavailableError.
    """
    layout, image = Layout(folder), image_name(name)
    client = Client(image, credentials or docker_credentials())
    top = layout.top()
    body = layout.read(top)
    sent = known = 0
    for each in _manifests(layout, top):
        manifest = decode(layout.read(each), Manifest, str(folder))
        for blob in (*manifest.layers, manifest.config):
            progress.step(f"send {blob.digest[7:19]} ({blob.size / 1e6:.1f} MB)")
            if client.push_blob(_checked(layout, blob), blob):
                sent += blob.size
            else:
                known += blob.size
        if each.digest != top.digest:
            client.push_manifest(layout.read(each), each.media_type, each.digest)
    client.push_manifest(body, top.media_type, image.tag or top.digest)
    done = msgspec.structs.replace(top, annotations={})
    return Pushed(_named(image, done.digest), done.digest, sent, known)


def _manifests(layout: Layout, top: Descriptor) -> tuple[Descriptor, ...]:
    if top.media_type != INDEX:
        return (top,)
    return decode(layout.read(top), Index, str(layout.folder)).manifests


def _checked(layout: Layout, blob: Descriptor) -> Path:
    path = layout.path(blob.digest)
    if not path.is_file() or path.stat().st_size != blob.size:
        raise IntegrityError(
            "a layer of the image is missing or cut", where=str(path), fix="package it again"
        )
    return path


def _named(image: ImageName, digest: str) -> str:
    return f"{image.host}/{image.path}@{digest}"
