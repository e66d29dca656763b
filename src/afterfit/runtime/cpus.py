"""How many processors and bytes a server may really use, and how to divide them.

A container sees every processor of its machine, but its cgroup lets it run on a share of them for
a part of each period. A server that starts a worker for each processor that it sees is then
throttled, all of its workers standing still until the next period, or is killed for their memory.

Source: the kernel's admin-guide/cgroup-v2.rst (cpu.max, memory.max) and cgroup-v1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "Division",
    "cpu_quota",
    "divide",
    "memory_left",
    "memory_limit",
    "usable_cpus",
    "workers_in_memory",
]

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
WORKER_BYTES = 160 << 20
"""What a worker takes without a model, the supervisor's share included."""
COPIES = 2
"""A model in memory takes about this many times its files: the graph, and what is made of it."""

Read = Callable[[Path], float]


class Division(NamedTuple):
    """Processes that serve, and threads inside of one call of the model."""

    workers: int
    threads: int


def divide(
    cpus: int, workers: int | None = None, threads: int | None = None, *, most: float = math.inf
) -> Division:
    """Return how ``cpus`` are divided where a number is not given: one worker each, no overlap.

    ``most`` are the workers that the memory has room for.
    """
    processes = workers or max(1, int(min(cpus, most)))
    return Division(processes, threads or max(1, cpus // processes))


def usable_cpus(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Return the whole processors that this process may keep busy, at least 1.

    The least of the quota of its cgroup, rounded down, and the processors it may run on.
    """
    return max(1, math.floor(min(cpu_quota(cgroups, own), _allowed_cpus())))


def workers_in_memory(model_bytes: int, cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """Return how many workers with models of so many bytes on disk the limit has room for."""
    return memory_limit(cgroups, own) // (WORKER_BYTES + COPIES * model_bytes)


def cpu_quota(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """Return the processors that the cgroup grants, such as 1.5; infinity where nothing limits it.

    A parent's limit holds for its children, so the least on the way up counts. What cannot be
    read is no limit: Windows and macOS have none of these files.
    """
    return min(_limits("cpu", _quota_2, _quota_1, cgroups, own), default=math.inf)


def memory_limit(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """Return the bytes that the cgroup grants; infinity where nothing limits it, as above."""
    return min(_limits("memory", _memory_2, _memory_1, cgroups, own), default=math.inf)


def throttled_periods(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """Return in how many periods the quota of a cgroup ran out; 0 where there is none."""
    return max(_limits("cpu", _throttled, _throttled, cgroups, own), default=0.0)


def memory_left(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """Return the bytes that the limits of the cgroups leave; infinity where nothing limits them.

    What the kernel holds of files and can drop at once (``inactive_file``) is not taken.
    """
    return min(_limits("memory", _left_2, _left_1, cgroups, own), default=math.inf)


def _limits(controller: str, new: Read, old: Read, cgroups: Path, own: Path) -> Iterator[float]:
    """Yield every limit that holds, by the lines ``number:controllers:path`` of one's cgroups.

    A container without a cgroup namespace is told the host's path and has its own group mounted
    at the top, so the folders above a path are read even where the path itself is not there.
    """
    for line in _text(own).splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:
            for mount in (cgroups, cgroups / "unified"):
                yield from map(new, _upwards(mount, path))
        elif controller in controllers.split(","):
            for mount in (cgroups / controllers, cgroups / controller):
                yield from map(old, _upwards(mount, path))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:  # the group is outside of this namespace: only the top is known
        parts = []
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _quota_2(folder: Path) -> float:
    quota, period = [*_text(folder / "cpu.max").split(), "", ""][:2]
    return _share(quota, period)


def _quota_1(folder: Path) -> float:
    return _share(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _throttled(folder: Path) -> float:
    for line in _text(folder / "cpu.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "nr_throttled" and value.strip().isdigit():
            return float(value)
    return 0.0


def _share(quota: str, period: str) -> float:
    """Return microseconds of ``quota`` in each ``period`` of, unless told, 100 ms."""
    granted, length = _number(quota), _number(period or "100000")
    return granted / length if math.isfinite(granted + length) else math.inf


def _memory_2(folder: Path) -> float:
    return _number(_text(folder / "memory.max"))


def _memory_1(folder: Path) -> float:
    return _number(_text(folder / "memory.limit_in_bytes"))


def _left_2(folder: Path) -> float:
    return _left(_memory_2(folder), folder / "memory.current", folder / "memory.stat")


def _left_1(folder: Path) -> float:
    return _left(_memory_1(folder), folder / "memory.usage_in_bytes", folder / "memory.stat")


def _left(limit: float, usage: Path, stat: Path) -> float:
    if not math.isfinite(limit):
        return math.inf
    found = dict(line.split()[:2] for line in _text(stat).splitlines() if " " in line)
    droppable = _number(found.get("inactive_file", "0"))
    taken = _number(_text(usage)) - (droppable if math.isfinite(droppable) else 0.0)
    return max(0.0, limit - taken) if math.isfinite(taken) else limit


def _number(text: str) -> float:
    """Return a limit above 0; "max", -1, 0, nothing and what is no number are no limit."""
    try:
        value = int(text)
    except ValueError:
        return math.inf
    return value if value > 0 else math.inf


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _allowed_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
