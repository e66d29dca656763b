"""Old versions' bytes go, what anything stands on stays; and what is broken, with its cure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.core.digest import sha256_file
from afterfit.core.shell import shell_word
from afterfit.errors import AfterfitError, IntegrityError, NotFoundError
from afterfit.registry.files import FileStorage
from afterfit.registry.history import PRUNE, Move
from afterfit.registry.retention import (
    Fate,
    Policy,
    fates,
    needed_blobs,
    own_blobs,
    removed,
)
from afterfit.store.files import os_errors

if TYPE_CHECKING:
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

__all__ = ["Broken", "Pruned", "broken", "fates_of", "planned", "prune"]

CHUNK = 1 << 20
OWN = frozenset({"blobs", "bundles", "events", "models", "monitor", "records", "registry",
                 "reports", "audit.jsonl", "index.sqlite"})  # fmt: skip
"""What the registry and its neighbours keep; a digest elsewhere is used by somebody."""


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of each version, and whether it was done; ``freed`` bytes went, or would go."""

    fates: tuple[Fate, ...]
    done: bool
    freed: int

    @property
    def going(self) -> tuple[Fate, ...]:
        """The versions whose bytes went, or would go."""
        return tuple(fate for fate in self.fates if fate.goes)


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not what it should be: where, what, and how to mend it."""

    where: str
    what: str
    fix: str


def prune(
    space: Workspace, policy: Policy, *, really: bool = False, now: datetime | None = None
) -> Pruned:
    """Return what goes by a policy; nothing is touched unless ``really``.

    Each version that goes is a line of the audit log, written before its bytes go. Raises
    IntegrityError where it cannot be known what is needed, ConflictError where somebody else
    prunes the same shared workspace.
    """
    registry = space.registry
    when = now or datetime.now(UTC)
    with registry.storage.reading():
        registry.audit.verify()
    if not isinstance(registry.storage, FileStorage):
        from afterfit.workspace.pruning_shared import prune_shared

        plan, _ = planned(space, policy, when)
        return prune_shared(space, policy, when, plan) if really else plan
    if not really:
        return planned(space, policy, when)[0]
    with registry.storage.changing():
        plan, own = planned(space, policy, when)
        freed = 0
        for fate in plan.going:
            version, mine = fate.version, own[fate.version.digest]
            registry.audit.append(
                PRUNE,
                who=space.who,
                name=version.name,
                to=str(version.number),
                why=policy.why,
                details={"digest": version.digest, "bytes": fate.size_bytes, "files": len(mine)},
            )
            with os_errors(space.folder, "remove old versions of"):
                freed += removed(space.blobs, space.folder, version, mine)
    return Pruned(fates=plan.fates, done=True, freed=freed)


def fates_of(space: Workspace, policy: Policy, now: datetime) -> list[Fate]:
    """Return what becomes of each version, without what that would free."""
    registry = space.registry
    names = registry.names()
    versions = list(registry.list())
    known = registry.storage.catalog.pruned()
    moves = {name: _moves(space, name) for name in names}
    used = {**registry.storage.used(now.timestamp()), **_used(space.folder, versions)}
    found = fates(versions, moves, used, policy, now)
    return [msgspec.structs.replace(fate, gone=_gone(space, fate.version, known)) for fate in found]


def planned(
    space: Workspace, policy: Policy, now: datetime
) -> tuple[Pruned, dict[str, dict[str, int]]]:
    """Return the plan, and by digest the blobs that go, each told once."""
    found = fates_of(space, policy, now)
    staying = [fate.version for fate in found if fate.why and not fate.gone]
    needed = needed_blobs(space.blobs, staying, _of_records(space))
    own: dict[str, dict[str, int]] = {}
    told: list[Fate] = []
    for fate in found:
        if fate.goes and fate.version.digest not in own:
            mine = own_blobs(space.blobs, fate.version, needed)
            needed |= mine.keys()
            own[fate.version.digest] = mine
            fate = msgspec.structs.replace(fate, size_bytes=sum(mine.values()))  # noqa: PLW2901
        told.append(fate)
    freed = sum(fate.size_bytes for fate in told)
    return Pruned(fates=tuple(told), done=False, freed=freed), own


def _moves(space: Workspace, name: str) -> dict[str, list[Move]]:
    registry = space.registry
    aliases = [each.alias for each in registry.storage.shelf.aliases(name)]
    return {alias: registry.moves(name, alias) for alias in aliases}


def _gone(space: Workspace, version: Version, known: set[tuple[str, int]]) -> bool:
    """Return whether the bytes went already; a crash may have left the last of them here."""
    if (version.name, version.number) not in known:
        return False
    local = isinstance(space.registry.storage, FileStorage)
    return not (local and space.blobs.has(version.digest))


def _of_records(space: Workspace) -> Iterator[str]:
    """Yield the blobs of every record, whatever it is of; raises IntegrityError for a bad one."""
    for row in space.records.rows():
        yield from space.records.get(row.digest).body.blobs.values()


def _used(folder: Path, versions: list[Version]) -> dict[str, str]:
    """Return who names a digest outside of the registry: endpoints and whatever else keeps state.

    Files are searched for the digests as text, so that no form of them is overlooked.
    """
    wanted = {version.digest.encode(): version.digest for version in versions}
    used: dict[str, str] = {}
    others = [path for path in folder.iterdir() if path.name not in OWN and path.is_dir()]
    for place in sorted(path for other in others for path in other.rglob("*") if path.is_file()):
        with os_errors(place, "read"):
            for digest in _named(place, wanted):
                used.setdefault(digest, f"{place.parent.relative_to(folder)} names it")
    return used


def _named(place: Path, wanted: dict[bytes, str]) -> set[str]:
    found: set[str] = set()
    tail = b""
    with place.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            text = tail + chunk
            found |= {digest for token, digest in wanted.items() if token in text}
            tail = text[-63:]
    return found


def broken(space: Workspace, name: str | None = None) -> list[Broken]:
    """Return everything that is wrong, each with its cure; every byte is hashed.

    Audit log, versions, aliases and evidence against it, records, and blobs of anything.
    """
    found: dict[str, Broken] = {}
    for check in (space.registry.verify_log, lambda: space.registry.verify(name)):
        try:
            check()
        except IntegrityError as error:
            for where, what in _each(error):
                cure = _cure(space, where, error)
                found.setdefault(where, Broken(where=where, what=what, fix=cure))
    for wrong in [] if name else space.verify_store():
        told = wrong.message + (f": {wrong.why}" if wrong.why else "")
        cure = _cure(space, wrong.where, wrong)
        found.setdefault(wrong.where, Broken(where=wrong.where, what=told, fix=cure))
    return list(found.values())


def _each(error: IntegrityError) -> Iterator[tuple[str, str]]:
    """Yield place and problem of each thing that one error tells of."""
    parts = [part.partition(": ") for part in error.why.split("; ")]
    if all(mark and ("/" in where or "\\" in where) for where, mark, _ in parts):
        yield from ((where, what) for where, _, what in parts)
    else:
        yield error.where, f"{error.message}: {error.why}" if error.why else error.message


def _cure(space: Workspace, where: str, error: AfterfitError) -> str:
    """Return what mends a file, by what it is."""
    path = Path(where.partition(":")[0] if where.count(":") == 1 else where)
    parts = path.parts
    if path.name.startswith("audit.jsonl") or path.name == "head":
        return (
            "restore audit.jsonl and registry/ together from a copy of the workspace: no other "
            "file can prove what was written there"
        )
    if "registry" in parts and path.suffix == ".json":
        return (
            "restore the file from a copy of the workspace; the audit log says what it should "
            "hold: afterfit version log"
        )
    if "blobs" in parts:
        intact = _copy_of(space, path.name)
        if intact is not None:
            told = f"cp --remove-destination {shell_word(intact)} {shell_word(path)}"
            return f"{told}   # a checkout still has the bytes"
        owners = _owners(space, path.name)
        if owners:
            return (
                f"ship the same model again ({', '.join(owners)} needs it): equal bytes mend the "
                "file; or restore it from a copy of the workspace"
            )
    return error.fix


def _copy_of(space: Workspace, digest: str) -> Path | None:
    """Return an intact file of a checkout with these bytes, None where there is none."""
    bundles = space.folder / "bundles"
    for folder in sorted(bundles.iterdir()) if bundles.is_dir() else []:
        try:
            files = Bundle(folder).manifest.files
        except AfterfitError:
            continue
        for name, file in files.items():
            path = folder / name
            if file.sha256 == digest and path.is_file() and sha256_file(path) == digest:
                return path
    return None


def _owners(space: Workspace, digest: str) -> list[str]:
    found = []
    for version in space.registry.list():
        try:
            manifest = space.blobs.manifest(version.digest)
        except (IntegrityError, NotFoundError):
            if version.digest == digest:
                found.append(f"{version.name}@{version.number}")
            continue
        if digest in {file.sha256 for file in manifest.files.values()}:
            found.append(f"{version.name}@{version.number}")
    return found
