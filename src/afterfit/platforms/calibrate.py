"""How far one processor's speed may be carried over to another's, from benchmarks of many machines.

What stands in for the throughput of a model is a second benchmark that counts a real program's work
(frames/s of a video encoder) on the same machines: CoreMark per thread predicts it, and the errors
of those predictions between families of one tier are the widths of `afterfit.platforms.transfer`.
"""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afterfit.errors import InputError
from afterfit.platforms.families import arch_of, family_of, tier_of
from afterfit.platforms.shapes import Tier
from afterfit.stats.conformal import threshold

__all__ = ["Benched", "Error", "errors_of", "family_share", "half_width", "per_thread", "read"]

SMALL = 32
"""A single encoder stops to scale at about so many threads; a replica is hardly ever larger."""
_ENCODES = re.compile(r"(?:g|gr|p|vt)\d")
"""Machines whose encoder runs beside the processor, so that its frames say nothing of that."""


class Benched(NamedTuple):
    """One machine type: natural logarithms of CoreMark (iterations/s) and frames/s per thread."""

    name: str
    family: str
    tier: Tier
    threads: int
    coremark: float
    frames: float


class Error(NamedTuple):
    """By what the logarithm of the target's frames/s is above what the source's predicts."""

    tier: Tier
    source: str
    target: str
    threads: int
    value: float


def read(path: Path) -> list[Benched]:
    """Return the AWS types of a CSV that have both benchmarks, without those that encode elsewhere.

    Columns: ``instance_type, coremark_iter_s, ffmpeg_fps, cpu_threads``. Raises InputError.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    try:
        return [_benched(row) for row in rows if row["ffmpeg_fps"] and _kept(row)]
    except (KeyError, ValueError) as error:
        raise InputError(
            "no table of benchmarks",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            fix="give a CSV with instance_type, coremark_iter_s, ffmpeg_fps and cpu_threads",
        ) from None


def _kept(row: dict[str, str]) -> bool:
    return bool(row["coremark_iter_s"]) and not _ENCODES.match(row["instance_type"])


def _benched(row: dict[str, str]) -> Benched:
    name, threads = row["instance_type"], int(row["cpu_threads"])
    return Benched(
        name=name,
        family=family_of("aws", name),
        tier=tier_of("aws", name, arch_of("aws", name)),
        threads=threads,
        coremark=math.log(float(row["coremark_iter_s"]) / threads),
        frames=math.log(float(row["ffmpeg_fps"]) / threads),
    )


def errors_of(machines: Sequence[Benched]) -> Iterator[Error]:
    """Yield the error of every prediction inside of one tier, between families of equal threads.

    Threads are equal because what is carried over is a replica that is pinned to as many of them.
    """
    alike: dict[tuple[Tier, int], list[Benched]] = defaultdict(list)
    for machine in machines:
        if machine.tier:
            alike[machine.tier, machine.threads].append(machine)
    for (tier, threads), group in sorted(alike.items()):
        for source in group:
            for target in group:
                if source.family != target.family:
                    value = target.frames - target.coremark - source.frames + source.coremark
                    yield Error(tier, source.family, target.family, threads, value)


def half_width(errors: Iterable[Error], level: float) -> float:
    """Return what the share ``level`` of the errors does not exceed, up or down (of a logarithm).

    Infinite where there are too few errors to tell.
    """
    sizes = np.array([abs(error.value) for error in errors])
    try:
        return threshold(sizes, 1 - level)
    except ValueError:
        return math.inf


def family_share(machines: Sequence[Benched]) -> float:
    """Return which share of the variance inside of a tier is one of families, not of single types.

    Variance components by the mean squares of a one-way layout (Searle, Casella and McCulloch,
    Variance Components, 1992, ch. 3), over deviations from the mean of equal threads.
    """
    groups: dict[tuple[Tier, str], list[float]] = defaultdict(list)
    for machine, deviation in _deviations([m for m in machines if m.tier and m.threads <= SMALL]):
        groups[machine.tier, machine.family].append(deviation)
    sizes = np.array([len(group) for group in groups.values()], dtype=np.float64)
    means = np.array([np.mean(group) for group in groups.values()])
    inside = sum(float(np.sum((np.array(g) - np.mean(g)) ** 2)) for g in groups.values())
    total, families = float(sizes.sum()), len(sizes)
    within = inside / (total - families)
    grand = float(sizes @ means) / total
    between = float(sizes @ (means - grand) ** 2) / (families - 1)
    each = (total - float(sizes @ sizes) / total) / (families - 1)
    return max(0.0, (between - within) / each) / (max(0.0, (between - within) / each) + within)


def _deviations(machines: Sequence[Benched]) -> Iterator[tuple[Benched, float]]:
    alike: dict[tuple[Tier, int], list[Benched]] = defaultdict(list)
    for machine in machines:
        alike[machine.tier, machine.threads].append(machine)
    for group in alike.values():
        rests = np.array([machine.frames - machine.coremark for machine in group])
        if len(group) > 1:
            yield from zip(group, (rests - rests.mean()).tolist(), strict=True)


def per_thread(machines: Sequence[Benched], tier: Tier) -> tuple[float, float, int]:
    """Return the mean and deviation of a tier's log CoreMark per thread, and of how many families.

    Each family counts once, by its mean.
    """
    families: dict[str, list[float]] = defaultdict(list)
    for machine in machines:
        if machine.tier == tier:
            families[machine.family].append(machine.coremark)
    means: npt.NDArray[np.float64] = np.array([np.mean(found) for found in families.values()])
    return float(means.mean()), float(means.std(ddof=1)), len(means)
