"""From the record of a walk to its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afterfit.errors import InputError
from afterfit.records.codec import Stored
from afterfit.records.ship import ShipRecord
from afterfit.registry.version import Version
from afterfit.report import html
from afterfit.report.build import release_page
from afterfit.store.files import os_errors, write_bytes
from afterfit.workspace.release import Release

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace


def publish(
    space: Workspace, stored: Stored, version: Version, records: dict[str, Stored]
) -> Release:
    """Return the Release after writing its page below ``reports/``."""
    release = rendered(space, stored, version, records)
    write_page(release)
    return release


def rendered(
    space: Workspace, stored: Stored, version: Version, records: dict[str, Stored]
) -> Release:
    """Return the Release with its page, which is written nowhere yet."""
    record = ship_record(stored)
    page = release_page(record, records, created=stored.envelope.created)
    return Release(
        record=record,
        digest=stored.digest,
        version=version,
        page=page,
        html=html.render(page),
        path=space.reports / f"{record.name}-{record.version}.html",
        records=records,
    )


def write_page(release: Release) -> None:
    """Write the page of a release to its place; raises ForbiddenError where that is read-only."""
    folder = release.path.parent
    with os_errors(folder, "create"):
        folder.mkdir(parents=True, exist_ok=True)
    write_bytes(release.path, release.html.encode())


def ship_record(stored: Stored) -> ShipRecord:
    """Return the record as one of ship; raises InputError."""
    if not isinstance(stored.body, ShipRecord):
        raise InputError(
            f"record {stored.digest[:12]} is one of {stored.body.step}",
            why="only `ship` makes a whole page",
            fix="afterfit record show DIGEST",
        )
    return stored.body


def latest_release(space: Workspace, name: str, number: int | None = None) -> Release:
    """Return the newest release of a model (or of one version), its page rendered anew."""
    for stored in space.records.list(step="ship"):
        body = stored.body
        if isinstance(body, ShipRecord) and body.name == name and number in (None, body.version):
            records = {step: space.records.get(digest) for step, digest in body.records.items()}
            version = space.registry.resolve(f"{name}@{body.version}")
            return rendered(space, stored, version, records)
    raise InputError(
        f"{name} has not been shipped from this workspace",
        where=str(space.folder),
        fix="afterfit record list --step ship",
    )
