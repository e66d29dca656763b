"""The image that a destination runs: a folder for a builder, or an image that is made here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.package.config import PackageConfig

__all__ = ["IMAGE", "Image", "image_of"]

IMAGE = "image"
"""The folder beside a destination's files that has the Dockerfile or the image layout."""


@dataclass(frozen=True)
class Image:
    """An image as the files of a destination name it.

    ``reference`` goes where a place asks for an image: with its digest where the image was made
    here and ``--image`` says which registry it goes to. ``commands`` bring it there, line by line.
    ``digest`` is empty where a builder makes it later.
    """

    reference: str
    digest: str
    commands: tuple[str, ...]
    findings: tuple[Finding, ...]


def image_of(
    bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
) -> Image:
    """Return the image of a bundle, after writing ``folder/image``: by ``config.builder``.

    Raises what the builder raises: see `dockerfile.Destination` and `oci.destination.Destination`.
    """
    tag = str(config.number) if config.number else "latest"
    named = f"{config.image or config.name}:{tag}"
    if config.builder == "native":
        from afterfit.package.oci.destination import write_image

        built, findings = write_image(bundle, folder, config, progress)
        pinned = f"{config.image}@{built.digest}" if config.image else named
        return Image(pinned, built.digest, (f"afterfit package push {IMAGE} {named}",), findings)
    from afterfit.package.dockerfile import Destination

    target = folder / IMAGE
    target.mkdir()
    findings = tuple(Destination().write(bundle, target, config))
    return Image(
        named, "", (f"docker build --tag {named} {IMAGE}", f"docker push {named}"), findings
    )
