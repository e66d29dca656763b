"""The supervisor's side of one worker process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from itertools import count
from typing import Any

import msgspec

from afterfit.errors import AfterfitError, UnavailableError
from afterfit.runtime.endpoint import Endpoint
from afterfit.runtime.settings import Abort, Commit, Prepare, Reply, Start, Stop, WorkerSettings

__all__ = ["WorkerProcess", "error_from"]

_requests = count(1)


class WorkerProcess:
    """One worker and the channel to it; ``ready`` while it serves, ``joined`` once it ever did."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
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

    async def start(self, listen: int, metrics: int, settings: WorkerSettings) -> None:
        """Start the process and tell it who it is."""
        ours, theirs = socket.socketpair()
        try:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "afterfit.runtime.worker",
                *(str(number) for number in (theirs.fileno(), listen, metrics)),
                pass_fds=(theirs.fileno(), listen, metrics),
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
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

    async def prepare(self, endpoint: Endpoint, folders: dict[str, str], seconds: float) -> int:
        """Return the number under which the models are prepared; raises what the worker raised."""
        number = next(_requests)
        await self._ask(Prepare(request=number, endpoint=endpoint, folders=folders), seconds)
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

    async def _ask(self, message: Prepare | Commit, seconds: float) -> None:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._replies[message.request] = future
        self._send(message)
        try:
            reply = await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise UnavailableError(f"worker {self.slot} did not answer in {seconds:g} s") from None
        finally:
            self._replies.pop(message.request, None)
        if reply.error:
            raise error_from(reply.error)

    def _send(self, message: Any) -> None:
        if self._writer.is_closing():
            raise UnavailableError(f"worker {self.slot} has ended")
        self._writer.write(msgspec.json.encode(message) + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            reply = msgspec.json.decode(line, type=Reply)
            future = self._replies.get(reply.request)
            if future is not None and not future.done():
                future.set_result(reply)
        self._fail_all()

    def _fail_all(self) -> None:
        for future in self._replies.values():
            if not future.done():
                future.set_exception(UnavailableError(f"worker {self.slot} has ended"))


def error_from(fields: dict[str, str]) -> AfterfitError:
    """Return the error that a worker or an admin API described."""
    kinds: list[type[AfterfitError]] = [AfterfitError, *AfterfitError.__subclasses__()]
    for kind in kinds:
        if kind.kind == fields.get("kind"):
            parts = {name: fields.get(name, "") for name in ("where", "why", "fix", "code")}
            return kind(fields.get("message", "unknown error"), **parts)
    return UnavailableError(fields.get("message") or "unknown error")
