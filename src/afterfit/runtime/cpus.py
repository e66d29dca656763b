"""How many processors a server may really use, and how to divide them.

A container sees every processor of its machine, but its cgroup lets it run on a share of them for
a part of each period. A server that starts a worker for each processor that it sees is then
throttled: all of its workers stand still until the next period.

Source: the kernel's admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst (cfs_quota).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Division", "cpu_quota", "divide", "usable_cpus"]

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


class Division(NamedTuple):
    """Processes that serve, and threads inside of one call of the model."""

    workers: int
    threads: int


def divide(cpus: int, workers: int | None = None, threads: int | None = None) -> Division:
    """Return how ``cpus`` are divided where a number is not given: one worker each, no overlap."""
    processes = workers or max(1, cpus)
    return Division(processes, threads or max(1, cpus // processes))


def usable_cpus(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Return the whole processors that this process may keep busy, at least 1.

    The least of the quota of its cgroup, rounded down, and the processors it may run on.
    """
    return max(1, math.floor(min(cpu_quota(cgroups, own), _allowed_cpus())))


def cpu_quota(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """Return the processors that the cgroup grants, such as 1.5; infinity where nothing limits it.

    A parent's limit holds for its children, so the least on the way up counts. What cannot be
    read is no limit: Windows and macOS have none of these files.
    """
    try:
        lines = own.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    return min(_quotas(cgroups, lines), default=math.inf)


def _quotas(cgroups: Path, lines: list[str]) -> Iterator[float]:
    """Yield every limit that holds, by the lines ``number:controllers:path`` of one's cgroups.

    A container without a cgroup namespace is told the host's path and has its own group mounted
    at the top, so the folders above a path are read even where the path itself is not there.
    """
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:
            for mount in (cgroups, cgroups / "unified"):
                yield from (_version_2(folder) for folder in _upwards(mount, path))
        elif "cpu" in controllers.split(","):
            for mount in (cgroups / controllers, cgroups / "cpu"):
                yield from (_version_1(folder) for folder in _upwards(mount, path))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:  # the group is outside of this namespace: only the top is known
        parts = []
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _version_2(folder: Path) -> float:
    quota, *period = _words(folder / "cpu.max") or ["max"]
    return _share(quota, period[0] if period else "100000")


def _version_1(folder: Path) -> float:
    quota = _words(folder / "cpu.cfs_quota_us") or ["-1"]
    period = _words(folder / "cpu.cfs_period_us") or ["100000"]
    return _share(quota[0], period[0])


def _share(quota: str, period: str) -> float:
    """Return microseconds of ``quota`` in each ``period``; "max" and -1 are no limit."""
    try:
        granted, length = int(quota), int(period)
    except ValueError:
        return math.inf
    return granted / length if granted > 0 and length > 0 else math.inf


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []


def _allowed_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
