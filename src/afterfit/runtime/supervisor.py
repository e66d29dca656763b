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

from afterfit.core.bundle import Bundle
from afterfit.core.signature import Label
from afterfit.errors import (
    AfterfitError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from afterfit.runtime import metrics
from afterfit.runtime.change import check_contracts, loads_of
from afterfit.runtime.child import WorkerProcess
from afterfit.runtime.document import bundle_folder, initial_endpoint, persist
from afterfit.runtime.endpoint import Endpoint, check
from afterfit.runtime.ledger import Ledger, Status, WorkerStatus
from afterfit.runtime.log import log_line
from afterfit.runtime.memory import available_bytes, check_memory, needs
from afterfit.runtime.repository import changed_document
from afterfit.runtime.settings import Ask, ServerSettings, check_bind
from afterfit.runtime.shadow_keeper import Loading, ShadowKeeper
from afterfit.runtime.watchdog import end_tree, hung_seconds

__all__ = ["Supervisor", "listen"]

BACKLOG = 1024
QUICK_DEATH_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 10.0
SHADOW_SECONDS = 5.0
STOP_SECONDS = 0.05


class Supervisor:
    """A running server; ``ready`` is called once every worker serves."""

    def __init__(self, settings: ServerSettings, ready: Callable[[Supervisor], None]) -> None:
        self.settings = settings
        self.endpoint = initial_endpoint(settings)
        self.workers: dict[int, WorkerProcess] = {}
        self.restarts = self.hangs = 0
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
        # The last row is for the process that runs the shadows.
        self.counters = metrics.create_file(settings.workers + 1)
        self.ledger = Ledger(metrics.Metrics(self.counters, settings.workers))
        self.sizes: dict[str, int] = {}
        self.shadows = ShadowKeeper(
            settings.workers,
            self.ledger.metrics,
            self.counters,
            settings.worker,
            self._loading,
            self._change,
        )

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
            persist(self.settings.state, self.endpoint)
            begun = asyncio.ensure_future(self._begin())
            hangs = asyncio.ensure_future(self._watch_hangs())
            stop = asyncio.ensure_future(self.stopping.wait())
            await asyncio.wait({begun, stop}, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                begun.result()
                self._ready(self)
                await stop
            begun.cancel()
            hangs.cancel()
        finally:
            self.stopping.set()
            await self._stop_all()
            await self.shadows.stop(SHADOW_SECONDS)
            self.listener.close()
            os.close(self.counters)

    async def apply(self, wanted: Endpoint, if_generation: int) -> Endpoint:
        """Return the document that serves now; raises ConflictError, and whatever a worker raised.

        ``if_generation`` is the generation that the caller saw.
        """
        check(wanted)
        if wanted.name != self.endpoint.name:
            raise UsageError(
                "a running endpoint keeps its name",
                where="$.name",
                fix="leave the name as it is, or start another server",
            )
        async with self._change:
            now = self.endpoint.generation
            if if_generation != now:
                raise ConflictError(
                    f"the endpoint is at generation {now}, not {if_generation}",
                    why="somebody else changed it",
                    fix="read it again and repeat the change on it",
                )
            return await self._change_to(wanted)

    async def asked(self, ask: Ask) -> dict[str, str]:
        """Return the error of loading or unloading a model for a client; empty where it is done."""
        try:
            async with self._change:
                new = changed_document(self.endpoint, ask.action, ask.model)
                if new is not None:
                    await self._change_to(new)
        except AfterfitError as error:
            return error.as_dict()
        return {}

    def status(self) -> Status:
        """Return what serves, and what was counted."""
        workers = [
            WorkerStatus(
                slot=worker.slot,
                pid=worker.pid,
                ready=worker.ready,
                kind="shadow" if worker is self.shadows.process else "worker",
                busy_seconds=hung_seconds(self.ledger.metrics, worker.slot),
            )
            for worker in (*self.workers.values(), self.shadows.process)
            if worker is not None
        ]
        return Status(
            name=self.endpoint.name,
            generation=self.endpoint.generation,
            url=self.url,
            changed=self.ledger.changed,
            models=self.ledger.models(self.endpoint, self._classes()),
            workers=workers,
            restarts=self.restarts + self.shadows.restarts,
            hangs=self.hangs,
        )

    async def _change_to(self, wanted: Endpoint) -> Endpoint:
        """Return the document after it serves everywhere, or after nothing has changed."""
        new = msgspec.structs.replace(wanted, generation=self.endpoint.generation + 1)
        folders = self._folders(new)
        await asyncio.to_thread(self._check_fit, new, folders)
        loading = new, folders, self.ledger.assign(new)
        workers = [worker for worker in self.workers.values() if worker.ready]
        try:
            prepared = await self._prepare_all(workers, loading)
        except BaseException:
            self.shadows.settle(self.endpoint)
            raise
        await self._commit_all(prepared, new)
        self.shadows.settle(new)
        return new

    def _check_fit(self, new: Endpoint, folders: dict[str, str]) -> None:
        """Raise UsageError for versions of another contract, ResourceError for too much memory."""
        check_contracts(new, folders)
        loads = loads_of(self.endpoint, new, self.settings.workers)
        check_memory(needs(folders, self.sizes, loads), available_bytes())

    async def _prepare_all(
        self, workers: list[WorkerProcess], loading: Loading
    ) -> list[tuple[WorkerProcess, int]]:
        if not workers:
            raise UnavailableError("no worker is ready", fix="try again in a moment")
        seconds = self.settings.prepare_seconds
        answers = await asyncio.gather(
            self.shadows.prepare(loading, seconds),
            *(_prepare(worker, loading, seconds) for worker in workers),
            return_exceptions=True,
        )
        good = [answer for answer in answers if isinstance(answer, tuple)]
        bad = [answer for answer in answers if isinstance(answer, BaseException)]
        for worker, _ in good:
            for digest, size in worker.sizes.items():
                self.sizes[digest] = max(size, self.sizes.get(digest, 0))
        try:
            if not bad:
                persist(self.settings.state, loading[0])
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
        self.ledger.commit()
        log_line({"event": "changed", "generation": new.generation})

    async def _begin(self) -> None:
        async with self._change:
            self.ledger.assign(self.endpoint)
            await asyncio.gather(*(self._start(slot) for slot in range(self.settings.workers)))
            self.ledger.commit()
            await self.shadows.begin(self.settings.prepare_seconds)

    async def _start(self, slot: int) -> None:
        worker = WorkerProcess(slot, asked=self.asked)
        self.workers[slot] = worker
        shared = (self.listener.fileno(), self.counters, self.shadows.sending.fileno())
        await worker.start(shared, self.settings.worker)
        watcher = asyncio.ensure_future(self._watch(worker))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        _, number = await _prepare(worker, self._loading(), self.settings.prepare_seconds)
        self.sizes |= worker.sizes
        await worker.commit(number)

    async def _watch(self, worker: WorkerProcess) -> None:
        code = await worker.wait()
        if self.stopping.is_set() or not worker.joined:
            return  # whoever started a worker that never served hears of it there
        log_line({"event": "worker_ended", "slot": worker.slot, "pid": worker.pid, "code": code})
        self.ledger.metrics.ended(worker.slot)
        delay = 0.0 if time.monotonic() - worker.started > QUICK_DEATH_SECONDS else 0.1
        await self._replace(worker.slot, delay)

    async def _watch_hangs(self) -> None:
        """End each worker that has been in one call of a model for too long: it is replaced."""
        limit = self.settings.worker.hang_seconds
        while limit:
            await asyncio.sleep(min(1.0, limit / 4))
            for worker in (*self.workers.values(), self.shadows.process):
                if worker is None or not worker.ready:
                    continue
                seconds = hung_seconds(self.ledger.metrics, worker.slot)
                if seconds > limit:
                    self.hangs += 1
                    self.ledger.metrics.add("worker_hangs")
                    told = {"slot": worker.slot, "pid": worker.pid, "seconds": round(seconds, 1)}
                    log_line({"event": "worker_hung", **told})
                    worker.ready = False
                    end_tree(worker.pid)

    async def _replace(self, slot: int, delay: float) -> None:
        while not self.stopping.is_set():
            await self._pause(delay)
            if self.stopping.is_set():
                return
            self.restarts += 1
            self.ledger.metrics.add("worker_restarts")
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
        # By now the workers have accepted who was waiting; whoever comes later is told at once.
        await asyncio.sleep(STOP_SECONDS)
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        if self._watchers:
            grace = self.settings.worker.grace_seconds + 5.0
            _, late = await asyncio.wait(set(self._watchers), timeout=grace)
            for worker in workers if late else []:
                _kill(worker)
            if late:
                await asyncio.wait(late, timeout=5.0)

    def _loading(self) -> Loading:
        return self.endpoint, self._folders(self.endpoint), self.ledger.book.slots

    def _classes(self) -> dict[str, tuple[Label, ...]]:
        """Return the classes of each primary whose bundle is still on this machine."""
        primaries = [route.primary for route in self.endpoint.models.values() if route.loaded]
        folders = {digest: bundle_folder(self.settings, digest) for digest in primaries}
        return {
            digest: Bundle(folder).signature.classes
            for digest, folder in folders.items()
            if folder is not None
        }

    def _folders(self, endpoint: Endpoint) -> dict[str, str]:
        digests = [
            digest
            for route in endpoint.models.values()
            for digest in (*route.answering, *route.shadowing)
        ]
        return {digest: str(self._folder(digest)) for digest in digests}

    def _folder(self, digest: str) -> Path:
        folder = bundle_folder(self.settings, digest)
        if folder is None:
            raise NotFoundError(
                f"no bundle {digest[:12]}… on this machine",
                where=str(Path(self.settings.bundles) / digest),
                fix="check the bundle out there first",
            )
        return folder


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


async def _prepare(
    worker: WorkerProcess, loading: Loading, seconds: float
) -> tuple[WorkerProcess, int]:
    return worker, await worker.prepare(*loading, seconds)


def _abort(prepared: list[tuple[WorkerProcess, int]]) -> None:
    for worker, number in prepared:
        with suppress(UnavailableError):  # it has ended meanwhile
            worker.abort(number)


def _kill(worker: Any) -> None:
    with suppress(ProcessLookupError, AttributeError):  # it has ended already, or never began
        worker.process.kill()
