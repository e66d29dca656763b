"""The stores of a workspace, local or shared, from what a person told."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from afterfit.registry.registry import Registry
from afterfit.registry.shared.place import SharedPlace, place_of
from afterfit.store.blobs import BlobStore
from afterfit.store.records import RecordStore

__all__ = ["Stores", "open_stores"]

_TOLD: dict[Path, SharedPlace] = {}
"""Where a folder of copies leads, with the password that the pointer in it leaves out."""


class Stores(NamedTuple):
    """What a workspace stands on; ``folder`` is the one on this machine."""

    folder: Path
    records: RecordStore
    blobs: BlobStore
    registry: Registry
    shared: SharedPlace | None = None


def open_stores(told: str | Path, *, create: bool = True) -> Stores:
    """Return the stores of a folder, of a URL or of a ``workspace.toml``.

    With ``create`` the tables of a shared workspace are made where they are not there. Raises
    NotFoundError where they are not, ConfigError, UnavailableError, ForbiddenError.
    """
    place = _TOLD.get(Path(told).absolute()) or place_of(told)
    if place is None:
        folder = Path(told)
        blobs = BlobStore(folder)
        return Stores(folder, RecordStore(folder), blobs, Registry(folder, blobs))
    return _open_shared(place, create=create)


def _open_shared(place: SharedPlace, *, create: bool) -> Stores:
    from afterfit.registry.shared.postgres import PostgresStorage
    from afterfit.store.remote.blobs import SharedBlobs
    from afterfit.store.remote.objects import Objects
    from afterfit.store.remote.records import SharedRecords

    folder = place.folder
    objects = Objects(place.blobs)
    storage = PostgresStorage(place.database, create=create)
    place.point()
    _TOLD[folder.absolute()] = place
    blobs = SharedBlobs(folder, objects)
    registry = Registry(folder, blobs, storage=storage)
    return Stores(folder, SharedRecords(folder, objects), blobs, registry, place)
