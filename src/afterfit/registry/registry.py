"""The registry: immutable versions by digest, aliases that move, and a log of every move.

It says what may be done; a `Storage` keeps it: files of a local workspace, or a team's database.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from afterfit.core.bundle import Bundle
from afterfit.core.gate import GateResult
from afterfit.errors import (
    ConflictError,
    NotFoundError,
    UsageError,
)
from afterfit.registry import verification
from afterfit.registry.audit import Entry, LogCheck, utc_now
from afterfit.registry.diff import RecordReader, VersionDiff, compare
from afterfit.registry.files import FileStorage
from afterfit.registry.history import (
    PROMOTE,
    PRUNE,
    RESTORE,
    ROLLBACK,
    Move,
    move_of,
    rollback_target,
)
from afterfit.registry.lookup import Lookup
from afterfit.registry.names import CHAMPION, check_alias, check_name, parse_reference
from afterfit.registry.shelf import EVIDENCE, REGISTER, VersionFile
from afterfit.registry.storage import Storage
from afterfit.registry.version import GateRefusal, Promotion, Verification, Version
from afterfit.store.blobs import BlobStore

REFUSE = "refuse"


class Registry:
    """The registry of a workspace: bytes are in ``blobs``, checkouts of them below ``folder``.

    What it knows is in ``storage``, by default the files of ``folder`` (a workspace's
    ``.afterfit``). Opening it changes nothing, unless a crash left something to mend.
    """

    def __init__(
        self,
        folder: Path,
        blobs: BlobStore,
        *,
        clock: Callable[[], datetime] = utc_now,
        storage: Storage | None = None,
    ) -> None:
        self.folder = folder
        self.blobs = blobs
        self.storage = storage or FileStorage(folder, clock=clock)
        self.audit = self.storage.audit
        self._shelf = self.storage.shelf
        self._lookup = Lookup(self._shelf, self.storage.catalog)
        self.listener: Callable[[Entry], None] | None = None
        self._heard: builtins.list[Entry] = []
        self.storage.settle()

    def register(
        self, name: str, bundle_folder: Path, *, who: str, evidence: Mapping[str, str] | None = None
    ) -> Version:
        """Return the version that holds the bundle: a new number, or the one it had already.

        ``evidence`` maps steps to digests of their records, and is added to what is known.
        Raises UsageError for a name, IntegrityError for a bundle that is not what it says.
        """
        check_name(name)
        before = self.storage.pruning()
        digest = self.blobs.put_bundle(bundle_folder)
        with self._changing():
            if self.storage.pruning().since(before):
                # What was there already, and so was not put, may have gone since.
                self.blobs.mend_bundle(bundle_folder)
            known = [f for f in self.storage.catalog.files(name) if f.digest == digest]
            if known:
                self._restore(known[0], who)
                return self._add_evidence(self._lookup.version(known[0]), who, evidence or {})
            number = self._shelf.next_number(name)
            details: dict[str, Any] = {"digest": digest, "evidence": dict(evidence or {})}
            asks = Bundle(bundle_folder).variant.asks
            if asks:
                # From here on the digest is trusted: the log says what that lets in.
                details["trusts"] = asks
            self._do(REGISTER, who=who, name=name, to=str(number), details=details)
            return self._lookup.numbered(name, number)

    def attach(self, version: Version, *, who: str, evidence: Mapping[str, str]) -> Version:
        """Return the version with more evidence (step -> record digest); its digest stays."""
        with self._changing():
            current = self._lookup.numbered(version.name, version.number)
            return self._add_evidence(current, who, evidence)

    def resolve(self, reference: str) -> Version:
        """Return the version meant by NAME, NAME@ALIAS, NAME@NUMBER or NAME@[sha256:]DIGEST.

        A bare name is its champion, or its only version. Raises UsageError, or NotFoundError that
        lists what there is.
        """
        return self._lookup.resolve(reference)

    def pointed(self, reference: str) -> str:
        """Return the digest of the version meant, of an alias by one look; errors as `resolve`.

        Whether that version is there and its bytes are right is for whoever takes it.
        """
        wanted = parse_reference(reference)
        alias = self._shelf.alias(wanted.name, wanted.selector or CHAMPION)
        return self.resolve(reference).digest if alias is None else alias.digest

    def show(self, reference: str) -> tuple[Version, tuple[Entry, ...]]:
        """Return the version meant, and the lines of the audit log that name it."""
        version = self.resolve(reference)
        number = str(version.number)
        about = (e for e in self.log(version.name) if number in {e.to, e.source})
        return version, tuple(about)

    def list(self, name: str | None = None) -> tuple[Version, ...]:
        """Return every version of a name, or of all names, by name and number."""
        chosen = self.names() if name is None else (name,)
        found = tuple(self.storage.catalog.versions(chosen))
        if not found and name is not None:
            self._lookup.files(name)
        return found

    def names(self) -> tuple[str, ...]:
        """Return the names that have a version, sorted."""
        return self._shelf.names()

    def diff(self, old: str, new: str, *, records: RecordReader | None = None) -> VersionDiff:
        """Return what changes for callers and people who go from ``old`` to ``new``.

        Both are references. Metrics are compared where ``records`` can read the evidence.
        """
        return compare(self.blobs, self.resolve(old), self.resolve(new), records)

    def promote(
        self,
        name: str,
        number: int,
        alias: str = CHAMPION,
        *,
        who: str,
        why: str = "",
        gates: Sequence[GateResult] = (),
        override: str | None = None,
        expected: int | None = None,
    ) -> Promotion | GateRefusal:
        """Return the promotion, or the refusal of a gate that failed or has no evidence.

        ``override`` is the reason to promote all the same; the log keeps it. ``expected`` is the
        number that the alias must still have, 0 for none (by default, what it is now).
        Every byte of the version is hashed first. Raises ConflictError where somebody else moved
        the alias meanwhile, IntegrityError for damaged bytes, NotFoundError, UsageError.
        """
        check_alias(alias)
        _check_override(override)
        version = self._lookup.numbered(name, number)
        before = self._lookup.number_of(name, alias)
        if expected is not None and (before or 0) != expected:
            raise _moved(name, alias, expected, before)
        refusal = GateRefusal(version=version, alias=alias, gates=tuple(gates))
        details = {"alias": alias, "digest": version.digest, "gates": _told(gates)}
        if refusal.blocking and override is None:
            self.note(REFUSE, who=who, name=name, to=str(number), why=refusal.why, details=details)
            return refusal
        if override is not None:
            details["override"] = override
        self._check(version)
        return self._move(PROMOTE, version, before, who=who, why=why, details=details)

    def rollback(
        self, name: str, *, who: str, why: str, alias: str = CHAMPION, target: int | None = None
    ) -> Promotion:
        """Return the move to the last version that held the alias and was not rolled back from.

        ``target`` is another number that it held. Its bytes are hashed before the alias moves;
        twice in a row goes back twice. Raises NotFoundError where there is nothing to go back to,
        IntegrityError, ConflictError.
        """
        check_alias(alias)
        history = self.moves(name, alias)
        if not history:
            self._lookup.files(name)
        held = {move.to for move in history}
        target = rollback_target(history) if target is None else target
        if target is None or target not in held:
            raise _nothing_before(name, alias, history)
        version = self._lookup.numbered(name, target)
        self._check(version)
        details = {"alias": alias, "digest": version.digest}
        return self._move(ROLLBACK, version, history[-1].to, who=who, why=why, details=details)

    def log(self, name: str | None = None) -> tuple[Entry, ...]:
        """Return the lines of the audit log, of one name where given; raises IntegrityError."""
        with self.storage.reading():
            return tuple(entry for entry in self.audit.entries() if name in {None, entry.name})

    def moves(self, name: str, alias: str = CHAMPION) -> builtins.list[Move]:
        """Return every move of an alias, in order, with who and why."""
        return self.storage.catalog.moves(name, alias)

    def note(self, action: str, *, who: str, **words: Any) -> Entry:
        """Return a new line of the audit log for something that changes no file of the registry.

        ``words`` are the fields of a line: ``name``, ``source``, ``to``, ``why``, ``details``.
        """
        if action in {REGISTER, EVIDENCE, PROMOTE, ROLLBACK, PRUNE, RESTORE}:
            raise UsageError(f"{action!r} is the registry's own word", fix="use another action")
        with self._changing():
            return self._do(action, who=who, **words)

    def verify_log(self) -> LogCheck:
        """Return lines and head hash; raises IntegrityError with the number of a changed line."""
        with self.storage.reading():
            return self.audit.verify()

    def verify(self, name: str | None = None) -> Verification:
        """Return what was hashed, all intact; raises IntegrityError naming every damaged file."""
        with self.storage.reading():
            return verification.verify(self.blobs, self.storage, self.list(name))

    def checkout(self, version: Version) -> Path:
        """Return the folder ``bundles/<digest>`` holding the version, every byte checked.

        Raises IntegrityError where the bytes in the store are damaged.
        """
        manifest = self.blobs.manifest(version.digest)
        return self.blobs.checkout(manifest, self.folder / "bundles" / version.digest)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change something, and tell the listener of it when it is there to stay."""
        with self.storage.changing():
            self._heard = []
            yield
            heard = self._heard
        if self.listener is not None:
            for entry in heard:
                self.listener(entry)

    def _move(
        self,
        action: str,
        version: Version,
        before: int | None,
        *,
        who: str,
        why: str,
        details: dict[str, Any],
    ) -> Promotion:
        """Move an alias that still points to ``before``; raises ConflictError where it does not."""
        name, alias, move = version.name, str(details["alias"]), None
        with self._changing():
            now = self._lookup.number_of(name, alias)
            if now != before:
                raise _moved(name, alias, before, now)
            if self._has_gone(version):
                raise _pruned(version)
            if now != version.number:
                source = "" if now is None else str(now)
                words = {"source": source, "to": str(version.number), "why": why}
                move = move_of(self._do(action, who=who, name=name, details=details, **words))
            current = self._lookup.numbered(name, version.number)
        return Promotion(version=current, alias=alias, previous=before, move=move)

    def _check(self, version: Version) -> None:
        """Hash every byte of a version; raises IntegrityError, or NotFoundError if pruned."""
        if self._has_gone(version):
            raise _pruned(version)
        verification.check_version(self.blobs, version)

    def _has_gone(self, version: Version) -> bool:
        """Return whether the log says that its bytes went, or are about to."""
        return (version.name, version.number) in self.storage.catalog.pruned()

    def _restore(self, file: VersionFile, who: str) -> None:
        """Write down that a version whose bytes went has them again."""
        if (file.name, file.number) in self.storage.catalog.pruned():
            details = {"digest": file.digest}
            self._do(RESTORE, who=who, name=file.name, to=str(file.number), details=details)

    def _do(self, action: str, **words: Any) -> Entry:
        entry = self.audit.append(action, **words)
        self._shelf.apply(entry)
        self._heard.append(entry)
        return entry

    def _add_evidence(self, version: Version, who: str, evidence: Mapping[str, str]) -> Version:
        added = {step: d for step, d in evidence.items() if version.evidence.get(step) != d}
        if not added:
            return version
        details = {"digest": version.digest, "evidence": added}
        self._do(EVIDENCE, who=who, name=version.name, to=str(version.number), details=details)
        return self._lookup.numbered(version.name, version.number)


def _told(gates: Sequence[GateResult]) -> builtins.list[dict[str, Any]]:
    return [{"gate": gate.gate, "outcome": gate.outcome, "value": gate.value} for gate in gates]


def _check_override(override: str | None) -> None:
    if override is not None and not override.strip():
        raise UsageError(
            "an override needs a reason",
            why="the audit log keeps why a gate was passed by",
            fix='say why, for example: --override "hotfix for the broken feed, agreed with Ana"',
        )


def _moved(name: str, alias: str, expected: int | None, found: int | None) -> ConflictError:
    return ConflictError(
        f"{name}@{alias} was moved by somebody else",
        why=f"it pointed to {expected or 'no version'}, now it points to {found or 'no version'}",
        fix=f"look at what happened (afterfit version log {name}), then run the same command again",
    )


def _pruned(version: Version) -> NotFoundError:
    return NotFoundError(
        f"the bytes of {version.name}@{version.number} were pruned",
        why=f"the audit log says when and by whom: afterfit version show "
        f"{version.name}@{version.number}",
        fix="ship the same model again: an equal bundle gets its old number back",
    )


def _nothing_before(name: str, alias: str, history: Sequence[Move]) -> NotFoundError:
    if not history:
        why = f"{name} never had a {alias}"
        fix = f"afterfit version promote {name}@NUMBER"
    else:
        tried = ", ".join(str(number) for number in dict.fromkeys(move.to for move in history))
        why = (
            f"{alias} held {tried}; every other one was rolled back from"
            if len({move.to for move in history}) > 1
            else f"{history[-1].to} is the only version that was ever {alias}"
        )
        fix = (
            f"choose one: afterfit version list {name}, then afterfit version promote {name}@NUMBER"
        )
    return NotFoundError(f"nothing to roll {name}@{alias} back to", why=why, fix=fix)
