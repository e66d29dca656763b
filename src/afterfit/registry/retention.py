"""Which versions' bytes may go: all but those that something stands on, and what a policy keeps.

A version is never forgotten: its number, digest, evidence and history stay, and the audit log says
when its bytes went and why. What goes is what takes room: the files of its bundle that no other
version has, its checkout, and rows that monitoring kept for it. Registering the same bundle brings
them back under the same number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from afterfit.errors import AfterfitError, UsageError
from afterfit.registry.history import ROLLBACK, Move, rollback_target
from afterfit.registry.version import Version
from afterfit.store.blobs import BlobStore
from afterfit.store.files import remove_tree

__all__ = ["ROLLBACKS", "Fate", "Policy", "fates", "needed_blobs", "own_blobs", "removed"]

ROLLBACKS = 2
"""So many rollbacks of each alias in a row find their bytes."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The newest ``keep`` versions of a model stay, and those younger than ``older`` (s).

    In a shared store bytes stay that were put less than ``grace`` (s) ago, whoever needs them.
    """

    keep: int = 10
    older: float = 90 * 86_400.0
    grace: float = 7 * 86_400.0

    @property
    def why(self) -> str:
        """What the audit log says of a version that goes."""
        days = f"{self.older / 86_400:g} days"
        return f"not among the newest {self.keep}, older than {days}, and nothing stands on it"

    def __post_init__(self) -> None:
        """Raise UsageError for a policy that would keep nothing."""
        if self.keep < 1:
            raise UsageError(
                "--keep is at least 1", why="the newest version is always kept", fix="--keep 1"
            )


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """A version, and why it stays; an empty ``why`` means that its bytes may go.

    ``gone`` says that they went before. ``size_bytes`` is what nothing else needs, 0 where it
    stays.
    """

    version: Version
    why: str = ""
    gone: bool = False
    size_bytes: int = 0

    @property
    def goes(self) -> bool:
        """Whether its bytes are to be removed."""
        return not self.why and not self.gone


def fates(
    versions: Sequence[Version],
    moves: Mapping[str, Mapping[str, Sequence[Move]]],
    used: Mapping[str, str],
    policy: Policy,
    now: datetime,
) -> list[Fate]:
    """Return what becomes of each version, in the order given; nothing is touched.

    ``versions`` are all of every name, ``moves`` those by name and alias, ``used`` says by whom a
    digest is used outside of the registry. A digest that one version needs stays for all.
    """
    reasons = {(v.name, v.number): _why(v, versions, moves, used, policy, now) for v in versions}
    kept = {v.digest: f"{v.name}@{v.number} needs the same bytes"
            for v in versions if reasons[v.name, v.number]}  # fmt: skip
    return [
        Fate(version=v, why=reasons[v.name, v.number] or kept.get(v.digest, "")) for v in versions
    ]


def _why(
    version: Version,
    versions: Sequence[Version],
    moves: Mapping[str, Mapping[str, Sequence[Move]]],
    used: Mapping[str, str],
    policy: Policy,
    now: datetime,
) -> str:
    if version.aliases:
        return f"it is {', '.join(version.aliases)}"
    if version.digest in used:
        return used[version.digest]
    for alias, moved in moves.get(version.name, {}).items():
        if version.number in _rollback_targets(moved):
            return f"a rollback of {alias} goes to it"
    newer = sum(v.name == version.name and v.number > version.number for v in versions)
    if newer < policy.keep:
        return f"it is one of the newest {policy.keep}"
    if now - datetime.fromisoformat(version.created) < timedelta(seconds=policy.older):
        return f"it is younger than {policy.older / 86_400:g} days"
    return ""


def _rollback_targets(moved: Sequence[Move]) -> set[int]:
    """Return where the next rollbacks of an alias would go."""
    found: set[int] = set()
    history = list(moved)
    for _ in range(ROLLBACKS):
        target = rollback_target(history)
        if target is None:
            break
        found.add(target)
        history.append(msgspec.structs.replace(history[-1], action=ROLLBACK, to=target))
    return found


def needed_blobs(blobs: BlobStore, versions: Iterable[Version], records: Iterable[str]) -> set[str]:
    """Return the digests of all blobs that these versions and records (their blobs) stand on.

    Raises IntegrityError or NotFoundError for a version whose manifest cannot be read: as long as
    that is so, nobody knows what it needs.
    """
    needed = set(records)
    for version in versions:
        manifest = blobs.manifest(version.digest)
        needed |= {version.digest, *(file.sha256 for file in manifest.files.values())}
    return needed


def own_blobs(blobs: BlobStore, version: Version, needed: Collection[str]) -> dict[str, int]:
    """Return digests and bytes of what only a version that goes needs, its manifest the last."""
    try:
        manifest = blobs.manifest(version.digest)
    except AfterfitError:
        return {}
    files = {f.sha256: f.size for f in manifest.files.values() if f.sha256 not in needed}
    if version.digest not in needed:
        files[version.digest] = len(manifest.encode())
    return files


def removed(blobs: BlobStore, folder: Path, version: Version, own: Mapping[str, int]) -> int:
    """Return the bytes that went: a version's own blobs, checkout and rows of monitoring.

    The manifest goes last, so that what a crash cut short is seen, and is finished the next time.
    """
    remove_tree(folder / "bundles" / version.digest)
    for path in _beside(folder, version.digest):
        path.unlink(missing_ok=True)
    freed = 0
    for digest, size in own.items():
        with suppress(FileNotFoundError):
            if blobs.has(digest):
                blobs.path(digest).unlink()
                freed += size
    return freed


def _beside(folder: Path, digest: str) -> list[Path]:
    references = folder / "monitor" / "references"
    found = references.iterdir() if references.is_dir() else ()
    return [path for path in found if path.name.startswith(digest)]
