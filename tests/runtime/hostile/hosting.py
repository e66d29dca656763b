"""A server for hostile tests: on the routes of every platform, with its log and its memory."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from afterfit.runtime.client import AdminClient, Client
from afterfit.serve import run
from afterfit.serve.config import ServeConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROUTES = {
    "/ping": "health",
    "/invocations": "invocations",
    "/vertex": "vertex",
    "/score": "azureml",
}


class Hosted(NamedTuple):
    """A running server, the file of its log, and its folder of events."""

    handle: run.ServerHandle
    log: Path
    events: Path

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return int(self.handle.url.rsplit(":", 1)[1])

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [worker["pid"] for worker in self.handle.admin.workers()["workers"]]

    def memory_mb(self) -> float:
        """The resident memory of the workers, in MB (10^6 bytes)."""
        return sum(resident_kb(pid) for pid in self.workers()) * 1024 / 1e6

    def gauge(self, name: str, client: Client | None = None) -> float:
        """The value of a metric without labels, asked on a connection of its own where none is."""
        if client is None:
            with self.handle.client() as fresh:
                return self.gauge(name, fresh)
        text = client.get("/metrics").body.decode()
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name))

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """The lines of the log, of one kind or all."""
        found = [msgspec.json.decode(line) for line in self.log.read_bytes().splitlines()]
        return [line for line in found if not event or line.get("event") == event]


def resident_kb(pid: int) -> int:
    """The resident memory of a process, in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


@contextmanager
def hosted(
    folder: Path,
    makers: Mapping[str, Callable[[Path], str]],
    *,
    change: Callable[[Any], Any] = lambda worker: worker,
    **config: Any,
) -> Iterator[Hosted]:
    """A server of bundles by name, versions 1, 2, …; ``change`` changes the worker's settings."""
    bundles = {
        name: run.ServedBundle(number, make(folder / f"m{number}"), folder / f"m{number}")
        for number, (name, make) in enumerate(makers.items(), 1)
    }
    events = Path(config.setdefault("events", str(folder / "events")))
    asked = ServeConfig(port=0, **config)
    state = folder / "state"
    for bundle in bundles.values():
        run.link_bundle(state / "bundles", bundle.digest, bundle.folder)
    scratch = tempfile.TemporaryDirectory(prefix="afterfit-")
    settings = run._settings(bundles, asked, state, Path(scratch.name))
    worker = change(msgspec.structs.replace(settings.worker, routes=ROUTES))
    settings = msgspec.structs.replace(settings, worker=worker)
    path = folder / "server.log"
    with path.open("wb") as log:
        process, ready = run._spawn(settings, Path(scratch.name), 60.0, log)
    admin = AdminClient(ready["admin"], settings.admin_token)
    with run.ServerHandle(process, ready["url"], admin, state / "bundles", scratch) as handle:
        yield Hosted(handle, path, events)
