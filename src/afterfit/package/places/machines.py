"""Which machine of a cloud takes one replica, and what is asked of the image's name there."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterfit.errors import UsageError
from afterfit.package.config import PackageConfig
from afterfit.package.sizes import Sized, Sizes

__all__ = [
    "Machine",
    "fingerprint",
    "image_parts",
    "one_line",
    "settings",
    "smallest",
    "write_json",
]

HOST_GIB = 1.0
"""Memory that the cloud's own agents take beside the container: an assumption."""


@dataclass(frozen=True)
class Machine:
    """A size of machine: its name, processors (vCPU), memory (GiB) and GPUs (number, kind)."""

    name: str
    cpus: int
    memory_gib: float
    gpus: int = 0
    gpu: str = ""


def smallest(machines: tuple[Machine, ...], sizes: Sizes, place: str) -> tuple[Machine, str]:
    """Return the smallest machine that takes one replica, and why; raises UsageError for none."""
    cpus, memory = sizes.cpu_limit.value, sizes.memory_limit.value / 1024
    # Too little memory ends the server, so that is asked for with the room of the host.
    fits = [each for each in machines if each.cpus >= cpus and each.memory_gib >= memory + HOST_GIB]
    if not fits:
        most = max(machines, key=lambda each: (each.cpus, each.memory_gib))
        raise UsageError(
            f"no machine of {place} takes one replica",
            why=f"it needs {cpus:g} processors and {memory:.3g} GiB; the largest that is known "
            f"here, {most.name}, has {most.cpus} and {most.memory_gib:g} GiB",
            fix="run the load test with fewer workers, and package again",
        )
    found = min(fits, key=lambda each: (each.cpus, each.memory_gib))
    return found, (
        f"the smallest of {len(machines)} that has {cpus:g} vCPU and {memory:.2g} GiB for a "
        f"replica and {HOST_GIB:g} GiB for the cloud's own agents: it has {found.cpus} vCPU and "
        f"{found.memory_gib:g} GiB; {sizes.cpu_limit.why}"
    )


def settings(sizes: Sizes) -> dict[str, Sized]:
    """Return variables that set the server up as it was measured; none where it was not.

    A server that is told nothing takes a worker for each processor of its machine.
    """
    if not sizes.measured:
        return {}
    told = {"AFTERFIT_WORKERS": sizes.workers, "AFTERFIT_THREADS": sizes.threads}
    if sizes.admission.value >= 1:
        rate = math.floor(sizes.admission.value)
        told["AFTERFIT_ADMISSION_RPS"] = Sized(rate, sizes.admission.why)
    return told


def image_parts(config: PackageConfig, form: str, example: str, place: str) -> dict[str, str]:
    """Return the named parts of ``--image`` by a pattern; raises UsageError with the example."""
    found = re.fullmatch(form, config.image)
    if found is None:
        said = f"not an image that {place} can pull: {config.image!r}"
        raise UsageError(
            said if config.image else f"{place} pulls the image from a registry of its cloud",
            where="--image",
            why="the account, the region and the rights in the files follow from its name",
            fix=f"name it without a tag: --image {example}",
        )
    if "linux/amd64" not in config.platforms:
        raise UsageError(
            f"the machines of {place} that are known here are x86-64",
            where=f"--platform {' '.join(config.platforms)}",
            fix="--platform linux/amd64",
        )
    return {name: part or "" for name, part in found.groupdict().items()}


def fingerprint(*parts: object) -> str:
    """Return eight digits that name what was written, so that other contents get another name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def one_line(text: str) -> str:
    """Return a reason as it may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "/")


def write_json(path: Path, body: dict[str, Any]) -> None:
    """Write a request body as people read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(body, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8", newline="\n")
