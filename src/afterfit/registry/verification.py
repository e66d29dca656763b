"""Hashes what the registry holds, against manifests and against the audit log."""

from __future__ import annotations

from collections.abc import Iterable

from afterfit.core.bundle import Manifest
from afterfit.errors import AfterfitError, IntegrityError
from afterfit.registry.audit import Entry
from afterfit.registry.files import FileStorage
from afterfit.registry.history import Move, move_of
from afterfit.registry.shelf import EVIDENCE, REGISTER, VersionFile, version_of
from afterfit.registry.storage import Shelf, Storage
from afterfit.registry.version import Verification, Version
from afterfit.store.blobs import BlobStore


def check_version(blobs: BlobStore, version: Version) -> None:
    """Hash every byte of a version; raises IntegrityError naming every damaged or lost file."""
    _raise_for(damage(blobs, version, _manifest(blobs, version), {}), str(version))


def verify(blobs: BlobStore, storage: Storage, versions: Iterable[Version]) -> Verification:
    """Return what was hashed, all of it intact; raises IntegrityError naming every damaged file.

    Every byte is read where it is kept, which for a shared workspace is the store itself.
    """
    check = storage.audit.verify()
    logged = _by_name(storage.audit.entries())
    problems: list[str] = []
    sizes: dict[str, int] = {}
    numbers: dict[str, list[int]] = {}
    count = 0
    gone = storage.catalog.pruned()
    for version in versions:
        count += 1
        numbers.setdefault(version.name, []).append(version.number)
        # The log says whose bytes went; files that a crash left of them here are told.
        cut_short = isinstance(storage, FileStorage) and blobs.has(version.digest)
        if (version.name, version.number) in gone and not cut_short:
            continue
        try:
            manifest = _manifest(blobs, version)
            problems += damage(blobs, version, manifest, sizes, kept=True)
        except IntegrityError as error:
            problems.append(f"{error.where}: {error.message}")
    for name, mine in numbers.items():
        problems += _against_log(storage.shelf, name, mine, logged.get(name, []))
    _raise_for(problems, "the registry")
    return Verification(
        versions=count,
        files=len(sizes),
        size_bytes=sum(sizes.values()),
        log_lines=check.lines,
        head=check.head,
    )


def damage(
    blobs: BlobStore,
    version: Version,
    manifest: Manifest,
    sizes: dict[str, int],
    *,
    kept: bool = False,
) -> list[str]:
    """Return a line for each damaged file of a version; ``sizes`` holds what was found intact.

    With ``kept`` the bytes are read where everybody's are kept, not in a copy on this machine.
    """
    problems = []
    for name, entry in manifest.files.items():
        if entry.sha256 in sizes:
            continue
        trouble = blobs.trouble(entry.sha256, entry.size, kept=kept)
        if trouble is None:
            sizes[entry.sha256] = entry.size
        else:
            problems.append(f"{trouble.where}: {name} of {version} {trouble.what}")
    return problems


def _by_name(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.name, []).append(entry)
    return found


def _manifest(blobs: BlobStore, version: Version) -> Manifest:
    try:
        return blobs.manifest(version.digest)
    except AfterfitError as error:
        raise IntegrityError(
            f"the manifest of {version} is damaged or gone",
            where=error.where,
            why=error.why,
            fix="restore the blob from a copy, or register the model again",
        ) from None


def _against_log(shelf: Shelf, name: str, numbers: list[int], entries: list[Entry]) -> list[str]:
    """Return a line for each thing on the shelf that does not say what the log says."""
    registered: dict[int, list[VersionFile]] = {}
    records: dict[int, dict[str, str]] = {}
    for entry in entries:
        if entry.action == REGISTER:
            registered.setdefault(int(entry.to), []).append(version_of(entry))
        if entry.action in {REGISTER, EVIDENCE}:
            records.setdefault(int(entry.to), {}).update(entry.details.get("evidence", {}))
    files = {file.number: file for file in shelf.versions(name)}
    wrong = []
    for number in sorted({*numbers, *files, *registered}):
        if number not in files or registered.get(number) != [files[number]]:
            wrong.append(shelf.place(name, "versions", str(number)))
        if records.get(number, {}) != shelf.evidence(name, number).records:
            wrong.append(shelf.place(name, "evidence", str(number)))
    problems = [f"{place}: it does not say what the audit log says" for place in wrong]
    return problems + _aliases_against_log(shelf, name, entries)


def _aliases_against_log(shelf: Shelf, name: str, entries: list[Entry]) -> list[str]:
    last: dict[str, Move] = {}
    for entry in entries:
        move = move_of(entry)
        if move is not None:
            last[move.alias] = move
    problems = []
    for alias in sorted(last.keys() | {each.alias for each in shelf.aliases(name)}):
        found, move = shelf.alias(name, alias), last.get(alias)
        agree = (
            found is not None
            and move is not None
            and (found.number, found.digest, found.seq) == (move.to, move.digest, move.seq)
        )
        if not agree:
            problems.append(
                f"{shelf.place(name, 'aliases', alias)}: it does not say what the log says"
            )
    return problems


def _raise_for(problems: list[str], what: str) -> None:
    # Two versions share files and aliases: each is told once.
    problems = list(dict.fromkeys(problems))
    if problems:
        raise IntegrityError(
            f"{what} is damaged: {len(problems)} file{'s' if len(problems) > 1 else ''}",
            where=problems[0].partition(": ")[0],
            why="; ".join(problems),
            fix="restore them from a copy of the workspace, or register the model again",
        )
