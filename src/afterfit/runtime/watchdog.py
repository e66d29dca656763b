"""Processes that hang: how a supervisor sees it, and how a worker ends that nobody looks after."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from afterfit.runtime.metrics import Metrics
from afterfit.runtime.tally import busy_since

__all__ = ["Lifeline", "descendants", "end_tree", "hung_seconds"]

PROCESSES = Path("/proc")
LAST_SECONDS = 15.0


def hung_seconds(metrics: Metrics, worker: int, now: float | None = None) -> float:
    """Return for how long a worker has been in one call of a model; 0 where it is in none."""
    since = busy_since(metrics.tallies(worker))
    return (time.monotonic() if now is None else now) - since if since else 0.0


def end_tree(pid: int, processes: Path = PROCESSES) -> list[int]:
    """Return the processes that were killed: one, and all that it has started.

    A model in a process of its own may hang without reading that its parent is gone.
    """
    killed = []
    for each in [*descendants(pid, processes), pid]:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)
            killed.append(each)
    return killed


def descendants(pid: int, processes: Path = PROCESSES) -> list[int]:
    """Return the processes below one, the deepest first; none where the system does not tell."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents(processes):
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    level = children.get(pid, [])
    while level:
        found = [*level, *found]
        level = [child for parent in level for child in children.get(parent, [])]
    return found


def _parents(processes: Path) -> Iterable[tuple[int, int]]:
    for entry in processes.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # it ended meanwhile
            # The name stands in brackets and may hold anything, brackets included.
            yield int(entry.name), int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])


class Lifeline:
    """Ends this process by the kernel's own timer where its event loop has stood still for long.

    The supervisor is quicker; this is for a worker that hangs when the supervisor is gone. A
    signal whose action is the default one needs no interpreter to end the process.
    """

    def __init__(self, hang_seconds: float) -> None:
        self._seconds = 2 * hang_seconds + LAST_SECONDS if hang_seconds else 0.0
        self._timer: asyncio.TimerHandle | None = None
        if self._seconds and hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            self._turn()

    def last(self, grace_seconds: float) -> None:
        """Allow so many seconds to finish, and some to end."""
        if self._timer is not None:
            self._timer.cancel()
            signal.setitimer(signal.ITIMER_REAL, grace_seconds + LAST_SECONDS)

    def _turn(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(1.0, self._seconds / 4), self._turn)
