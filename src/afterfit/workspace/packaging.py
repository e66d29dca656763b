"""What is handed to the step that packages: a version's bytes, its name, proof, card and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.package.config import PackageConfig
from afterfit.workspace.proven import commit_of, proven_of
from afterfit.workspace.scoring import card_of
from afterfit.workspace.sizing import sizes_of

if TYPE_CHECKING:
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

__all__ = ["packaged"]


def packaged(
    space: Workspace, version: Version, config: PackageConfig
) -> tuple[Bundle, PackageConfig]:
    """Return a version's bundle, and the config with what is the version's own."""
    folder = space.registry.checkout(version)
    told = msgspec.structs.replace(
        config,
        name=version.name,
        number=version.number,
        proven=proven_of(space.records, version),
        git_commit=commit_of(space.records, version),
        card=card_of(space, version).markdown,
        sizes=sizes_of(space, version, folder),
    )
    return Bundle(folder), told
