"""The cases of a model's name: those of earlier versions, and where this version's are kept."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.digest import canonical_json, digest_of
from afterfit.errors import IntegrityError, NotFoundError, UsageError
from afterfit.records.codec import Stored
from afterfit.records.robustness import RobustnessRecord
from afterfit.records.robustness_cases import CASES_BLOB, CaseFile, KeptCase
from afterfit.registry.version import Version

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["WorkspaceBook", "cases_of", "portable", "read_document"]

STEP = "robustness"


class WorkspaceBook:
    """The versions of ``name`` before the bundle ``digest``, newest first, in a workspace.

    A version that has no record of ``robustness`` is passed over. A record or a document that
    cannot be read raises IntegrityError or NotFoundError: a failure must not be forgotten so.
    """

    def __init__(self, space: Workspace, name: str, digest: str) -> None:
        self._space = space
        self._name = name
        self._bundle = digest

    @cached_property
    def earlier(self) -> CaseFile | None:
        """The document of the newest earlier version that has one."""
        for body in self._bodies:
            if CASES_BLOB in body.blobs:
                return read_document(self._space, body)
        return None

    @cached_property
    def previous(self) -> RobustnessRecord | None:
        """The record of the newest earlier version that has one."""
        return self._bodies[0] if self._bodies else None

    @cached_property
    def digest(self) -> str:
        """A digest of all that earlier versions tell; empty where there are none."""
        previous = self.previous
        return "" if previous is None else digest_of([previous.digest, self.earlier])

    def keep(self, document: CaseFile) -> dict[str, str]:
        """Return the blob of the document by its name; a document of nothing is kept too."""
        return {CASES_BLOB: self._space.blobs.put_bytes(canonical_json(document))}

    @cached_property
    def _bodies(self) -> tuple[RobustnessRecord, ...]:
        found = (_body(self._space, version) for version in self._versions())
        return tuple(body for body in found if body is not None)

    def _versions(self) -> list[Version]:
        """Return the versions before this bundle, newest first; a new bundle is behind all."""
        try:
            versions = self._space.registry.list(self._name)
        except (NotFoundError, UsageError):
            return []
        mine = [version.number for version in versions if version.digest == self._bundle]
        before = [v for v in versions if not mine or v.number < min(mine)]
        return sorted(before, key=lambda version: -version.number)


def cases_of(space: Workspace, version: Version) -> CaseFile:
    """Return the document of a version; raises NotFoundError where it has none."""
    body = _body(space, version)
    if body is None or CASES_BLOB not in body.blobs:
        raise NotFoundError(
            f"{version} has no cases",
            where=str(space.folder),
            why="robustness did not run for it, or an older Afterfit ran it",
            fix="ship the model again, with --fresh",
        )
    return read_document(space, body)


def portable(document: CaseFile, *, real_rows: bool = False) -> tuple[KeptCase, ...]:
    """Return the cases that may leave the workspace: with ``real_rows`` those of real rows too."""
    return tuple(case for case in document.cases if real_rows or not case.local)


def read_document(space: Workspace, body: RobustnessRecord) -> CaseFile:
    """Return the document that a record refers to; raises NotFoundError or IntegrityError."""
    digest = body.blobs[CASES_BLOB]
    try:
        return msgspec.json.decode(space.blobs.read(digest), type=CaseFile)
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            "the document of cases cannot be read",
            where=str(space.blobs.path(digest)),
            why=str(error),
            fix="run robustness again, with --fresh",
        ) from None


def _body(space: Workspace, version: Version) -> RobustnessRecord | None:
    digest = version.evidence.get(STEP)
    if digest is None:
        return None
    stored: Stored = space.records.get(digest)
    return stored.body if isinstance(stored.body, RobustnessRecord) else None
