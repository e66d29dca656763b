"""How much memory there is for another model, and whether a change of the endpoint fits into it."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from afterfit.core.bundle import Bundle
from afterfit.errors import ResourceError
from afterfit.runtime.cpus import CGROUPS, COPIES, OWN_CGROUPS, memory_left

__all__ = ["Need", "available_bytes", "check_memory", "model_bytes", "resident_bytes", "trim"]

MEMINFO = Path("/proc/meminfo")
STATM = Path("/proc/self/statm")


class Need(NamedTuple):
    """What a model that is not loaded yet takes: bytes in each of so many processes."""

    digest: str
    bytes: int
    processes: int

    @property
    def total(self) -> int:
        """Bytes in all processes."""
        return self.bytes * self.processes


def available_bytes(
    meminfo: Path = MEMINFO, cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS
) -> float:
    """Return the bytes that can still be taken; infinity where nothing tells.

    The least of what the machine has available and what the limit of the cgroup leaves, pages of
    files that the kernel can drop not counted as taken.
    """
    return min(_machine(meminfo), memory_left(cgroups, own))


def model_bytes(folder: Path, measured: int = 0) -> int:
    """Return what a bundle takes in memory: as measured, or some copies of its files.

    A process that had memory left from others grows by less than a model takes, so the files are
    the least that is believed.
    """
    files = sum(file.size for file in Bundle(folder).manifest.files.values())
    return max(measured, files) if measured else COPIES * files


def check_memory(needs: Iterable[Need], available: float) -> None:
    """Raise ResourceError, with the numbers, where the models do not fit beside what serves."""
    wanted = list(needs)
    total = sum(need.total for need in wanted)
    if total <= available:
        return
    parts = ", ".join(
        f"{need.digest[:12]}: {_mb(need.bytes)} in each of {need.processes}" for need in wanted
    )
    raise ResourceError(
        f"the change needs about {_mb(total)} of memory, and {_mb(available)} are free",
        where="memory",
        why=f"a new version is loaded beside the one that serves ({parts})",
        fix="serve with fewer workers, or on a machine with more memory",
    )


def needs(
    folders: Mapping[str, str], measured: Mapping[str, int], processes: Mapping[str, int]
) -> list[Need]:
    """Return what each digest takes that is loaded in some ``processes``."""
    return [
        Need(digest, model_bytes(Path(folders[digest]), measured.get(digest, 0)), count)
        for digest, count in processes.items()
    ]


def resident_bytes(statm: Path = STATM) -> int:
    """Return the memory that this process holds; 0 where the system does not tell."""
    try:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def trim() -> None:
    """Give memory that was freed back to the system (glibc keeps it otherwise)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return  # another C library, which has its own ways


def _machine(meminfo: Path) -> float:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return math.inf
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return math.inf


def _mb(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"
