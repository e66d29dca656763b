"""Processes of one run that outlive it, known by a variable of their environment alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from afterfit.serve.ray.settings import MARK

__all__ = ["end_marked", "marked"]

PROC = Path("/proc")
POLL_SECONDS = 0.05


def marked(mark: str) -> list[int]:
    """Return the pids of other processes that were started with this mark; [] without ``/proc``."""
    return [pid for pid in _pids() if pid != os.getpid() and _has(pid, mark)]


def end_marked(mark: str, grace: float = 5.0) -> list[int]:
    """Return the pids of what was left and is ended now: asked first, killed after ``grace`` s."""
    found = marked(mark)
    for number, left in ((signal.SIGTERM, grace), (signal.SIGKILL, 2.0)):
        for pid in marked(mark):
            _send(pid, number, mark)
        until = time.monotonic() + left
        while marked(mark) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
    return found


def _send(pid: int, number: signal.Signals, mark: str) -> None:
    """Send a signal to a process that has the mark, and to no later one under its pid."""
    with suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if _has(pid, mark):
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def _pids() -> Iterator[int]:
    if PROC.is_dir():
        yield from (int(each.name) for each in PROC.iterdir() if each.name.isdigit())


def _has(pid: int, mark: str) -> bool:
    # A zombie has no environment any more, and needs no signal.
    with suppress(OSError):
        return f"{MARK}={mark}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return False
