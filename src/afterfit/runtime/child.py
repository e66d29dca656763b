"""The supervisor's side of one process that it has started."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec

from afterfit.errors import UnavailableError, error_from
from afterfit.runtime.endpoint import Endpoint
from afterfit.runtime.settings import (
    Abort,
    Answer,
    Ask,
    Commit,
    Prepare,
    Reply,
    Start,
    Stop,
    Told,
    WorkerSettings,
)
from afterfit.runtime.slots import Slot

__all__ = ["WorkerProcess"]

_requests = count(1)
_decoder = msgspec.json.Decoder(Told)


Asked = Callable[[Ask], Awaitable[dict[str, str]]]
"""Does what a worker asks for and returns the error's dictionary, empty where all is well."""


class WorkerProcess:
    """One process and the channel to it; ``ready`` while it serves, ``joined`` once it ever did.

    ``module`` is what it runs, ``asked`` does what it asks for. ``sizes`` are the bytes that each
    digest took in its memory, ``load_s`` the seconds of the last loading.
    """

    def __init__(
        self, slot: int, module: str = "afterfit.runtime.worker", asked: Asked | None = None
    ) -> None:
        self.slot = slot
        self.module = module
        self.sizes: dict[str, int] = {}
        self.load_s = 0.0
        self._asked = asked
        self._asks: set[asyncio.Task[None]] = set()
        self.ready = False
        self.joined = False
        self.started = time.monotonic()
        self.process: asyncio.subprocess.Process
        self._writer: asyncio.StreamWriter
        self._replies: dict[int, asyncio.Future[Reply]] = {}
        self._listening: asyncio.Task[None]

    @property
    def pid(self) -> int:
        """The process id; 0 while it is being started."""
        process = getattr(self, "process", None)
        return 0 if process is None else process.pid

    async def start(self, descriptors: Sequence[int], settings: WorkerSettings) -> None:
        """Start the process with these descriptors and tell it who it is."""
        ours, theirs = socket.socketpair()
        try:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.module,
                *(str(number) for number in (theirs.fileno(), *descriptors)),
                pass_fds=(theirs.fileno(), *descriptors),
                stdin=asyncio.subprocess.DEVNULL,
                env=_environment(settings.threads),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._listening = asyncio.ensure_future(self._listen(reader))
        worker_id = f"{self.slot}-{time.time_ns() // 1_000_000:x}-{self.pid}"
        self._send(Start(slot=self.slot, worker_id=worker_id, settings=settings))

    async def prepare(
        self,
        endpoint: Endpoint,
        folders: dict[str, str],
        slots: tuple[Slot, ...],
        seconds: float,
    ) -> int:
        """Return the number under which the models are prepared; raises what the worker raised."""
        number = next(_requests)
        message = Prepare(request=number, endpoint=endpoint, folders=folders, slots=slots)
        try:
            reply = await self._ask(message, seconds)
        except UnavailableError:
            self._forget(number)
            raise
        self.sizes |= reply.sizes
        self.load_s = reply.load_s
        return number

    async def commit(self, number: int, seconds: float = 10.0) -> None:
        """Make the worker serve what it prepared."""
        await self._ask(Commit(request=number), seconds)
        self.ready = self.joined = True

    def abort(self, number: int) -> None:
        """Make the worker forget what it prepared."""
        self._send(Abort(request=number))

    def stop(self) -> None:
        """Make the worker finish what is in flight and end."""
        self.ready = False
        self._send(Stop())

    async def wait(self) -> int:
        """Return the exit code once the process has ended; negative for a signal."""
        code = await self.process.wait()
        self.ready = False
        self._fail_all()
        self._writer.close()
        self._listening.cancel()
        return code

    async def _ask(self, message: Prepare | Commit, seconds: float) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._replies[message.request] = future
        self._send(message)
        try:
            reply = await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise UnavailableError(
                f"worker {self.slot} did not answer in {seconds:g} s",
                fix="look at the server's own log, or allow more time",
            ) from None
        finally:
            self._replies.pop(message.request, None)
        if reply.error:
            raise error_from(reply.error, UnavailableError)
        return reply

    def _forget(self, number: int) -> None:
        with suppress(UnavailableError):  # it has ended, and has forgotten all
            self.abort(number)

    def _send(self, message: Any) -> None:
        if self._writer.is_closing():
            raise UnavailableError(
                f"worker {self.slot} has ended", fix="look at the server's own log"
            )
        self._writer.write(msgspec.json.encode(message) + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            told = _decoder.decode(line)
            if isinstance(told, Ask):
                task = asyncio.ensure_future(self._answer(told))
                self._asks.add(task)
                task.add_done_callback(self._asks.discard)
                continue
            future = self._replies.get(told.request)
            if future is not None and not future.done():
                future.set_result(told)
        self._fail_all()

    async def _answer(self, ask: Ask) -> None:
        error = await self._asked(ask) if self._asked else {"message": "nobody does that"}
        with suppress(UnavailableError):  # it has ended, and waits no longer
            self._send(Answer(request=ask.request, error=error))

    def _fail_all(self) -> None:
        for future in self._replies.values():
            if not future.done():
                future.set_exception(
                    UnavailableError(
                        f"worker {self.slot} has ended", fix="look at the server's own log"
                    )
                )


def _environment(threads: int) -> dict[str, str]:
    """Return that of this process, with so many threads for the numeric libraries unless told."""
    limits = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    return {**limits, **os.environ, "ORT_DISABLE_TELEMETRY": "1"}
