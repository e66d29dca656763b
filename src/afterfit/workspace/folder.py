"""The folder of a workspace: its configuration, its stores, and steps that reuse records."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from afterfit.config import Config, Loaded, changed, load_config
from afterfit.core.digest import sha256_file
from afterfit.core.progress import SILENT, Progress
from afterfit.errors import AfterfitError, ForbiddenError, NotFoundError
from afterfit.models.audit import Audit, audit, require_meant
from afterfit.models.loaded import Hints, LoadedModel, open_model
from afterfit.models.trust import allow as grant
from afterfit.models.trust import check_exact, load_allow
from afterfit.records.codec import AnyRecord, Stored
from afterfit.records.record import Record, reuse_key
from afterfit.registry.shared.opening import open_stores
from afterfit.registry.shared.place import place_of
from afterfit.store.environment import current_environment
from afterfit.store.files import file_lock, os_errors
from afterfit.store.records import in_envelope
from afterfit.workspace.age import max_age
from afterfit.workspace.triggering import listen

__all__ = ["WorkspaceFolder"]


class WorkspaceFolder:
    """A folder that carries records, blobs and versions, and what was let in there.

    The workspace of a team is told by a URL or a ``workspace.toml``, as `SharedPlace` says: its
    records, blobs and versions are there, and ``folder`` is one of copies on this machine.
    By default it is what ``config`` says, which is the folder ``.afterfit``.
    ``config`` defaults to the nearest ``afterfit.toml``; ``given`` holds those of its settings that
    somebody set, with dotted names. Raises NotFoundError for a folder that is not there unless
    ``create``, ForbiddenError where it cannot be written. ``warnings`` collects what the user has
    to be told and what stopped nothing.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        config: Config | Loaded | None = None,
        progress: Progress = SILENT,
        create: bool = True,
    ) -> None:
        loaded = load_config() if config is None else config
        self.config = loaded.config if isinstance(loaded, Loaded) else loaded
        self.given = loaded.given if isinstance(loaded, Loaded) else changed(loaded)
        told = self.config.workspace if folder is None else folder
        shared = place_of(told)
        self.folder = Path(told) if shared is None else shared.folder
        if create:
            with os_errors(self.folder, "create"):
                self.folder.mkdir(parents=True, exist_ok=True)
        elif shared is None and not self.folder.is_dir():
            raise NotFoundError(
                "there is no workspace here",
                where=str(self.folder),
                why="a workspace is made by the first `afterfit ship`",
                fix="go to the folder where you shipped, or give --workspace FOLDER",
            )
        self.progress = progress
        stores = open_stores(told, create=create)
        self.records, self.blobs, self.registry = stores.records, stores.blobs, stores.registry
        self.reused: list[str] = []
        self.warnings: list[str] = []
        listen(self)

    @property
    def who(self) -> str:
        """The name that the audit log writes down: ``AFTERFIT_USER`` or the system's user."""
        named = os.environ.get("AFTERFIT_USER")
        if named:
            return named
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"

    @property
    def trust_book(self) -> Path:
        """Where names that were let in are kept."""
        return self.folder / "trust.json"

    @property
    def events(self) -> Path:
        """Where servers write events."""
        return self.folder / "events"

    @property
    def reports(self) -> Path:
        """Where pages are written."""
        return self.folder / "reports"

    def trust(
        self, file: Path, names: tuple[str, ...], *, hostile: bool = False
    ) -> tuple[Audit, frozenset[str]]:
        """Return the audit of a model file after letting ``names`` in, and all that is let in.

        Names that are known to be dangerous raise UntrustedError unless ``hostile``. What is let in
        is bound to the file's digest and written to the audit log, the log first: a crash in
        between leaves a line that let nothing in, and no name without its line.
        """
        if not file.is_file():
            raise NotFoundError("no such file", where=str(file), fix="look at the path")
        digest = sha256_file(file)
        if names:
            check_exact(names)
            if not hostile:
                require_meant(audit(file), file, names)
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            with file_lock(self.folder / "trust.lock"):
                self.registry.note(
                    "trust",
                    who=self.who,
                    to=digest,
                    details={"allow": sorted(names), "file": file.name},
                )
                grant(self.trust_book, digest, names, self.who, when)
        allowed = load_allow(self.trust_book, digest)
        return audit(file, allow=allowed), allowed

    def open_model(
        self, source: Any, *, code: Path | None = None, hints: Hints | None = None
    ) -> LoadedModel:
        """Return the model behind its adapter, audited with what was let in for its digest."""
        path = Path(source) if isinstance(source, str | Path) else None
        allowed: frozenset[str] = frozenset()
        if path is not None and path.is_file():
            allowed = load_allow(self.trust_book, sha256_file(path))
        if path is not None and ":" not in str(source):
            source = path
        workdir = self.folder / "models"
        with os_errors(workdir, "create"):
            workdir.mkdir(parents=True, exist_ok=True)
        return open_model(source, allow=allowed, code=code, hints=hints or Hints(), workdir=workdir)

    def run_step(  # noqa: PLR0913 - all that a record depends on
        self,
        step: str,
        make: Callable[[], Record],
        *,
        subject: str,
        inputs: dict[str, str],
        resolved: Any,
        measured: bool = False,
        fresh: bool = False,
        args: dict[str, Any] | None = None,
        seconds: float | None = None,
    ) -> Stored:
        """Return the step's record: one that was made of the same inputs, or a new one.

        ``args`` is what was asked for, which a new record keeps beside what it came to. ``seconds``
        is what the step may take: a partial record that was made in less is made anew.
        """
        key = reuse_key(step, subject, inputs, resolved, current_environment(), measured=measured)
        found = None if fresh else self.records.find(key, max_age=max_age(step), seconds=seconds)
        if found is not None:
            self.reused.append(step)
            self.progress.say(f"  = {step}: nothing changed, its record is reused")
            return found
        started = time.monotonic()
        record: AnyRecord = msgspec.structs.replace(make(), args=args or {})  # type: ignore[assignment]
        return self.records.put(record, key=key, started=started, seconds=seconds)

    def keep(self, record: AnyRecord, *, started: float) -> Stored:
        """Return the record of something that is done, kept where the workspace can be written.

        Where it cannot (a read-only mount of a scoring job), ``warnings`` says so: what the user
        asked for stands all the same.
        """
        stored = in_envelope(record, started=started)
        try:
            return self.records.add(stored)
        except ForbiddenError as error:
            self.warnings.append(f"the record of {record.step} was not kept: {error.message}")
            return stored

    def verify_store(self) -> list[AfterfitError]:
        """Return what is wrong with records and blobs, after hashing every byte."""
        broken: list[AfterfitError] = [error for _, error in self.records.verify()]
        return broken + [error for _, error in self.blobs.verify()]
