"""The platform that was chosen for a version, for whatever comes after the choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afterfit.core.digest import short
from afterfit.records.codec import Stored
from afterfit.records.platforms import PlatformsRecord
from afterfit.workspace.age import expired

if TYPE_CHECKING:
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

__all__ = ["choice_told", "newest_choice"]


def newest_choice(space: Workspace, version: Version) -> tuple[Stored, PlatformsRecord] | None:
    """Return the newest choice of platforms for a version, with its record; None without any."""
    for stored in space.records.list(step="platforms", subject=version.digest):
        if isinstance(stored.body, PlatformsRecord):
            return stored, stored.body
    return None


def choice_told(space: Workspace, version: Version) -> str:
    """Return what was decided of where a version runs, and whether that still counts; or nothing.

    It names the record, so that whoever packs the version can look at why.
    """
    found = newest_choice(space, version)
    if found is None:
        return ""
    stored, record = found
    old = expired({"platforms": stored}).get("platforms")
    said = record.said.rstrip(".")
    again = f"; {old.partition(':')[0]}: choose again" if old else ""
    return (
        f"Where to run it, by the choice of {stored.envelope.created[:10]}: {said}{again} "
        f"(afterfit record show {short(stored.digest)})"
    )
