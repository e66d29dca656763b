"""The resident memory of a server on this machine, found by the port that it listens on (Linux)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

PROC = Path("/proc")
LISTENING = "0A"
PERIOD_S = 0.02


def server_pids(port: int) -> frozenset[int]:
    """Return the processes that listen on a TCP port, none where they cannot be known.

    This process is left out: its own memory would be measured with the server's.
    """
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not sockets:
        return frozenset()
    found = {int(p.name) for p in PROC.iterdir() if p.name.isdigit() and _holds(p, sockets)}
    return frozenset() if os.getpid() in found else frozenset(found)


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of processes in bytes; one that has ended has none."""
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            pages = (PROC / str(pid) / "statm").read_text("ascii").split()[1]
            total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total


def _inodes(port: int) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / table).read_text("ascii").splitlines()[1:]:
                parts = line.split()
                if parts[3] == LISTENING and int(parts[1].rpartition(":")[2], 16) == port:
                    found.add(parts[9])
    return found


def _holds(process: Path, sockets: set[str]) -> bool:
    with suppress(OSError):
        for entry in (process / "fd").iterdir():
            with suppress(OSError):
                if str(entry.readlink()) in sockets:
                    return True
    return False


class Watch:
    """The most memory that processes had while the context lasted, beyond that at its begin."""

    def __init__(self, pids: frozenset[int]) -> None:
        self._pids = pids
        self._before = resident_bytes(pids)
        self._most = self._before
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def growth(self) -> int:
        """Return the growth in bytes, 0 where no process is known."""
        return max(0, self._most - self._before)

    def __enter__(self) -> Self:
        if self._pids:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._pids:
            self._thread.join()
            self._most = max(self._most, resident_bytes(self._pids))

    def _look(self) -> None:
        while not self._over.wait(PERIOD_S):
            self._most = max(self._most, resident_bytes(self._pids))
