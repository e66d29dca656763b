"""How many workers an endpoint has, and how many threads each, where nobody said."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from afterfit.core.bundle import Bundle
from afterfit.runtime.cpus import Division, divide, usable_cpus, workers_in_memory

__all__ = ["division_of"]


def division_of(workers: int | None, threads: int | None, bundles: Iterable[Path]) -> Division:
    """Return one worker for each processor that the cgroup grants and that memory has room for.

    Threads are the processors divided by the workers; a number that is given is kept.
    """
    sizes = [file.size for folder in bundles for file in Bundle(folder).manifest.files.values()]
    return divide(usable_cpus(), workers, threads, most=workers_in_memory(sum(sizes)))
