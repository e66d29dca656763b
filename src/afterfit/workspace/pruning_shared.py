"""Bytes of a shared workspace go while others push: announced first, then swept under the lock.

1. One change takes the turn and writes a line of the log for each version that goes. From then on
   nobody promotes it, and whoever pushes looks in its own change whether what the store held
   already is still there, and puts it again where it is not.
2. What the store holds, is older than the grace, and no version or record needs, is removed in
   short changes. Each begins by reading what was registered since, so bytes of a version that was
   registered a moment ago stay, and a version is registered before such a change or after it.
3. A last change gives the turn back. A prune that died is finished by the next.

A record has no such change: of one that is kept in this very moment, and refers to old bytes that
nothing referred to before, the bytes may go. `version verify` would tell.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from afterfit.errors import InternalError
from afterfit.registry.history import PRUNE
from afterfit.registry.shared.postgres import PostgresStorage
from afterfit.registry.shared.presence import Turn
from afterfit.store.files import remove_tree
from afterfit.store.remote.blobs import SharedBlobs
from afterfit.workspace.pruning import Pruned, fates_of

if TYPE_CHECKING:
    from afterfit.registry.retention import Fate, Policy
    from afterfit.workspace.space import Workspace

__all__ = ["BATCH", "prune_shared"]

BATCH = 100
"""Blobs that are removed in one change, for which everybody else waits."""


def prune_shared(space: Workspace, policy: Policy, now: datetime, plan: Pruned) -> Pruned:
    """Return what went; ``plan`` has the sizes of what was to go.

    Raises ConflictError where somebody else prunes, and what the store or the database raises; what
    was removed by then is told by the log, and the next prune ends it.
    """
    storage, blobs = space.registry.storage, space.blobs
    if not isinstance(storage, PostgresStorage) or not isinstance(blobs, SharedBlobs):
        raise InternalError("this workspace is not shared")
    turn = Turn(storage.database, f"{space.who} {secrets.token_hex(8)}")
    with storage.changing():
        turn.begin()
        found = [_sized(fate, plan) for fate in fates_of(space, policy, now)]
        for fate in found:
            if fate.goes:
                _announce(space, policy, fate)
    needs = _Needs(space)
    freed = 0
    for batch in _old(space, blobs, policy, now):
        with storage.changing():
            needs.follow()
            for digest, size in batch:
                if digest not in needs.digests:
                    # Asked each time: a change whose connection was lost holds no lock.
                    turn.require()
                    blobs.remove(digest)
                    freed += size
    for fate in found:
        if fate.goes:
            remove_tree(space.folder / "bundles" / fate.version.digest)
    with storage.changing():
        turn.end()
    return Pruned(fates=tuple(found), done=True, freed=freed)


def _announce(space: Workspace, policy: Policy, fate: Fate) -> None:
    version = fate.version
    space.registry.audit.append(
        PRUNE,
        who=space.who,
        name=version.name,
        to=str(version.number),
        why=policy.why,
        details={"digest": version.digest, "bytes": fate.size_bytes},
    )


def _sized(fate: Fate, plan: Pruned) -> Fate:
    sizes = {each.version.digest: each.size_bytes for each in plan.going}
    size = sizes.get(fate.version.digest, 0) if fate.goes else 0
    return msgspec.structs.replace(fate, size_bytes=size)


def _old(
    space: Workspace, blobs: SharedBlobs, policy: Policy, now: datetime
) -> list[list[tuple[str, int]]]:
    """Return digests and bytes of what is older than the grace, in batches."""
    listed = blobs.listed()
    undated = sum(each.put_at is None for each in listed)
    if undated:
        space.warnings.append(
            f"the store does not tell when {undated} of its blobs were put: they stay"
        )
    first = now.timestamp() - policy.grace
    old = [
        (each.key.rpartition("/")[2], each.size)
        for each in listed
        if each.put_at is not None and each.put_at <= first
    ]
    return [old[begin : begin + BATCH] for begin in range(0, len(old), BATCH)]


class _Needs:
    """The digests of all blobs that a version or a record stands on; it only ever grows."""

    def __init__(self, space: Workspace) -> None:
        self.digests: set[str] = set()
        self._space = space
        self._versions: set[str] = set()
        self._records: set[str] = set()
        self.follow()

    def follow(self) -> None:
        """Take in what was registered or kept since; what is unreadable raises IntegrityError."""
        registry, records = self._space.registry, self._space.records
        gone = registry.storage.catalog.pruned()
        staying = {v.digest for v in registry.list() if (v.name, v.number) not in gone}
        for digest in staying - self._versions:
            manifest = self._space.blobs.manifest(digest)
            self.digests |= {digest, *(file.sha256 for file in manifest.files.values())}
        self._versions |= staying
        kept = {row.digest for row in records.rows()}
        for digest in kept - self._records:
            self.digests |= set(records.get(digest).body.blobs.values())
        self._records |= kept
