"""What one machine of an offer carries, from one measured replica: never a guess without a width.

A replica is pinned to its cores, so that a machine holds as many as its vCPUs and its memory allow,
each as fast as one: on machines of 2 to 32 vCPU independent processes scale as vCPU^1.0, while one
process scales as vCPU^0.67 (computed from the benchmarks of Spare Cores, 1,317 types, 2024 to
2026-08). The other rates come from `afterfit.platforms.transfer` and `afterfit.platforms.latency`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from afterfit.core.slo import Slo
from afterfit.platforms.families import family_of
from afterfit.platforms.latency import Pace, pace_of
from afterfit.platforms.shapes import Basis, Capacity, Machine, Measured
from afterfit.platforms.transfer import LEVEL, Carried, Place, Seen, Transfer

__all__ = [
    "BASELINE", "GPU_FACTOR", "ONE_PROCESS", "SIBLINGS", "SYSTEM_GIB", "Capacities", "Speeds",
    "capacity_of", "place_of",
]  # fmt: skip

SIBLINGS = 0.51
"""All threads of an x86 machine, over its vCPUs times what one thread does alone: two hyperthreads
share a core. On ARM it is 1.0. Computed from the benchmarks of Spare Cores (2024 to 2026-08)."""

ONE_PROCESS = 0.67
"""The power of vCPUs by which one process scales; source as above."""

BASELINE = 0.2
"""The share of a shared processor that lasts: the baseline of t3.small and t3.medium (user guide of
EC2; others of that kind have 0.05 to 0.4). Beyond it lies a burst, which may end."""

GPU_FACTOR = 1.25
"""By how much the same GPU may differ in another machine; an assumption, which nothing measured."""

SYSTEM_GIB = 0.5
"""The memory of a machine that its system and its agents need, in GiB; an assumption."""


def capacity_of(
    measured: Measured,
    machine: Machine,
    probes: Sequence[Measured] = (),
    *,
    slo: Slo | None = None,
    level: float = LEVEL,
) -> Capacity:
    """Return what one machine carries within the objective, with an interval at ``level``."""
    return Capacities(measured, probes, slo, level).of(machine)[0]


def place_of(machine: Machine) -> Place:
    """Return what is known of a machine's processor."""
    name = _plain(machine.name)
    return Place(
        type=f"{machine.provider}/{name}",
        family=f"{machine.provider}/{family_of(machine.provider, name)}",
        tier=machine.tier,
        coremark=machine.coremark / machine.vcpu if machine.coremark and machine.vcpu else None,
    )


def _plain(name: str) -> str:
    return name.removeprefix("ml.")


def _place_measured(measured: Measured) -> Place:
    provider, _, rest = measured.machine.partition("/")
    name = _plain(rest.partition("/")[2])
    family = f"{provider}/{family_of(provider, name)}" if name else ""
    whole = f"{provider}/{name}" if name else ""
    return Place(whole, family, measured.tier, measured.coremark_per_core)


class Speeds(NamedTuple):
    """How fast one replica is between bounds, beside the one that was measured: 2 is twice."""

    speed: float
    low: float
    high: float


class Capacities:
    """The capacities of all machines, from one replica and the probes of it on other machines."""

    def __init__(
        self,
        measured: Measured,
        probes: Sequence[Measured] = (),
        slo: Slo | None = None,
        level: float = LEVEL,
    ) -> None:
        self.measured, self.level = measured, level
        self.probes = tuple(probes)
        self.pace: Pace | None = pace_of(measured, slo)
        self._known: dict[tuple[object, ...], tuple[Capacity, Speeds]] = {}

    def of(self, machine: Machine, reserve_gib: float = SYSTEM_GIB) -> tuple[Capacity, Speeds]:
        """Return what a machine carries, and how fast a replica of it is.

        ``reserve_gib`` of its memory are not the replicas'.
        """
        key = (
            machine.provider, machine.name, machine.tier, machine.vcpu, machine.memory_gib,
            machine.coremark, machine.shared, machine.gpu, machine.gpu_count, reserve_gib,
        )  # fmt: skip
        if key not in self._known:
            gpu = machine.gpu or self.measured.gpu
            self._known[key] = self._gpu(machine) if gpu else self._cpu(machine, reserve_gib)
        return self._known[key]

    @cached_property
    def _seen(self) -> list[Seen]:
        base = [m for m in (self.measured, *self.probes) if not m.gpu]
        return [self._sighting(each) for each in base]

    @cached_property
    def _transfer(self) -> Transfer:
        return Transfer(self._seen, self.measured.cores, self.level)

    def _sighting(self, each: Measured) -> Seen:
        """Return a measurement as a speed, beside that of the replica that was measured first."""
        scale = SIBLINGS if _hyperthreads(each) and each.siblings == "idle" else 1.0
        # Cores of another number: in proportion, and as unsure as one process is above that.
        other = self.measured.cores / each.cores
        return Seen(
            _place_measured(each),
            speed=self._speed(each.rate * other) * scale,
            low=self._speed(each.low * other) * scale,
            high=self._speed(each.high * other) * scale,
            deviation=abs(math.log(other)) * (1 - ONE_PROCESS),
        )

    def _speed(self, rate: float) -> float:
        return self.pace.speed(rate) if self.pace else rate / self.measured.rate

    def _rate(self, speed: float) -> float:
        return self.pace.rate(speed) if self.pace else self.measured.rate * speed

    def _cpu(self, machine: Machine, reserve_gib: float) -> tuple[Capacity, Speeds]:
        if machine.vcpu is None:
            return _unknown("how many vCPUs it has is not known")
        if machine.memory_gib is None:
            return _unknown("how much memory it has is not known")
        replicas = machine.vcpu / self.measured.cores
        fitting = int((machine.memory_gib - reserve_gib) / max(self.measured.memory_gib, 1e-9))
        if fitting < 1:
            need = f"a replica needs {self.measured.memory_gib:.2g} GiB"
            return _unknown(f"{need}, the machine has {machine.memory_gib:g}")
        count = max(1, min(int(replicas + 1e-9), fitting))
        speeds, basis, why = self._replica(machine, min(replicas, 1.0))
        return self._capacity(speeds, count, basis, f"{why}; {_replicas(count)}"), speeds

    def _capacity(self, speeds: Speeds, count: int, basis: Basis, why: str) -> Capacity:
        rate, low, high = (self._rate(speed) * count for speed in speeds)
        return Capacity(rate=rate, low=low, high=high, basis=basis, replicas=count, why=why)

    def _replica(self, machine: Machine, share: float) -> tuple[Speeds, Basis, str]:
        """Return what one replica does on ``share`` of the cores that it was measured with."""
        carried = self._transfer.to(place_of(machine))
        whys = [_why(carried, machine)]
        low, high = carried.low, carried.high
        if share < 1:
            high *= share ** (ONE_PROCESS - 1)
            whys.append("it has fewer vCPUs than the replica was measured with")
        if any(_hyperthreads(m) and not m.siblings for m in (self.measured, *self.probes)):
            low *= SIBLINGS
            whys.append("the low end allows that the hyperthreads beside the replica were idle")
        if machine.shared:
            low *= BASELINE
            whys.append("its processor is shared: the low end is what lasts")
        speeds = Speeds(carried.speed * share, low * share, high * share)
        return speeds, carried.basis, "; ".join(whys)

    def _gpu(self, machine: Machine) -> tuple[Capacity, Speeds]:
        alike = [m for m in (self.measured, *self.probes) if m.gpu and m.gpu == machine.gpu]
        place = place_of(machine).type
        exact = [m for m in (self.measured, *self.probes) if _place_measured(m).type == place]
        if not alike and not exact:
            name = machine.gpu or "a machine without a GPU"
            return _unknown(f"nothing was measured on {name}, and GPUs say nothing of each other")
        if not exact and machine.gpu_count < 1:
            return _unknown(f"it has {machine.gpu_count:.2g} of a {machine.gpu}: measure it there")
        best, factor = (exact or alike)[0], 1.0 if exact else GPU_FACTOR
        speeds = Speeds(
            self._speed(best.rate),
            self._speed(best.low) / factor,
            self._speed(best.high) * factor,
        )
        count = max(1, int(machine.gpu_count))
        why = "measured there" if exact else f"measured on another machine with {best.gpu}"
        basis: Basis = "measured" if exact else "same tier"
        return self._capacity(speeds, count, basis, f"{why}; {_replicas(count)}"), speeds


def _replicas(count: int) -> str:
    return f"{count} replica{'s' if count > 1 else ''} on a machine"


def _hyperthreads(measured: Measured) -> bool:
    return measured.arch != "arm64" and measured.tier not in {"neon", "i8mm"} and not measured.gpu


def _why(carried: Carried, machine: Machine) -> str:
    if carried.basis == "measured":
        return f"measured on {machine.name}"
    how = "CoreMark per thread" if machine.coremark else f"the usual {machine.tier or 'processor'}"
    if carried.basis == "same tier":
        return f"by {how} from {carried.alike} of {carried.total} measured in tier {machine.tier}"
    return f"by {how}, from another tier than {machine.tier or 'this unknown one'}: a guess"


def _unknown(why: str) -> tuple[Capacity, Speeds]:
    none = Capacity(rate=0.0, low=0.0, high=0.0, basis="unknown", replicas=0, why=why)
    return none, Speeds(0.0, 0.0, 0.0)
