"""The daemon of an endpoint with what a workspace has: versions, events, silences, channels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from afterfit.core.cuts import Cut
from afterfit.core.digest import digest_of
from afterfit.core.fingerprint import ColumnCounts
from afterfit.core.signature import Signature
from afterfit.errors import ConflictError, NotFoundError, UnavailableError
from afterfit.monitor.alarms import Alarms
from afterfit.monitor.book import PREFIX
from afterfit.monitor.calibrate import Calibration
from afterfit.monitor.channels import open_channels
from afterfit.monitor.concepts import CONCEPT, Stream
from afterfit.monitor.labelled import BASELINE, LabelFeed
from afterfit.monitor.labels import LabelJoin
from afterfit.monitor.notify import Notifier
from afterfit.monitor.producers import PRODUCERS
from afterfit.monitor.run import changes_of
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.settings import watch_of
from afterfit.monitor.setup import Kept, Setup, now_us
from afterfit.monitor.silence import Quiet, SilenceBook
from afterfit.monitor.sources import EventSource, LogColumns, QuerySource, TableSource
from afterfit.monitor.store import Change, MonitorStore, open_store
from afterfit.monitor.table import Reference
from afterfit.monitor.watched import Watched
from afterfit.records.signals import Scope
from afterfit.registry.version import Version
from afterfit.runtime.client import Client
from afterfit.runtime.predict import load_bundle
from afterfit.workspace.acting import actions_of, gates_of
from afterfit.workspace.grounding import grounded, keep_file

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["Foreign", "Status", "monitor_store", "setup_of", "status_of"]

T = TypeVar("T")


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the watch of one endpoint stands; moments are µs since 1970, 0 where there is none.

    ``read`` is when its log was last read to the end, ``newest`` when the newest prediction came,
    ``closed`` until when windows are judged. ``late`` counts rows by version whose window was
    closed, ``failed`` says what signals could not be made, and why; ``missing`` by version which
    are not, since no rows are at hand; ``impossible`` counts rows by what is wrong with them.
    """

    endpoint: str
    running: bool
    rows: int
    read: int
    newest: int
    closed: int
    open_windows: int
    alarms: tuple[str, ...] = ()
    late: dict[str, int] = {}
    failed: dict[str, str] = {}
    missing: dict[str, str] = {}
    impossible: dict[str, int] = {}
    versions: tuple[str, ...] = ()


def monitor_store(space: Workspace, *, make: bool = True) -> MonitorStore:
    """Return where monitoring keeps things; raises NotFoundError where nothing is, unless made."""
    address, usual = space.config.monitor.store, space.folder / "monitor"
    place = Path(address.removeprefix("file://") or usual)
    if not make and "://" not in address and not (place / "monitor.sqlite").is_file():
        raise NotFoundError(
            "nothing was watched here yet",
            where=str(place),
            fix="afterfit monitor run NAME@champion",
        )
    return open_store(address, usual)


def setup_of(
    space: Workspace,
    ref: str,
    store: MonitorStore,
    *,
    events: Path | None = None,
    foreign: Foreign | None = None,
    reference: Path | None = None,
    tell: Callable[[dict[str, Any]], None] = lambda _: None,
    clock: Callable[[], int] = now_us,
) -> Setup:
    """Return what a daemon needs to watch the versions that a reference names.

    An alias, such as ``churn@champion``, watches every version of the model, since it moves;
    ``churn@3`` watches that one. ``foreign`` is anyone's log in place of the events of a server;
    ``reference`` a file whose rows are kept beside each version. Raises NotFoundError for a
    reference that names no version.
    """
    named = space.registry.resolve(ref)
    alone = ref.partition("@")[2].isdigit()
    endpoint = f"{named.name}@{named.number}" if alone else named.name
    own = alone or foreign is not None
    versions = _Versions(space, store, endpoint, named.name, named.digest if own else "", reference)
    log = None if foreign is None else foreign.source(named, versions)
    place = space.events if events is None else events
    watch = watch_of(
        space.config.monitor, fairness=space.config.fairness.columns, seed=space.config.line.seed
    )
    settings, gates = space.config.alarms, gates_of(space)
    feed = LabelFeed(
        _join(space, endpoint, versions),
        versions.watched_of,
        watch,
        _parts(store, endpoint, BASELINE, ScoreTable),
        _parts(store, endpoint, CONCEPT, Stream),
        gates.quality,
    )
    channels = open_channels(settings.channels)
    actions = actions_of(space, channels)
    silences = SilenceBook(space.folder / "monitor" / "silences.json", space.registry)
    return Setup(
        endpoint=endpoint,
        source=EventSource(place, versions.signature_of) if log is None else log,
        watched_of=versions.watched_of,
        store=store,
        watch=watch,
        counts=place if log is None else None,
        changes_of=None if log is None else (lambda watched: changes_of(log, watched)),
        alarms_of=lambda state: Alarms(settings, state),
        notifier_of=(lambda alarms: Notifier(alarms, channels, actions))
        if channels or actions
        else None,
        quiet_of=lambda: Quiet(silences.now(), settings.maintenance),
        producers=(*PRODUCERS, gates),
        also=gates.of_points,
        labels=feed,
        metrics=_metrics(watch.metrics_url) if watch.metrics_url else None,
        tell=tell,
        clock=clock,
    )


def _metrics(url: str) -> Callable[[], str]:
    """Return what reads a server's metrics, with the key in AFTERFIT_METRICS_KEY where it is set.

    It raises AfterfitError where nobody answers, or not with metrics.
    """
    client = Client(url, timeout=5.0)
    key = os.environ.get("AFTERFIT_METRICS_KEY", "")

    def read() -> str:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        reply = client.request("GET", "/metrics", None, **headers)
        if reply.status != HTTPStatus.OK:
            raise UnavailableError(
                f"the server's metrics cannot be read: status {reply.status}",
                where=url,
                fix="set AFTERFIT_METRICS_KEY to a key that may observe: afterfit key create",
            )
        return reply.body.decode("utf-8", "replace")

    return read


def _join(space: Workspace, endpoint: str, versions: _Versions) -> LabelJoin:
    """Return the join of an endpoint, with the groups of the columns of ``[fairness]``."""
    watched = versions.newest()
    fingerprint = None if watched is None else watched.reference.fingerprint
    columns = () if fingerprint is None else map(fingerprint.column, space.config.fairness.columns)
    cuts = [_cut(column) for column in columns if column is not None]
    place = space.folder / "monitor"
    place.mkdir(parents=True, exist_ok=True)
    return LabelJoin(place / f"labels-{endpoint}.sqlite", cuts=cuts)


def _cut(column: ColumnCounts) -> Cut:
    """Return the groups of a column: its values, or four ranges of about as many rows."""
    if column.kind in ("category", "text"):
        return Cut(column.name, ordered=False, values=tuple(column.categories))
    quarter = max(1, len(column.edges) // 4)
    return Cut(column.name, ordered=True, edges=tuple(column.edges[quarter::quarter][:3]))


def _parts(store: MonitorStore, endpoint: str, prefix: str, kind: type[T]) -> dict[str, T]:
    """Return the pieces of a daemon's state whose names begin so, by the rest of the name."""
    return {
        name.removeprefix(prefix): msgspec.msgpack.decode(body, type=kind)
        for name, body in store.parts(endpoint, prefix).items()
    }


@dataclass(frozen=True)
class Foreign:
    """Anyone's log of the answers of one version: tables, or the rows of ``query`` in a database.

    ``mapping`` says what its columns mean.
    """

    log: str
    mapping: Mapping[str, str]
    query: str = ""

    def source(self, version: Version, versions: _Versions) -> TableSource | QuerySource:
        """Return it as a source that can be gone on with."""
        scope = Scope(model=version.name, version=version.number, digest=version.digest)
        watched = versions.watched_of(scope)
        if watched is None:
            raise NotFoundError(
                "the version is gone",
                where=f"{version.name}@{version.number}",
                fix=f"afterfit version list {version.name}",
            )
        columns = LogColumns(self.mapping, watched.signature, scope)
        if self.query:
            return QuerySource(self.log, self.query, columns)
        return TableSource(Path(self.log), columns, waiting=True)


@dataclass
class _Versions:
    """The versions of a model by digest, each loaded when its first prediction is read."""

    space: Workspace
    store: MonitorStore
    endpoint: str
    name: str
    digest: str
    file: Path | None = None

    def __post_init__(self) -> None:
        self._known: dict[str, Watched | None] = {}

    def watched_of(self, scope: Scope) -> Watched | None:
        """Return the version of a scope; None for another model, or one that is gone."""
        if scope.model != self.name or self.digest not in ("", scope.digest):
            return None
        if scope.digest not in self._known:
            self._known[scope.digest] = self._load(scope.digest)
        return self._known[scope.digest]

    def newest(self) -> Watched | None:
        """Return the version that was registered last, of those that are watched."""
        found = [v for v in self.space.registry.list(self.name) if self.digest in ("", v.digest)]
        if not found:
            return None
        version = max(found, key=lambda each: each.number)
        return self.watched_of(Scope(model=self.name, digest=version.digest))

    def signature_of(self, scope: Scope) -> Signature | None:
        """Return its signature."""
        watched = self.watched_of(scope)
        return None if watched is None else watched.reference.signature

    def _load(self, digest: str) -> Watched | None:
        registry = self.space.registry
        found = next((v for v in registry.list(self.name) if v.digest == digest), None)
        if found is None:
            return None
        predictor = load_bundle(registry.checkout(found), expected=digest)
        reference = Reference(digest, predictor.signature, predictor.fingerprint)
        if self.file is not None:
            keep_file(self.space, predictor, self.file)
        watched = grounded(self.space, Watched(reference, seed=self.space.config.line.seed))
        return watched if watched.grounds is not None else self._calibrated(watched)

    def _calibrated(self, watched: Watched) -> Watched:
        """Return a version with its thresholds, which are made once and then kept."""
        fingerprint = watched.reference.fingerprint
        if fingerprint is None:
            return watched
        part = f"calibration/{watched.reference.subject}"
        body = self.store.parts(self.endpoint, part).get(part)
        if body is not None:
            kept = msgspec.msgpack.decode(body, type=Calibration)
            if kept.reference == digest_of(fingerprint):
                watched.kept = kept
                return watched
        if watched.calibration is not None:
            made = msgspec.msgpack.encode(watched.calibration)
            self.store.commit(self.endpoint, Change(parts={part: made}))
        return watched


def status_of(store: MonitorStore, endpoint: str) -> Status:
    """Return how the watch of an endpoint stands."""
    body = store.parts(endpoint, "kept").get("kept")
    kept = Kept() if body is None else msgspec.msgpack.decode(body, type=Kept)
    progress = kept.progress
    scopes = {(tempo.scope.model, tempo.scope.version) for tempo in kept.tempos}
    models = {rhythm.scope.model for rhythm in kept.rhythms}
    lasting = [a for a in store.alarms(lasting=True) if a.scope.model in models]
    return Status(
        endpoint=endpoint,
        running=_is_watched(store, endpoint),
        rows=progress.rows,
        read=progress.read,
        newest=progress.newest,
        closed=progress.closed,
        open_windows=len(store.part_names(endpoint, PREFIX)),
        alarms=tuple(f"{a.severity}: {a.signal} {a.subject}".strip() for a in lasting),
        late=progress.late,
        failed=progress.failed,
        missing=progress.missing,
        impossible=progress.impossible,
        versions=tuple(f"{model}@{version}" for model, version in sorted(scopes)),
    )


def _is_watched(store: MonitorStore, endpoint: str) -> bool:
    try:
        with store.writer(endpoint):
            return False
    except ConflictError:
        return True
