"""The supervisor's side of the process that runs the shadows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from afterfit.errors import AfterfitError
from afterfit.runtime.child import WorkerProcess
from afterfit.runtime.endpoint import Endpoint
from afterfit.runtime.log import log_line
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.settings import WorkerSettings
from afterfit.runtime.shadow import channel
from afterfit.runtime.slots import Slot
from afterfit.runtime.watchdog import end_tree

__all__ = ["ShadowKeeper"]

MODULE = "afterfit.runtime.shadow_process"
AGAIN_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 60.0
PREPARE_SECONDS = 120.0
Loading = tuple[Endpoint, dict[str, str], tuple[Slot, ...]]
"""A document, the folders of its digests and its slots."""


class ShadowKeeper:
    """Starts, changes and replaces the one process that runs shadows, while there are any.

    Whatever becomes of it, the workers do not notice. ``slot`` is its row of the
    ``counters``, ``now`` tells what it should run, and ``change`` is held while that changes.
    """

    def __init__(
        self,
        slot: int,
        metrics: Metrics,
        counters: int,
        settings: WorkerSettings,
        now: Callable[[], Loading],
        change: asyncio.Lock,
    ) -> None:
        self.slot = slot
        self._counters = counters
        self._change = change
        self._delay = AGAIN_SECONDS
        self.process: WorkerProcess | None = None
        self.restarts = 0
        self._metrics = metrics
        self._settings = settings
        self._now = now
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False
        self.sending, self._receiving = channel()

    async def prepare(self, loading: Loading, seconds: float) -> tuple[WorkerProcess, int] | None:
        """Return the process and the number of what it has loaded; None where nothing shadows."""
        if not wanted(loading[0]):
            return None
        process = self.process
        if process is None or not process.ready:
            process = await self._start()
        return process, await process.prepare(*loading, seconds)

    def settle(self, endpoint: Endpoint) -> None:
        """End the process where the document has no shadow any more."""
        if not wanted(endpoint) and self.process is not None:
            process, self.process = self.process, None
            self._end(process)

    async def begin(self, seconds: float) -> None:
        """Start what the document of now asks for; a failure is logged, and tried again."""
        loading = self._now()
        if wanted(loading[0]):
            try:
                prepared = await self.prepare(loading, seconds)
                if prepared is not None:
                    await prepared[0].commit(prepared[1])
                self._delay = AGAIN_SECONDS
            except AfterfitError as error:
                log_line({"event": "shadow_failed", **error.as_dict()})
                if self.process is not None:
                    end_tree(self.process.pid)

    async def stop(self, seconds: float) -> None:
        """End the process within so many seconds, and the channel with it."""
        self._stopping = True
        if self.process is not None:
            self._end(self.process)
        if self._watcher is not None:
            _, late = await asyncio.wait({self._watcher}, timeout=seconds)
            if late and self.process is not None:
                end_tree(self.process.pid)
        self.sending.close()
        self._receiving.close()

    async def _start(self) -> WorkerProcess:
        process = WorkerProcess(self.slot, MODULE)
        await process.start((self._counters, self._receiving.fileno()), self._settings)
        self.process = process
        self._watcher = asyncio.ensure_future(self._watch(process))
        return process

    async def _watch(self, process: WorkerProcess) -> None:
        code = await process.wait()
        self._metrics.ended(self.slot)
        if process is not self.process or self._stopping:
            return
        log_line({"event": "shadow_ended", "pid": process.pid, "code": code})
        await asyncio.sleep(self._delay)
        self._delay = min(MAX_BACKOFF_SECONDS, 2 * self._delay)
        async with self._change:
            if process is self.process and not self._stopping:
                self.restarts += 1
                await self.begin(PREPARE_SECONDS)

    def _end(self, process: WorkerProcess) -> None:
        try:
            process.stop()
        except (AfterfitError, AttributeError):
            return  # it has ended, or never began


def wanted(endpoint: Endpoint) -> bool:
    """Return whether a document has a shadow."""
    return any(route.shadowing for route in endpoint.models.values())
