"""The workspace: configuration, stores and the verbs as methods."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from afterfit.config import Config, Loaded, changed, load_config
from afterfit.core.bundle import Bundle
from afterfit.core.digest import sha256_file
from afterfit.core.gate import GateResult
from afterfit.core.metric_names import is_alarm, judged
from afterfit.core.progress import SILENT, Progress
from afterfit.errors import AfterfitError, ForbiddenError, NotFoundError
from afterfit.models.audit import Audit, audit, require_meant
from afterfit.models.loaded import Hints, LoadedModel, open_model
from afterfit.models.trust import allow as grant
from afterfit.models.trust import check_exact, load_allow
from afterfit.monitor.config import MonitorConfig
from afterfit.package.config import PackageConfig
from afterfit.package.run import package_for
from afterfit.predict.config import PredictConfig
from afterfit.predict.run import predict_file
from afterfit.records.codec import AnyRecord, Stored
from afterfit.records.record import Record, reuse_key
from afterfit.registry.registry import Registry
from afterfit.registry.version import GateRefusal, Promotion, Version
from afterfit.runtime.embed import EmbeddedModel
from afterfit.runtime.predict import load_bundle
from afterfit.serve.run import ServedBundle
from afterfit.store.blobs import BlobStore
from afterfit.store.environment import current_environment
from afterfit.store.files import file_lock, os_errors
from afterfit.store.records import RecordStore, in_envelope
from afterfit.workspace.age import expired, explained, max_age
from afterfit.workspace.evidence import attached, refreshed
from afterfit.workspace.proven import proven_of
from afterfit.workspace.sources import Told, sources_of

if TYPE_CHECKING:
    from afterfit.workspace.serving import Served

DEFAULT = Path(".afterfit")


class Workspace:
    """A folder that carries records, blobs and versions between steps.

    ``config`` defaults to the nearest ``afterfit.toml``; ``given`` holds those of its settings that
    somebody set, with dotted names. Raises NotFoundError for a folder that
    is not there unless ``create``, ForbiddenError where it cannot be written. ``warnings`` collects
    what the user has to be told and what stopped nothing.
    """

    def __init__(
        self,
        folder: Path | str = DEFAULT,
        *,
        config: Config | Loaded | None = None,
        progress: Progress = SILENT,
        create: bool = True,
    ) -> None:
        self.folder = Path(folder)
        if create:
            with os_errors(self.folder, "create"):
                self.folder.mkdir(parents=True, exist_ok=True)
        elif not self.folder.is_dir():
            raise NotFoundError(
                "there is no workspace here",
                where=str(self.folder),
                why="a workspace is made by the first `afterfit ship`",
                fix="go to the folder where you shipped, or give --workspace FOLDER",
            )
        loaded = load_config() if config is None else config
        self.config = loaded.config if isinstance(loaded, Loaded) else loaded
        self.given = loaded.given if isinstance(loaded, Loaded) else changed(loaded)
        self.progress = progress
        self.records = RecordStore(self.folder)
        self.blobs = BlobStore(self.folder)
        self.registry = Registry(self.folder, self.blobs)
        self.reused: list[str] = []
        self.warnings: list[str] = []

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

    def evidence(self, version: Version) -> dict[str, Stored]:
        """Return the records attached to a version by step; raises IntegrityError for a bad one."""
        return {step: self.records.get(digest) for step, digest in version.evidence.items()}

    def attach(self, ref: str, record: str) -> Version:
        """Return a version with a record, told by its digest, as its evidence of that step."""
        return attached(self, ref, self.records.get(record))

    def attach_where_due(self, stored: Stored) -> Stored:
        """Return the record, attached to versions of its bundle without evidence that counts."""
        refreshed(self, stored)
        return stored

    def judge(self, records: dict[str, Stored]) -> tuple[GateResult, ...]:
        """Return what each gate of the configuration says of these records, alarms left out.

        A record that is too old to count is evidence of nothing.
        """
        old = expired(records)
        metrics = {step: r.body.metrics for step, r in records.items() if step not in old}
        gates = (gate for gate in self.config.parsed_gates() if not is_alarm(gate))
        return explained(tuple(judged(gate, metrics) for gate in gates), old)

    def promote(
        self,
        name: str,
        number: int,
        *,
        alias: str = "champion",
        why: str = "",
        override: str | None = None,
    ) -> Promotion | GateRefusal:
        """Return the move of an alias, or the refusal where a gate did not pass.

        The gates are judged anew on the version's records; ``override`` is a reason, kept in the
        audit log, to promote all the same.
        """
        version = self.registry.resolve(f"{name}@{number}")
        gates = self.judge(self.evidence(version))
        return self.registry.promote(
            name, number, alias, who=self.who, why=why, gates=gates, override=override
        )

    def rollback(self, name: str, *, why: str = "", alias: str = "champion") -> Promotion:
        """Return the move of an alias back to the last version that it pointed to before."""
        return self.registry.rollback(name, who=self.who, why=why, alias=alias)

    def verify_store(self) -> list[AfterfitError]:
        """Return what is wrong with records and blobs, after hashing every byte."""
        broken: list[AfterfitError] = [error for _, error in self.records.verify()]
        return broken + [error for _, error in self.blobs.verify()]

    def version(self, ref: str) -> ServedBundle:
        """Return the version that ``ref`` names, checked out on this machine and verified."""
        found = self.registry.resolve(ref)
        folder = self.registry.checkout(found)
        return ServedBundle(found.number, found.digest, folder, proven_of(self.folder, found))

    def load(self, ref: str, *, events: bool = True) -> EmbeddedModel:
        """Return a version to be asked in this process: validation and events as when served."""
        found = self.registry.resolve(ref)
        return EmbeddedModel(
            self.registry.checkout(found),
            name=found.name,
            version=found.number,
            events=self.events if events else None,
            expected=found.digest,
        )

    def predict(
        self, ref: str, source: Path, output: Path, config: PredictConfig | None = None
    ) -> Stored:
        """Return the record of scoring a file with a version."""
        started = time.monotonic()
        bundle = self.version(ref)
        predictor = load_bundle(bundle.folder, expected=bundle.digest)
        record = predict_file(predictor, source, output, config, progress=self.progress)
        return self.keep(record, started=started)

    def release(self, ref: str) -> Any:
        """Return the newest Release of the version that ``ref`` names, its page rendered anew."""
        from afterfit.workspace.publish import latest_release

        found = self.registry.resolve(ref)
        return latest_release(self, found.name, found.number)

    def package(self, ref: str, destination: str, folder: Path, config: PackageConfig) -> Stored:
        """Return the record of writing what a destination needs to run a version.

        The server's name and number of the model are the version's own, whatever ``config`` says.
        """
        started = time.monotonic()
        self.progress.step("package")
        found = self.registry.resolve(ref)
        proven = proven_of(self.folder, found)
        told = {"name": found.name, "number": found.number, "proven": proven}
        config = msgspec.structs.replace(config, **told)
        bundle = Bundle(self.registry.checkout(found))
        record = package_for(destination, bundle, folder, config)
        return self.keep(record, started=started)

    def ship(self, model: Any, data: Any, target: Any = None, **options: Any) -> Any:
        """Return the Release of a model; see `afterfit.ship` for the options."""
        from afterfit.workspace.ship import ship

        return ship(self, model, data, target, **options)

    def inspect(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of the signature of a model and its rows, and what is odd about them.

        Here as for the other steps ``model``, ``data`` and ``target`` are as in `afterfit.ship`,
        and the steps that this one needs run before it, where their records cannot be reused.
        """
        return self._alone("inspect", model, data, target, told, fresh=fresh)

    def assess(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of how good the model is, with intervals and beside a baseline."""
        return self._alone("assess", model, data, target, told, fresh=fresh)

    def optimize(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of the forms of the model, and of the one that would ship."""
        return self._alone("optimize", model, data, target, told, fresh=fresh)

    def robustness(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of what strange rows did to the bundle that would ship."""
        return self._alone("robustness", model, data, target, told, fresh=fresh)

    def loadtest(
        self,
        model: Any,
        data: Any,
        target: Any = None,
        *,
        fresh: bool = False,
        **told: Unpack[Told],
    ) -> Stored:
        """Return the record of the latency of the bundle that would ship, served on loopback."""
        return self._alone("loadtest", model, data, target, told, fresh=fresh)

    def serve(self, *refs: str, **options: Any) -> AbstractContextManager[Served]:
        """Return a server of versions, for a ``with`` block; see `serving` for the options."""
        from afterfit.workspace.serving import serving

        return serving(self, refs, **options)

    def monitor(self, ref: str, config: MonitorConfig | None = None) -> Stored:
        """Return the record of what a version saw and said, from its events and live counts."""
        from afterfit.workspace.watching import report_on_events

        return report_on_events(self, ref, config or MonitorConfig(gates=self.config.gates))

    def monitor_log(
        self, log: str | Path, mapping: Mapping[str, str], config: MonitorConfig, **beside: Any
    ) -> Stored:
        """Return the record of anyone's prediction log; see `report_on_log` for ``beside``."""
        from afterfit.workspace.watching import report_on_log

        return report_on_log(self, log, mapping, config, **beside)

    def _alone(
        self, step: str, model: Any, data: Any, target: Any, told: Told, *, fresh: bool
    ) -> Stored:
        from afterfit.workspace.line import alone

        return alone(self, step, sources_of(model, data, target, told), fresh=fresh)
