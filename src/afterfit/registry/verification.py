"""Hashes what the registry holds, against manifests and against the audit log."""

from __future__ import annotations

from collections.abc import Iterable

from afterfit.core.bundle import Manifest
from afterfit.core.digest import sha256_file
from afterfit.errors import AfterfitError, IntegrityError, NotFoundError
from afterfit.registry.audit import AuditLog, Entry
from afterfit.registry.history import Move, move_of
from afterfit.registry.shelf import EVIDENCE, REGISTER, Shelf, version_of
from afterfit.registry.version import Verification, Version
from afterfit.store.blobs import BlobStore


def check_version(blobs: BlobStore, version: Version) -> None:
    """Hash every byte of a version; raises IntegrityError naming every damaged or lost file."""
    _raise_for(damage(blobs, version, _manifest(blobs, version), {}), str(version))


def verify(
    blobs: BlobStore, shelf: Shelf, audit: AuditLog, versions: Iterable[Version]
) -> Verification:
    """Return what was hashed, all of it intact; raises IntegrityError naming every damaged file."""
    check = audit.verify()
    entries = list(audit.entries())
    problems: list[str] = []
    sizes: dict[str, int] = {}
    count = 0
    for version in versions:
        count += 1
        try:
            problems += damage(blobs, version, _manifest(blobs, version), sizes)
        except IntegrityError as error:
            problems.append(f"{error.where}: {error.message}")
        problems += _against_log(shelf, version, entries)
    _raise_for(problems, "the registry")
    return Verification(
        versions=count,
        files=len(sizes),
        size_bytes=sum(sizes.values()),
        log_lines=check.lines,
        head=check.head,
    )


def damage(
    blobs: BlobStore, version: Version, manifest: Manifest, sizes: dict[str, int]
) -> list[str]:
    """Return a line for each damaged file of a version; ``sizes`` holds what was found intact."""
    problems = []
    for name, entry in manifest.files.items():
        if entry.sha256 in sizes:
            continue
        try:
            path = blobs.path(entry.sha256)
        except NotFoundError as error:
            problems.append(f"{error.where}: {name} of {version} is gone")
            continue
        if sha256_file(path) == entry.sha256:
            sizes[entry.sha256] = entry.size
        else:
            problems.append(f"{path}: {name} of {version} was changed")
    return problems


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


def _against_log(shelf: Shelf, version: Version, entries: list[Entry]) -> list[str]:
    """Return a line for each file of a version that does not say what the log says."""
    mine = [entry for entry in entries if entry.name == version.name]
    number = str(version.number)
    registered = [e for e in mine if e.action == REGISTER and e.to == number]
    files = {file.number: file for file in shelf.versions(version.name)}
    problems = []
    if len(registered) != 1 or files[version.number] != version_of(registered[0]):
        path = shelf.version_path(version.name, version.number)
        problems.append(f"{path}: it does not say what the audit log says")
    records: dict[str, str] = {}
    for entry in mine:
        if entry.action in {REGISTER, EVIDENCE} and entry.to == number:
            records.update(entry.details.get("evidence", {}))
    if records != shelf.evidence(version.name, version.number).records:
        path = shelf.evidence_path(version.name, version.number)
        problems.append(f"{path}: it does not say what the audit log says")
    return problems + _aliases_against_log(shelf, version.name, mine)


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
            problems.append(f"{shelf.alias_path(name, alias)}: it does not say what the log says")
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
