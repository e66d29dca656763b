"""The daemon of an endpoint with what a workspace has: versions, events, silences, channels."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from afterfit.monitor.labelled import BASELINE, LabelFeed
from afterfit.monitor.labels import LabelJoin
from afterfit.monitor.notify import Notifier
from afterfit.monitor.producers import PRODUCERS, Watched
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.settings import watch_of
from afterfit.monitor.setup import Kept, Setup, now_us
from afterfit.monitor.silence import Quiet, SilenceBook
from afterfit.monitor.sources import EventSource
from afterfit.monitor.store import Change, MonitorStore, open_store
from afterfit.monitor.table import Reference
from afterfit.records.signals import Scope
from afterfit.runtime.client import Client
from afterfit.runtime.predict import load_bundle
from afterfit.workspace.acting import actions_of, gates_of

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["Status", "monitor_store", "setup_of", "status_of"]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the watch of one endpoint stands; moments are µs since 1970, 0 where there is none.

    ``read`` is when its log was last read to the end, ``newest`` when the newest prediction came,
    ``closed`` until when windows are judged. ``late`` counts rows by version whose window was
    closed, ``failed`` says what signals could not be made, and why.
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
    tell: Callable[[dict[str, Any]], None] = lambda _: None,
    clock: Callable[[], int] = now_us,
) -> Setup:
    """Return what a daemon needs to watch the versions that a reference names.

    An alias, such as ``churn@champion``, watches every version of the model, since it moves;
    ``churn@3`` watches that one. Raises NotFoundError for a reference that names none.
    """
    named = space.registry.resolve(ref)
    alone = ref.partition("@")[2].isdigit()
    endpoint = f"{named.name}@{named.number}" if alone else named.name
    versions = _Versions(space, store, endpoint, named.name, named.digest if alone else "")
    place = space.events if events is None else events
    watch = watch_of(
        space.config.monitor, fairness=space.config.fairness.columns, seed=space.config.line.seed
    )
    settings = space.config.alarms
    feed = LabelFeed(
        _join(space, endpoint, versions), versions.watched_of, watch, _baselines(store, endpoint)
    )
    channels = open_channels(settings.channels)
    actions, gates = actions_of(space, channels), gates_of(space)
    silences = SilenceBook(space.folder / "monitor" / "silences.json", space.registry)
    return Setup(
        endpoint=endpoint,
        source=EventSource(place, versions.signature_of),
        watched_of=versions.watched_of,
        store=store,
        watch=watch,
        counts=place,
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


def _baselines(store: MonitorStore, endpoint: str) -> dict[str, ScoreTable]:
    parts = store.parts(endpoint, BASELINE)
    return {
        name.removeprefix(BASELINE): msgspec.msgpack.decode(body, type=ScoreTable)
        for name, body in parts.items()
    }


@dataclass
class _Versions:
    """The versions of a model by digest, each loaded when its first prediction is read."""

    space: Workspace
    store: MonitorStore
    endpoint: str
    name: str
    digest: str

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
        return self._calibrated(Watched(reference, seed=self.space.config.line.seed))

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
        versions=tuple(f"{model}@{version}" for model, version in sorted(scopes)),
    )


def _is_watched(store: MonitorStore, endpoint: str) -> bool:
    try:
        with store.writer(endpoint):
            return False
    except ConflictError:
        return True
