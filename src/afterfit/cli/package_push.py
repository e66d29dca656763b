"""``afterfit package push``: an image that was made here goes to a registry."""

from __future__ import annotations

from pathlib import Path

import msgspec

from afterfit.cli.common import Common
from afterfit.cli.output import Answer
from afterfit.cli.progress import TerminalProgress
from afterfit.package.oci.push import push as push_image


def push(folder: Path, image: str, *, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """Send an image to a registry; its layers that are there already are not sent again.

    Who you are is taken from what `docker login` or `podman login` have kept (DOCKER_CONFIG).
    A registry without TLS is used on this machine only. The bill of materials and the model card
    beside the image are sent as artifacts that refer to it.

    Parameters
    ----------
    folder
        What `afterfit package --for oci` wrote, or any OCI image layout with one image.
    image
        Where to: registry.example.com/team/churn:3.

    """
    with TerminalProgress(quiet=common.quiet) as progress:
        pushed = push_image(folder, image, progress=progress)
    text = (
        f"{pushed.name}\n{pushed.sent_bytes / 1e6:.1f} MB sent, "
        f"{pushed.known_bytes / 1e6:.1f} MB were there already"
    )
    if pushed.evidence:
        text += f"\n{' and '.join(pushed.evidence)} refer to it in the registry"
    return Answer(msgspec.to_builtins(pushed), text)
