"""Where the pages get what they show: the files of a workspace, running servers, the monitor."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from afterfit.errors import AfterfitError, IntegrityError, NotFoundError, UnavailableError
from afterfit.records.codec import Stored
from afterfit.records.ship import ShipRecord
from afterfit.registry.shared.opening import open_stores
from afterfit.store.index import Row

if TYPE_CHECKING:
    from afterfit.core.frame import Frame
    from afterfit.monitor.store.base import MonitorStore, PointQuery
    from afterfit.records.signals import Alarm, SignalPoint
    from afterfit.runtime.running import Running
    from afterfit.serve.observe import EndpointReport
    from afterfit.workspace import Workspace

__all__ = ["Seen", "Server", "Site", "kept_by_monitor"]

KEPT_RECORDS = 256
KEPT_RANKINGS = 16
ANSWER_S = 2.0


@dataclass(frozen=True)
class Server:
    """A server of this machine: its folder's name and address, and what it told or why not."""

    name: str
    url: str
    pid: int
    report: EndpointReport | None = None
    problem: str = ""


class Seen:
    """What monitoring keeps, read by one thread at a time, as its connection wants it."""

    def __init__(self, store: MonitorStore) -> None:
        self._store = store
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def kept(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what was made for a key before, or make it now; the newest few are kept."""
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = make()
            while len(self._kept) > KEPT_RANKINGS:
                self._kept.popitem(last=False)
        return found

    def points(self, query: PointQuery, *, limit: int = 0) -> list[SignalPoint]:
        """Return the points, oldest window first; only the newest where there is a ``limit``."""
        with self._lock:
            return self._store.points(query, limit=limit)

    def series(self, query: PointQuery) -> Frame:
        """Return the points as columns without evidence, oldest window first."""
        with self._lock:
            return self._store.series(query)

    def alarms(self, *, lasting: bool = False) -> list[Alarm]:
        """Return the alarms, newest first; ``lasting`` leaves out those that were resolved."""
        with self._lock:
            return self._store.alarms(lasting=lasting)


class Site:
    """What one workspace knows; nothing here changes it, and threads may share it.

    ``monitor`` opens where monitoring keeps things, or gives None where it keeps nothing yet.
    ``clock`` gives seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        monitor: Callable[[], MonitorStore | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not folder.is_dir():
            raise NotFoundError(
                "there is no workspace here",
                where=str(folder),
                why="a workspace is made by the first `afterfit ship`",
                fix="go to the folder where you shipped, or give --workspace FOLDER",
            )
        self.folder = folder
        self.clock = clock
        stores = open_stores(folder)
        self.records, self.registry = stores.records, stores.registry
        self._open_monitor = monitor
        self._seen: Seen | None = None
        # A record never changes, so what was read and checked once may be shown again.
        self.record: Callable[[str], Stored] = lru_cache(KEPT_RECORDS)(self.records.get)

    @property
    def name(self) -> str:
        """What the workspace is called: the folder that it is in."""
        return self.folder.resolve().parent.name or "workspace"

    @property
    def monitor(self) -> Seen | None:
        """What monitoring keeps, looked for anew until there is something."""
        if self._seen is None:
            store = self._open_monitor()
            self._seen = None if store is None else Seen(store)
        return self._seen

    def rows(self, step: str | None = None, subject: str | None = None) -> tuple[Row, ...]:
        """Return the records as the index has them, newest first."""
        return self.records.rows(step, subject)

    def read(self, rows: tuple[Row, ...], most: int) -> Iterator[Stored]:
        """Yield the first records that can be read."""
        for row in rows[:most]:
            try:
                yield self.record(row.digest)
            except (IntegrityError, NotFoundError):
                continue

    def releases(self) -> dict[tuple[str, int], Stored]:
        """Return the newest release of each version, by name and number."""
        found: dict[tuple[str, int], Stored] = {}
        rows = self.rows("ship")
        for stored in self.read(rows, len(rows)):
            if isinstance(stored.body, ShipRecord):
                found.setdefault((stored.body.name, stored.body.version or 0), stored)
        return found

    def running(self) -> list[tuple[str, Running]]:
        """Return the servers of the workspace that run here, with the names of their folders."""
        from afterfit.serve.rollout import servers

        return [(folder.name, running) for folder, running in servers(self.folder / "endpoints")]

    def servers(self) -> tuple[Server, ...]:
        """Return each running server with what it tells of itself."""
        return tuple(_asked(name, running) for name, running in self.running())

    def alarms(self, *, lasting: bool = False) -> tuple[Alarm, ...]:
        """Return the alarms, newest first."""
        return () if self.monitor is None else tuple(self.monitor.alarms(lasting=lasting))

    def workspace(self) -> Workspace:
        """Return the workspace, for what only its verbs can tell; imports more than most pages."""
        from afterfit.workspace import Workspace

        return Workspace(self.folder, create=False)


def _asked(name: str, running: Running) -> Server:
    from afterfit.runtime.client import AdminClient
    from afterfit.serve.observe import observe

    try:
        status = AdminClient(running.admin, running.token, timeout=ANSWER_S).status()
    except UnavailableError as error:
        return Server(name, running.url, running.pid, problem=error.why or error.message)
    except AfterfitError as error:
        return Server(name, running.url, running.pid, problem=error.message)
    return Server(name, running.url, running.pid, observe(status))


def kept_by_monitor(folder: Path) -> MonitorStore | None:
    """Return what the monitor of a workspace keeps, where ``[monitor] store`` says; None: nothing.

    Nothing is made: a folder without a database is one that no monitor has written to.
    """
    from afterfit.config import load_config
    from afterfit.monitor.store import open_store

    address, usual = load_config().config.monitor.store, folder / "monitor"
    place = address.removeprefix("file://")
    if "://" not in place and not (Path(place or usual) / "monitor.sqlite").is_file():
        return None
    return open_store(address, usual)
