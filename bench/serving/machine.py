"""The machine that the numbers belong to."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """CPU model, cores, memory (GB), kernel and the load average (1, 5, 15 min) right now."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 1e9, 1),
        "system": platform.platform(),
        "load_average": load_average(),
    }


def load_average() -> list[float]:
    """Load averages of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def busy_seconds(cores: Sequence[int]) -> list[float]:
    """Seconds that each core has not been idle since boot, whoever used it."""
    lines = Path("/proc/stat").read_text().splitlines()
    fields = {line.split()[0]: line.split()[1:9] for line in lines if line.startswith("cpu")}
    tick = os.sysconf("SC_CLK_TCK")
    found = []
    for core in cores:
        user, nice, system, _idle, _wait, hard, soft, steal = map(int, fields[f"cpu{core}"])
        found.append((user + nice + system + hard + soft + steal) / tick)
    return found


def commit(folder: Path) -> dict[str, Any]:
    """The commit that is checked out, and whether files of the package differ from it."""
    asked = ("rev-parse", "HEAD"), ("status", "--porcelain", "--", "src")
    seen = []
    for words in asked:
        command = ["git", "-C", str(folder.parent.parent), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seen.append(done.stdout.strip() if done.returncode == 0 else None)
    return {"hash": seen[0], "dirty": None if seen[1] is None else bool(seen[1])}


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")
