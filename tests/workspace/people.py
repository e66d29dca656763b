"""A workspace with one version, ``people@1``, that can be packed."""

from __future__ import annotations

from pathlib import Path

from tests.runtime.bundles import people_bundle

from afterfit.core.bundle import write_manifest
from afterfit.package.lock import serving_pins
from afterfit.workspace import Workspace


def people_workspace(folder: Path) -> Workspace:
    """The workspace below a folder; the version's draft stays beside it."""
    draft = folder / "draft"
    people_bundle(draft)
    (draft / "requirements.lock").write_text(serving_pins(), "utf-8")
    write_manifest(draft)
    space = Workspace(folder / ".afterfit")
    space.registry.register("people", draft, who="ada")
    return space
