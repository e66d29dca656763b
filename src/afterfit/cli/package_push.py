"""``afterfit package push``: an image that was made here goes to a registry."""

from __future__ import annotations

from pathlib import Path

import msgspec

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.cli.progress import TerminalProgress
from afterfit.errors import NotFoundError
from afterfit.package.oci.push import Pushed
from afterfit.package.oci.push import push as push_image
from afterfit.workspace.packaging import note_push


def push(folder: Path, image: str, *, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """Send an image to a registry; its layers that are there already are not sent again.

    Who you are is taken from what `docker login` or `podman login` have kept (DOCKER_CONFIG).
    A registry without TLS is used on this machine only. The bill of materials and the model card
    beside the image are sent as artifacts that refer to it. Where there is a workspace that has the
    version in it, a line of its audit log says where it went.

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
    versions, warnings = _noted(pushed, image, common)
    if versions:
        text += f"\nnoted for {', '.join(versions)}: afterfit version lineage {versions[0]}"
    result = {**msgspec.to_builtins(pushed), "versions": versions}
    return Answer(result, text, warnings=warnings)


def _noted(pushed: Pushed, image: str, common: Common) -> tuple[list[str], list[str]]:
    """Return the versions that the workspace now knows this image of, and warnings."""
    try:
        with opened(common) as space:
            return note_push(space, pushed.bundle, pushed.name, image), space.warnings
    except NotFoundError:
        return [], []  # an image may be pushed from anywhere
