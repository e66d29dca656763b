"""What the machine and the server's processes do meanwhile, from /proc; nothing elsewhere."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["Machine", "tree_of"]

PROC = Path("/proc")


class Machine:
    """Shares since the last look: CPU stolen from this machine, CPU and memory of a server.

    ``pid`` is the first process of the server, None where it is unknown.
    """

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._steal, self._all = _cpu_times()
        self._ticks = self._server_ticks()
        self._at = time.monotonic()

    def look(self) -> dict[str, float]:
        """Return ``steal`` (share), ``server_cpu`` (cores) and ``server_memory_bytes``."""
        steal, all_times = _cpu_times()
        seen: dict[str, float] = {}
        if all_times > self._all:
            seen["steal"] = (steal - self._steal) / (all_times - self._all)
        now = time.monotonic()
        ticks = self._server_ticks()
        if ticks and now > self._at:
            # One that has ended takes its time along: less than before is not negative.
            spent = max(0, sum(ticks.values()) - sum(self._ticks.get(p, 0) for p in ticks))
            seen["server_cpu"] = spent / os.sysconf("SC_CLK_TCK") / (now - self._at)
            seen["server_memory_bytes"] = float(sum(map(_resident, ticks)))
        self._steal, self._all, self._ticks, self._at = steal, all_times, ticks, now
        return seen

    def _server_ticks(self) -> dict[int, int]:
        if self._pid is None:
            return {}
        return {pid: ticks for pid in tree_of(self._pid) if (ticks := _ticks(pid)) is not None}


def tree_of(pid: int) -> list[int]:
    """Return a process and all that it has started, as far as they live (Linux)."""
    found, waiting = [], [pid]
    while waiting:
        here = waiting.pop()
        found.append(here)
        with suppress(OSError, ValueError):
            for task in (PROC / str(here) / "task").iterdir():
                waiting += map(int, (task / "children").read_text("ascii").split())
    return found


def _ticks(pid: int) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        # The name of the program stands in parentheses and may hold spaces.
        parts = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return int(parts[11]) + int(parts[12])
    return None


def _resident(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        pages = (PROC / str(pid) / "statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _cpu_times() -> tuple[int, int]:
    """Return the ticks that were stolen and all of them, of all cores together."""
    with suppress(OSError, ValueError, IndexError):
        times = [
            int(part) for part in (PROC / "stat").read_text("ascii").split("\n")[0].split()[1:]
        ]
        # Guests' time is in user and nice already.
        return times[7], sum(times[:8])
    return 0, 0
