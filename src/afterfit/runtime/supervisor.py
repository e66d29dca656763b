"""The supervisor: owns the sockets, starts workers, and changes what they serve.

A change is prepare (load, verify and warm in every worker), persist, commit (an assignment in
every worker), drain. Whatever fails before the commit leaves the old models serving.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from afterfit.errors import (
    AfterfitError,
    ConflictError,
    NotFoundError,
    ResourceError,
    UnavailableError,
    UsageError,
)
from afterfit.runtime import metrics
from afterfit.runtime.child import WorkerProcess
from afterfit.runtime.endpoint import Endpoint, check, read_endpoint, write_atomic
from afterfit.runtime.log import log_line
from afterfit.runtime.settings import ServerSettings, check_bind

__all__ = ["Supervisor", "listen"]

BACKLOG = 1024
QUICK_DEATH_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 10.0
DOCUMENT = "endpoint.json"


class Supervisor:
    """A running server; ``ready`` is called once every worker serves."""

    def __init__(self, settings: ServerSettings, ready: Callable[[Supervisor], None]) -> None:
        self.settings = settings
        self.endpoint = initial_endpoint(settings)
        self.workers: dict[int, WorkerProcess] = {}
        self.restarts = 0
        self.stopping = asyncio.Event()
        self._ready = ready
        self._change = asyncio.Lock()
        self._watchers: set[asyncio.Task[None]] = set()
        check_bind(
            settings.host,
            allow_unauthenticated=settings.allow_unauthenticated,
            keys=settings.worker.keys,
        )
        check(self.endpoint)
        self.listener = listen(settings.host, settings.port)
        self.counters = metrics.create_file(settings.workers)

    @property
    def url(self) -> str:
        """Where the server answers."""
        host, port = self.listener.getsockname()[:2]
        scheme = "https" if self.settings.worker.tls else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    async def run(self) -> None:
        """Serve until a signal says to stop; raises what kept the first workers from serving."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        try:
            self._persist(self.endpoint)
            begun = asyncio.ensure_future(self._begin())
            stop = asyncio.ensure_future(self.stopping.wait())
            await asyncio.wait({begun, stop}, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                begun.result()
                self._ready(self)
                await stop
            begun.cancel()
        finally:
            self.stopping.set()
            await self._stop_all()
            self.listener.close()
            os.close(self.counters)

    async def apply(self, wanted: Endpoint, if_generation: int) -> Endpoint:
        """Return the document that serves now; raises ConflictError, and whatever a worker raised.

        ``if_generation`` is the generation that the caller saw.
        """
        check(wanted)
        if wanted.name != self.endpoint.name:
            raise UsageError("a running endpoint keeps its name", where="$.name")
        async with self._change:
            now = self.endpoint.generation
            if if_generation != now:
                raise ConflictError(
                    f"the endpoint is at generation {now}, not {if_generation}",
                    why="somebody else changed it",
                    fix="read it again and repeat the change on it",
                )
            new = msgspec.structs.replace(wanted, generation=now + 1)
            workers = [worker for worker in self.workers.values() if worker.ready]
            prepared = await self._prepare_all(workers, new)
            await self._commit_all(prepared, new)
            return new

    async def _prepare_all(
        self, workers: list[WorkerProcess], new: Endpoint
    ) -> list[tuple[WorkerProcess, int]]:
        folders = self._folders(new)
        if not workers:
            raise UnavailableError("no worker is ready", fix="try again in a moment")
        seconds = self.settings.prepare_seconds
        answers = await asyncio.gather(
            *(worker.prepare(new, folders, seconds) for worker in workers), return_exceptions=True
        )
        good = [(w, a) for w, a in zip(workers, answers, strict=True) if isinstance(a, int)]
        bad = [answer for answer in answers if isinstance(answer, BaseException)]
        try:
            if not bad:
                self._persist(new)
                return good
        except BaseException:
            _abort(good)
            raise
        _abort(good)
        raise bad[0]

    async def _commit_all(self, prepared: list[tuple[WorkerProcess, int]], new: Endpoint) -> None:
        # From here on a replaced worker starts with the new document.
        self.endpoint = new
        answers = await asyncio.gather(
            *(worker.commit(number) for worker, number in prepared), return_exceptions=True
        )
        for (worker, _), answer in zip(prepared, answers, strict=True):
            if isinstance(answer, BaseException):
                # It may serve either: end it, and its replacement joins the new generation.
                _kill(worker)
        log_line({"event": "changed", "generation": new.generation})

    async def _begin(self) -> None:
        async with self._change:
            await asyncio.gather(*(self._start(slot) for slot in range(self.settings.workers)))

    async def _start(self, slot: int) -> None:
        worker = WorkerProcess(slot)
        self.workers[slot] = worker
        await worker.start(self.listener.fileno(), self.counters, self.settings.worker)
        watcher = asyncio.ensure_future(self._watch(worker))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        folders = self._folders(self.endpoint)
        number = await worker.prepare(self.endpoint, folders, self.settings.prepare_seconds)
        await worker.commit(number)

    async def _watch(self, worker: WorkerProcess) -> None:
        code = await worker.wait()
        if self.stopping.is_set() or not worker.joined:
            return  # whoever started a worker that never served hears of it there
        log_line({"event": "worker_ended", "slot": worker.slot, "pid": worker.pid, "code": code})
        metrics.Metrics(self.counters, worker.slot).set("ready", 0)
        delay = 0.0 if time.monotonic() - worker.started > QUICK_DEATH_SECONDS else 0.1
        await self._replace(worker.slot, delay)

    async def _replace(self, slot: int, delay: float) -> None:
        while not self.stopping.is_set():
            await self._pause(delay)
            if self.stopping.is_set():
                return
            self.restarts += 1
            try:
                async with self._change:
                    await self._start(slot)
            except AfterfitError as error:
                log_line({"event": "worker_failed", "slot": slot, **error.as_dict()})
                _kill(self.workers.pop(slot))
                delay = min(MAX_BACKOFF_SECONDS, max(0.1, delay * 2))
            else:
                return

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds or 0.001)
        except TimeoutError:
            return

    async def _stop_all(self) -> None:
        workers = list(self.workers.values())
        for worker in workers:
            try:
                worker.stop()
            except (AfterfitError, AttributeError):
                continue  # it has ended, or never began
        if self._watchers:
            grace = self.settings.worker.grace_seconds + 5.0
            _, late = await asyncio.wait(set(self._watchers), timeout=grace)
            for worker in workers if late else []:
                _kill(worker)
            if late:
                await asyncio.wait(late, timeout=5.0)

    def _folders(self, endpoint: Endpoint) -> dict[str, str]:
        folders = {}
        for route in endpoint.models.values():
            known = self.settings.folders.get(route.primary)
            folder = Path(known) if known else Path(self.settings.bundles) / route.primary
            if not (known or self.settings.bundles) or not folder.is_dir():
                raise NotFoundError(
                    f"no bundle {route.primary[:12]}… on this machine",
                    where=str(folder),
                    fix="check the bundle out there first",
                )
            folders[route.primary] = str(folder)
        return folders

    def _persist(self, endpoint: Endpoint) -> None:
        if not self.settings.state:
            return
        try:
            folder = Path(self.settings.state)
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / DOCUMENT, msgspec.json.encode(endpoint))
        except OSError as error:
            raise ResourceError(
                "the endpoint document cannot be written", where=self.settings.state, why=str(error)
            ) from None


def initial_endpoint(settings: ServerSettings) -> Endpoint:
    """Return the document to begin with: the given models, else the persisted ones.

    Given models follow on the persisted generation, so that a generation never means two things.
    """
    kept = read_endpoint(Path(settings.state) / DOCUMENT) if settings.state else None
    if not settings.endpoint.models:
        if kept is None:
            raise UsageError("nothing to serve", fix="pass --bundle NAME=FOLDER")
        return kept
    generation = (0 if kept is None else kept.generation) + 1
    return msgspec.structs.replace(settings.endpoint, generation=generation)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises ConflictError for a port that is taken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConflictError(
            f"cannot listen on {host}:{port}",
            why=error.strerror or str(error),
            fix="choose another port: --port 0 takes any that is free",
        ) from None
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _abort(prepared: list[tuple[WorkerProcess, int]]) -> None:
    for worker, number in prepared:
        with suppress(UnavailableError):  # it has ended meanwhile
            worker.abort(number)


def _kill(worker: Any) -> None:
    with suppress(ProcessLookupError, AttributeError):  # it has ended already, or never began
        worker.process.kill()
