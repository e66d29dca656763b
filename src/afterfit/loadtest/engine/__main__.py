"""The process: reads frames, runs what they order, answers in frames."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import signal
import sys
import threading
import time
from array import array
from collections.abc import Coroutine

from afterfit.loadtest.engine.check import Checker
from afterfit.loadtest.engine.frames import (
    CHUNK,
    DONE,
    GO,
    ORDER,
    READY,
    SETUP,
    STOP,
    VARIANT,
    Frame,
    frame,
    read_frame,
)
from afterfit.loadtest.engine.pool import Plan, Pool
from afterfit.loadtest.engine.runs import Run, Scheduled, Users


class Process:
    """What the parent's frames are carried out by."""

    def __init__(self, out: queue.SimpleQueue[bytes]) -> None:
        self.out = out
        self.pool: Pool | None = None
        self.run: Scheduled | Users | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def take(self, message: Frame) -> None:
        """Carry out a frame."""
        if message.kind == SETUP:
            self._set_up(message)
        elif message.kind == ORDER:
            self._later(self._prepare(message))
        elif message.kind == GO:
            self._later(self._go(message.document["start"]))
        elif message.kind == STOP and isinstance(self.run, Run):
            self.run.stop(message.document["why"])

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _set_up(self, message: Frame) -> None:
        told = message.document
        count, checker = told["requests"], None
        if expected := message.parts[count:]:
            volatile = told["volatile"]
            checker = Checker(expected, volatile.encode() if volatile else None, self._found)
        plan = Plan(**told["plan"])
        if told["core"] is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {told["core"]})
        self.pool = Pool(plan, message.parts[:count], checker, self._ended)

    async def _prepare(self, message: Frame) -> None:
        """Make the run and open its connections, so that both are ready when it begins."""
        told = message.document
        assert self.pool is not None  # noqa: S101 - the parent sets up first
        self.pool.offset, self.pool.stride = told["offset"], told["stride"]
        error = await self.pool.open_ahead()
        if told["users"]:
            self.run = Users(
                self.pool,
                told["users"],
                seconds=told["seconds"],
                requests=told["most"],
                think_s=told["think_s"],
                seed=told["seed"],
            )
        else:
            due = array("d")
            due.frombytes(message.parts[0])
            self.run = Scheduled(self.pool, due)
        gc.collect()
        gc.freeze()
        self.out.put(frame(READY, {"open": len(self.pool.all), "error": error}))

    async def _go(self, start: float) -> None:
        assert self.pool is not None  # noqa: S101 - as above
        assert self.run is not None  # noqa: S101 - as above
        self.pool.begin(start)
        begun = time.process_time()
        self.run.go()
        await self.run.wait()
        wall = time.monotonic() - start
        told = {
            "cpu": (time.process_time() - begun) / max(wall, 1e-9),
            "seconds": wall,
            "spins": self.run.spins,
            "cut": self.run.cut,
            "first_error": self.pool.first_error,
            "own_errors": self.pool.own_errors,
            "own_error": self.pool.own_error,
            "opened": self.pool.opened,
            "unchecked": self.pool.checker.unchecked if self.pool.checker else 0,
        }
        self.run = None
        self.out.put(frame(DONE, told))

    def _ended(self, records: bytes) -> None:
        self.out.put(frame(CHUNK, {}, [records]))

    def _found(self, number: int, request: int, body: bytes) -> None:
        self.out.put(frame(VARIANT, {"number": number, "request": request}, [body]))


def _write(out: queue.SimpleQueue[bytes]) -> None:
    while True:
        sys.stdout.buffer.write(out.get())
        sys.stdout.buffer.flush()


def _read(loop: asyncio.AbstractEventLoop, process: Process) -> None:
    while (message := read_frame(sys.stdin.buffer)) is not None:
        loop.call_soon_threadsafe(process.take, message)
    # The parent is gone, or has no more work.
    os._exit(0)


async def _serve() -> None:
    out: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    process = Process(out)
    loop = asyncio.get_running_loop()
    threading.Thread(target=_write, args=(out,), daemon=True).start()
    threading.Thread(target=_read, args=(loop, process), daemon=True).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve the parent until it closes the pipe."""
    # Ctrl-C reaches every process of a terminal: the parent says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Few cycles are made, and a collection takes milliseconds that would be blamed on the server.
    gc.set_threshold(100_000, 50, 1000)
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve())
    else:
        uvloop.run(_serve())


if __name__ == "__main__":
    main()
