"""A server of its own on one core: started, watched through /proc, ended by its own ids."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TICK = 1 / os.sysconf("SC_CLK_TCK")
GRACE_S = 10.0


class BenchError(Exception):
    """What stops a peer or the run, in words for people."""


@dataclass(frozen=True)
class Launch:
    """What starts a server: a command, where it runs and what is added to its environment."""

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


@dataclass(frozen=True)
class _Stat:
    parent: int
    session: int
    cpu_s: float


def pinned(command: Sequence[str], core: int, niceness: int) -> list[str]:
    """The command on one core, with a niceness where it is not 0."""
    nice = ["nice", "-n", str(niceness)] if niceness else []
    return [*nice, "taskset", "-c", str(core), *command]


class Server:
    """A running server and all its descendants; leaving the block ends them."""

    def __init__(self, launch: Launch, core: int, niceness: int, log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                pinned(launch.command, core, niceness),
                cwd=launch.folder,
                env={**_clean_environment(), **launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def cpu_seconds(self) -> float:
        """CPU time of the living processes of the tree, user and system."""
        stats = _stats()
        return sum(stats[pid].cpu_s for pid in _tree(self.process.pid, stats))

    def memory_mb(self) -> float:
        """Proportional memory of the tree in MB (10^6 bytes): shared pages count once."""
        return sum(_pss_kb(pid) for pid in _tree(self.process.pid, _stats())) * 1024 / 1e6

    def ended(self) -> bool:
        """Whether the first process is gone."""
        return self.process.poll() is not None

    def last_words(self) -> str:
        """The end of the server's log."""
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End the tree: SIGTERM to the first process, SIGKILL to what is left after 10 s."""
        root = self.process.pid
        seen = _tree(root, _stats())
        if not self.ended():
            self.process.terminate()
        self._wait_for(seen, GRACE_S)
        for pid in _alive(root, seen) | (set() if self.ended() else {root}):
            _kill(pid)
        self.process.wait()
        self._wait_for(seen, GRACE_S)

    def _wait_for(self, seen: set[int], seconds: float) -> None:
        """Return when the first process and those in ``seen`` are gone, or the time is over."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and not (
            self.ended() and not _alive(self.process.pid, seen)
        ):
            time.sleep(0.05)


def _clean_environment() -> dict[str, str]:
    """The environment without what this interpreter's own one would pass on."""
    dropped = ("PYTHON", "VIRTUAL_ENV", "AFTERFIT_", "LD_LIBRARY_PATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    # One core: threads of BLAS and OpenMP would only wait for each other.
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _stats() -> dict[int, _Stat]:
    """Parent, session and CPU time of every process that lives, by id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:  # it ended meanwhile
                continue
            if fields[0] in "ZX":  # dead, and not yet waited for
                continue
            cpu_s = (int(fields[11]) + int(fields[12])) * TICK
            found[int(entry.name)] = _Stat(int(fields[1]), int(fields[3]), cpu_s)
    return found


def _tree(root: int, stats: Mapping[int, _Stat]) -> set[int]:
    """The living processes that descend from ``root`` or are of its session."""
    tree = {root} & stats.keys()
    while True:
        more = {
            pid for pid, stat in stats.items() if stat.parent in tree or stat.session == root
        } - tree
        if not more:
            return tree
        tree |= more


def _alive(root: int, seen: set[int]) -> set[int]:
    """What lives of the tree and of ``seen``, beside the first process."""
    stats = _stats()
    return ((seen & stats.keys()) | _tree(root, stats)) - {root}


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended meanwhile
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
