"""Models from an MLflow server into the line, and versions of the registry to one.

A version of MLflow can be changed after it was registered, so what came is written to the audit
log by the digest of all its files, and other bytes under the same number are refused.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from afterfit.core.digest import digest_of, sha256_file, short
from afterfit.core.shell import shell_word
from afterfit.errors import IntegrityError, UsageError
from afterfit.records.lineage import ModelSource
from afterfit.registry.audit import Entry
from afterfit.registry.mlflow.address import Server, server_of
from afterfit.registry.mlflow.artifacts import copy
from afterfit.registry.mlflow.checks import concerns
from afterfit.registry.mlflow.client import Client
from afterfit.registry.mlflow.export import Exported, Outgoing, RecordFile, export
from afterfit.registry.mlflow.mlmodel import Chosen, choose
from afterfit.registry.mlflow.source import PREFIX, Found, commit_of, resolve, source_of
from afterfit.registry.version import Version
from afterfit.store.files import TEMPORARY, os_errors, remove_tree

if TYPE_CHECKING:
    from afterfit.workspace.folder import WorkspaceFolder
    from afterfit.workspace.space import Workspace

__all__ = ["Brought", "bring", "exported", "is_mlflow", "opened_client"]

IMPORT = "import"


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is on this machine now: its folder, its file, and where it came from.

    ``code`` is the folder of the author's own code, which nothing runs unless ``--code`` names it.
    """

    folder: Path
    file: Path
    source: ModelSource
    code: Path | None = None


def is_mlflow(model: Any) -> bool:
    """Return whether a model is one that an MLflow server has."""
    return isinstance(model, str | Path) and str(model).startswith(PREFIX)


def opened_client(space: WorkspaceFolder, uri: str = "") -> Client:
    """Return a client of the server that ``uri`` or the environment names, its concerns told."""
    client = Client(server_of(uri, os.environ))
    for concern in concerns(client):
        if concern not in space.warnings:
            space.warnings.append(concern)
            space.progress.say(f"  ! {concern}")
    return client


def bring(space: WorkspaceFolder, model: str, *, accept: str = "") -> Brought:
    """Return the model that ``mlflow:…`` names after copying it into the workspace.

    ``accept`` is a reason to take other bytes than were imported before, kept in the audit log.
    Raises IntegrityError for those without it, and the errors of the server and its store.
    """
    space.progress.step("import from MLflow")
    source = source_of(model)
    client = opened_client(space)
    found = resolve(client, source)
    folder, files = _copied(space, client, found)
    digest = digest_of(files)
    _note(space, client.server, found, files, accept)
    chosen = choose(folder)
    space.progress.say(f"  {found.identity} of {client.server.host} ({short(digest)})")
    told = ModelSource(
        asked=str(source),
        identity=found.identity,
        server=client.server.host,
        digest=digest,
        file=chosen.file,
        flavor=chosen.flavor,
        run=found.run,
        commit=commit_of(client, found.run),
    )
    code = _code(space, folder, chosen)
    return Brought(folder=folder, file=folder / chosen.file, source=told, code=code)


def _copied(space: WorkspaceFolder, client: Client, found: Found) -> tuple[Path, dict[str, str]]:
    """Return the folder of a model, named after the digest of its files, and their digests."""
    parent = space.folder / "models" / "mlflow"
    with os_errors(parent, "create"):
        parent.mkdir(parents=True, exist_ok=True)
    temporary = parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    try:
        copy(client, found, temporary)
        files = _digests(temporary)
        folder = parent / digest_of(files)
        with os_errors(folder, "write"):
            if folder.exists() and _digests(folder) != files:
                # Somebody changed the copy: what came just now takes its place.
                remove_tree(folder)
            if not folder.exists():
                temporary.replace(folder)
    finally:
        remove_tree(temporary)
    return folder, files


def _digests(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}


def _note(
    space: WorkspaceFolder, server: Server, found: Found, files: dict[str, str], accept: str
) -> None:
    """Write what came to the audit log, where it is new; raises IntegrityError where it changed."""
    where, digest = f"{PREFIX}{found.identity} of {server.host}", digest_of(files)
    before = _last(space.registry.log(), where)
    if before is not None and before.to == digest:
        return
    if before is not None and not accept.strip():
        raise _changed(where, before, files, found)
    details: dict[str, Any] = {"files": files, "run": found.run}
    if before is not None:
        details["accepted"] = accept
    space.registry.note(IMPORT, who=space.who, source=where, to=digest, why=accept, details=details)


def _last(log: Iterable[Entry], where: str) -> Entry | None:
    found = None
    for entry in log:
        if entry.action == IMPORT and entry.source == where:
            found = entry
    return found


def _changed(where: str, before: Entry, files: dict[str, str], found: Found) -> IntegrityError:
    known = dict(before.details.get("files", {}))
    differ = sorted(n for n in known.keys() | files.keys() if known.get(n) != files.get(n))
    accept = shell_word(f"{PREFIX}{found.identity}")
    return IntegrityError(
        f"{found.identity} is not what was imported before",
        where=where,
        why=f"{', '.join(differ[:5])}{' and more' if len(differ) > 5 else ''} changed since "
        f"{before.time[:19]} (line {before.seq} of the audit log, by {before.who}); "
        "MLflow lets anybody who writes there change a version",
        fix="register it as a new version in MLflow, or take it on purpose: "
        f"afterfit mlflow import {accept} --accept-change 'REASON'",
    )


def _code(space: WorkspaceFolder, folder: Path, chosen: Chosen) -> Path | None:
    code = (folder / chosen.code).resolve() if chosen.code else None
    if code is None or not code.is_dir() or not code.is_relative_to(folder.resolve()):
        return None
    space.progress.say(
        f"  it brings code of its own, which nothing runs unless you say so: --code {code}"
    )
    return code


def exported(
    space: Workspace, ref: str = "", uri: str = "", *, take_aliases: bool = False
) -> tuple[Exported, ...]:
    """Return what became of each version at the MLflow server: those of ``ref``, or all.

    ``ref`` is a version (``churn@3``) or the name of a model, all of whose versions go. What is
    there is kept, so that an export that was cut off goes on where it ended.
    """
    versions = _chosen(space, ref)
    client = opened_client(space, uri)
    done = []
    space.progress.step("export to MLflow", len(versions))
    for version in versions:
        done.append(export(client, _outgoing(space, version), take_aliases=take_aliases))
        space.warnings += [w for w in done[-1].notes if w not in space.warnings]
        space.progress.advance()
    return tuple(done)


def _chosen(space: Workspace, ref: str) -> tuple[Version, ...]:
    if "@" in ref:
        return (space.registry.resolve(ref),)
    if ref:
        space.registry.resolve(f"{ref}@{space.registry.list(ref)[-1].number}")
    found = space.registry.list(ref or None)
    if not found:
        raise UsageError("there is no version to export", fix="afterfit ship MODEL")
    return found


def _outgoing(space: Workspace, version: Version) -> Outgoing:
    records = tuple(
        RecordFile(
            step=step,
            digest=stored.digest,
            created=stored.envelope.created,
            body=stored.body.encode(),
            metrics=tuple(stored.body.metrics),
        )
        for step, stored in sorted(space.evidence(version).items())
    )
    return Outgoing(version=version, folder=space.registry.checkout(version), records=records)
