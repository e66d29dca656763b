"""What is handed to the step that packages: a version's bytes, its name, proof, card and sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.errors import ForbiddenError
from afterfit.package.config import PackageConfig
from afterfit.package.diff import PackageDiff, Written, compare_packages
from afterfit.package.run import package_for
from afterfit.workspace.proven import commit_of, proven_of
from afterfit.workspace.scoring import card_of
from afterfit.workspace.sizing import sizes_of

if TYPE_CHECKING:
    from afterfit.registry.diff import VersionDiff
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

__all__ = ["PUSH", "compared", "note_push", "packaged"]

PUSH = "push"
"""What it is called in the audit log that an image went to a registry."""


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


def note_push(space: Workspace, bundle: str, image: str, asked: str) -> list[str]:
    """Return the versions of a bundle whose log now says where their image is.

    ``image`` is its name with its digest, ``asked`` the name that it was pushed by. Where nothing
    can be written, `warnings` says so.
    """
    found = [version for version in space.registry.list() if version.digest == bundle]
    told = {"image": image, "tag": asked, "digest": bundle}
    try:
        for version in found:
            number = str(version.number)
            space.registry.note(PUSH, who=space.who, name=version.name, to=number, details=told)
    except ForbiddenError as error:
        space.warnings.append(f"that it was pushed is not in the audit log: {error.message}")
        return []
    return [f"{version.name}@{version.number}" for version in found]


def compared(
    space: Workspace, old: str, new: str, destination: str, config: PackageConfig
) -> tuple[VersionDiff, PackageDiff]:
    """Return what changes between two versions, and between what a destination needs of each.

    Both packages are written to a folder that is removed again. Raises what `Workspace.package`
    raises.
    """
    versions = [space.registry.resolve(ref) for ref in (old, new)]
    with tempfile.TemporaryDirectory(prefix="afterfit-package-") as name:
        written = []
        for side, version in enumerate(versions):
            space.progress.step(f"package {version.name}@{version.number}")
            bundle, told = packaged(space, version, config)
            folder = Path(name) / str(side)
            package_for(destination, bundle, folder, told, progress=space.progress)
            written.append(Written(folder, told.sizes))
        packages = compare_packages(destination, *written)
    return space.registry.diff(old, new), packages
