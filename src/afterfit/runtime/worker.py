"""A worker: one process that serves; it takes its models and orders from the supervisor.

``python -m afterfit.runtime.worker CONTROL LISTEN METRICS SHADOW`` with four inherited descriptors:
a socket of JSON lines to the supervisor, the listening socket, the file of counters, and the socket
to the process of the shadows.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from afterfit.errors import AfterfitError, InternalError
from afterfit.runtime.access import observer
from afterfit.runtime.app import App
from afterfit.runtime.http import Server
from afterfit.runtime.journal import Journal
from afterfit.runtime.keys import KeyRing
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.log import log_line
from afterfit.runtime.memory import resident_bytes, trim
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.prepare import Loader, Prepared, commit, release
from afterfit.runtime.quiet import gently
from afterfit.runtime.repository import Desk
from afterfit.runtime.routes_repository import add_repository
from afterfit.runtime.settings import (
    Abort,
    Answer,
    Commit,
    Message,
    Prepare,
    Reply,
    Start,
    Stop,
    WorkerSettings,
)
from afterfit.runtime.shadow import ShadowLink
from afterfit.runtime.sinks import open_sink
from afterfit.runtime.tls import Tls
from afterfit.runtime.tracing import tracer_from
from afterfit.runtime.watchdog import Lifeline

__all__ = ["Worker", "main"]

DRAIN_POLL_SECONDS = 0.02
LAME_SECONDS = 0.5
WATCH_SECONDS = 1.0
COLLECT_EVERY = (20_000, 20, 20)
SWITCH_SECONDS = 0.0005
_decoder = msgspec.json.Decoder(Message)


class Worker:
    """One worker's state; ``run`` returns when it was told to stop."""

    def __init__(
        self, start: Start, listener: socket.socket, metrics: Metrics, shadow: socket.socket
    ) -> None:
        self.settings = start.settings
        self.listener = listener
        self.link = ShadowLink(shadow)
        self.metrics = metrics
        self.journal = make_journal(start.settings, start.worker_id, metrics)
        self.service = Service(metrics, self.journal, start.settings.batching)
        self.loader = Loader(self.service, start.settings, self.link)
        self.desk = Desk()
        settings = start.settings
        self.service.tracer = tracer_from(os.environ, settings.endpoint)
        self.ring = (
            KeyRing(Path(settings.keys), share=settings.key_share) if settings.keys else None
        )
        self.tls = Tls(settings.tls) if settings.tls else None
        self.app = App(
            self.service,
            endpoint=settings.endpoint,
            routes=settings.routes,
            ring=self.ring,
            public_docs=settings.public_docs or self.ring is None,
        )
        add_repository(self.app, self.desk if settings.repository_control else None)
        self.server = Server(
            self.app,
            settings.http,
            self.app.count_refused,
            observer(settings.access_log),
            left=lambda count: metrics.set("connections", count),
            # Where every answer is logged, each request is looked at.
            away=None if settings.access_log == "all" else self.app.away,
        )
        self.preparing: set[int] = set()
        self.prepared: dict[int, Prepared] = {}
        self.stopped = asyncio.Event()
        self.accepting = False
        self.arriving: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Follow orders until one is to stop, a signal says so, or the supervisor is gone."""
        lifeline = Lifeline(self.settings.hang_seconds)
        self.desk.writer = writer
        orders = asyncio.ensure_future(self._orders(reader, writer))
        stop = asyncio.ensure_future(self.stopped.wait())
        self._spawn(self._watch_files())
        self._spawn(self._tell_usage())
        await asyncio.wait({orders, stop}, return_when=asyncio.FIRST_COMPLETED)
        lifeline.last(self.settings.grace_seconds)
        self.app.ready = False
        self.metrics.set("ready", 0)
        await self._finish(whole=orders.done())
        self.link.close()
        self.journal.close()
        if self.service.tracer is not None:
            self.service.tracer.close()
        self.metrics.set("connections", 0)
        orders.cancel()
        stop.cancel()

    async def _finish(self, *, whole: bool) -> None:
        """Answer what comes in for a moment longer, each with ``connection: close``, then end.

        A client that has just sent a request on a kept connection would lose it otherwise. Where
        the ``whole`` server stops, who waits to be accepted is, and then nobody can connect.
        """
        self.server.closing = True
        if whole:
            self._accept_the_last()
        self._accept(accepting=False)
        until = time.monotonic() + min(LAME_SECONDS, self.settings.grace_seconds / 4)
        while self._connected() and time.monotonic() < until:  # noqa: ASYNC110 - at the end
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        await self.server.close(self.settings.grace_seconds)

    async def _orders(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            message = _decoder.decode(line)
            if isinstance(message, Stop):
                return
            if isinstance(message, Prepare):
                # A task: orders to stop or to forget must not wait for a model that loads.
                self.preparing.add(message.request)
                self._spawn(self._prepare(message, writer))
            elif isinstance(message, Commit):
                self._commit(self.prepared.pop(message.request))
                _send(writer, Reply(request=message.request))
            elif isinstance(message, Abort):
                self.preparing.discard(message.request)
                self._forget(self.prepared.pop(message.request, None))
            elif isinstance(message, Answer):
                self.desk.answered(message)

    async def _prepare(self, message: Prepare, writer: asyncio.StreamWriter) -> None:
        begun = time.monotonic()
        try:
            # In a thread, so that the models of now go on answering meanwhile.
            prepared = await gently(lambda: self.loader.load(message))
        except AfterfitError as error:
            _send(writer, Reply(request=message.request, error=error.as_dict()))
        except Exception as error:  # noqa: BLE001 - a library's own: the supervisor must hear of it
            log_line({"event": "error", "during": "prepare", "error": repr(error)})
            wrapped = InternalError("the model cannot be loaded", why=repr(error)[:300])
            _send(writer, Reply(request=message.request, error=wrapped.as_dict()))
        else:
            if message.request not in self.preparing:
                self._forget(prepared)  # nobody waited for it
                return
            self.prepared[message.request] = prepared
            spent = time.monotonic() - begun
            _send(writer, Reply(request=message.request, sizes=prepared.sizes, load_s=spent))

    def _commit(self, prepared: Prepared) -> None:
        first = not self.app.ready
        retired = commit(self.service, prepared)
        self.app.generation = prepared.endpoint.generation
        self.app.changed()
        self.app.ready = True
        self.metrics.set("ready", 1)
        self._accept(accepting=True)
        if first:
            # What has been loaded stays: the collector need not go through it again and again.
            gc.collect()
            gc.freeze()
        if retired:
            self._spawn(self._drain(retired, prepared.endpoint.generation))

    async def _drain(self, old: list[LiveModel], generation: int) -> None:
        # The frames that this list keeps alive are freed with it, when nobody is inside any more.
        while any(model.in_flight for model in old):  # noqa: ASYNC110 - off the request path
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        names = [model.name for model in old]
        await self._end(old)
        log_line({"event": "drained", "generation": generation, "models": names})

    def _forget(self, prepared: Prepared | None) -> None:
        if prepared is not None:
            serving = {id(m) for model in self.service.models.values() for m in model.answering}
            self._spawn(self._end([m for m in prepared.all if id(m) not in serving]))

    async def _end(self, models: list[LiveModel]) -> None:
        """Free what models hold that serve no longer; empties the list."""
        # In a thread: a process takes milliseconds to end, and others are being answered.
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, release, self.service, models)
        models.clear()
        await loop.run_in_executor(None, trim)

    def _accept(self, *, accepting: bool) -> None:
        loop = asyncio.get_running_loop()
        if accepting and not self.accepting:
            loop.add_reader(self.listener.fileno(), self._accept_one)
        elif not accepting and self.accepting:
            loop.remove_reader(self.listener.fileno())
        self.accepting = accepting

    def _accept_one(self) -> None:
        # One connection a wake-up: the socket is shared, and whoever took all of them at once
        # would leave the other workers idle.
        try:
            client, _ = self.listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno == errno.EINVAL:  # the listener was shut down: the server stops
                self._accept(accepting=False)
                return
            # Out of descriptors, most likely: the client waits in the backlog meanwhile.
            log_line({"event": "accept_failed", "error": str(error)})
            self._accept(accepting=False)
            asyncio.get_running_loop().call_later(0.1, self._accept_again)
            return
        self._take(client)

    def _connected(self) -> bool:
        return bool(self.arriving or self.server.connections)

    def _take(self, client: socket.socket) -> None:
        client.setblocking(False)
        task = asyncio.ensure_future(self._adopt(client))
        self.arriving.add(task)
        task.add_done_callback(self.arriving.discard)

    def _accept_the_last(self) -> None:
        with suppress(OSError):
            while True:
                self._take(self.listener.accept()[0])
        with suppress(OSError):  # another worker has done it, or this system refuses
            self.listener.shutdown(socket.SHUT_RDWR)

    def _accept_again(self) -> None:
        if not self.server.closing:
            self._accept(accepting=True)

    async def _adopt(self, client: socket.socket) -> None:
        if self.tls is not None:
            if not await self.tls.adopt(self.server.connection, client):
                self.metrics.add("tls_handshakes_failed")
        else:
            loop = asyncio.get_running_loop()
            try:
                await loop.connect_accepted_socket(self.server.connection, client)
            except OSError:
                client.close()
        self.metrics.set("connections", len(self.server.connections))

    async def _watch_files(self) -> None:
        """Read keys and certificates anew when their files change."""
        watched = [each.reload_if_changed for each in (self.ring, self.tls) if each is not None]
        while watched:
            await asyncio.sleep(WATCH_SECONDS)
            for look in watched:
                try:
                    look()
                except Exception as error:  # noqa: BLE001 - the watch must outlive a defect in it
                    log_line({"event": "error", "during": "watching files", "error": repr(error)})

    async def _tell_usage(self) -> None:
        """Count this process's CPU time and memory, for ``/metrics``."""
        before = 0.0
        while True:
            now = time.process_time()
            self.metrics.add("cpu_seconds", now - before)
            self.metrics.set("memory_bytes", resident_bytes())
            before = now
            await asyncio.sleep(WATCH_SECONDS)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def make_journal(settings: WorkerSettings, worker_id: str, metrics: Metrics) -> Journal:
    """Return the journal that the settings ask for."""
    sink = open_sink(settings.events, worker_id) if settings.events else None
    return Journal(
        metrics,
        endpoint=settings.endpoint,
        worker=worker_id,
        sink=sink,
        folder=Path(settings.counts) if settings.counts else None,
        capture=settings.capture,
        capacity=settings.event_queue,
    )


def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    writer.write(msgspec.json.encode(reply) + b"\n")


async def _serve(control: int, listen: int, metrics: int, shadow: int) -> None:
    loop = asyncio.get_running_loop()
    channel = socket.socket(fileno=control)
    reader, writer = await asyncio.open_connection(sock=channel, limit=1 << 24)
    start = _decoder.decode(await reader.readline())
    if not isinstance(start, Start):
        raise InternalError("the supervisor's first message is not start")
    listener = socket.socket(fileno=listen)
    listener.setblocking(False)
    link = socket.socket(fileno=shadow)
    worker = Worker(start, listener, Metrics(metrics, start.slot), link)
    # ctrl-C reaches the whole group: the supervisor decides, workers finish what is in flight.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, worker.stopped.set)
    await worker.run(reader, writer)
    writer.close()


def main() -> int:
    """Serve until told to stop; return the exit code."""
    # The thread that writes events wants the interpreter too; the default of 5 ms would be added
    # to the latency of whoever asks meanwhile.
    sys.setswitchinterval(SWITCH_SECONDS)
    # A request's objects go when it is answered, without the collector; looking for cycles every
    # 700 allocations would be work for each batch.
    gc.set_threshold(*COLLECT_EVERY)
    descriptors = [int(text) for text in sys.argv[1:5]]
    run_loop(_serve(*descriptors))
    return 0


def run_loop(coroutine: Any) -> Any:
    """Return what the coroutine returns, run on uvloop where that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)


if __name__ == "__main__":
    sys.exit(main())
