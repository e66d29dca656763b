"""The thread that starts the processes of this one: it outlives the threads that ask for them.

On Linux a process takes the priority of the thread that started it, which it cannot raise again,
and one that asked to end with its parent ends with that thread. Neither may depend on who asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["Starter", "starter"]

T = TypeVar("T")


class Starter:
    """One thread that calls what it is given, one after the other, as long as the process lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: _Thread | None = None

    def ready(self) -> int:
        """Return the native id of the thread, after starting it if none runs.

        It takes the priority of the thread that calls this first.
        """
        return self._running().native_id or 0

    def call(self, start: Callable[[], T]) -> T:
        """Return what ``start`` returns, or raise what it raises, called in the thread."""
        done: Future[T] = Future()
        self._running().work.put((start, done))
        return done.result()

    def _running(self) -> _Thread:
        with self._lock:
            # A process that was forked has none of its parent's threads.
            if self._thread is None or not self._thread.is_alive():
                self._thread = _Thread()
            return self._thread


class _Thread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="afterfit-starter", daemon=True)
        self.work: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            start, done = self.work.get()
            try:
                done.set_result(start())
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                done.set_exception(error)
            del start, done  # what they hold may be freed before the next one comes


starter = Starter()
"""The one of this process."""
