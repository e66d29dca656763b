"""How fast a replica is on another processor, from what CoreMark and every measurement say.

The logarithm of a speed is that of CoreMark per thread, plus what a tier, a family and a single
type of machine do to this model: normal terms that nobody has seen until something was measured.
What was measured on some machines says what to expect on others (best linear unbiased prediction;
Robinson, Statistical Science 6(1), 1991). A first measurement only says where the scale lies; each
further one pulls its own tier, family and type towards what was seen there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afterfit.platforms.calibrate import SMALL
from afterfit.platforms.shapes import Basis, Tier

__all__ = [
    "FAMILY_SHARE", "PER_THREAD", "SOURCE", "TIER_IMAGES", "TIER_SD", "WIDTHS", "Carried", "Place",
    "Seen", "Transfer", "Width",
]  # fmt: skip

SOURCE = (
    "fitted on 2026-11-27 to CoreMark and ffmpeg on 898 types of AWS, runs of 2025-12 to 2026-07 "
    "(ec2instances.info, MIT)"
)
LEVEL = 0.9


class Width(NamedTuple):
    """Half of the 90 % interval of a prediction (of a logarithm), by the threads of a replica."""

    small: float
    large: float


WIDTHS: dict[Tier, Width] = {
    "avx2": Width(0.171, 0.377),
    "avx512": Width(0.159, 0.136),
    "vnni": Width(0.232, 0.408),
    "amx": Width(0.160, 0.655),
    "neon": Width(0.265, 0.036),
    "i8mm": Width(0.127, 0.771),
    "": Width(0.172, 0.534),
}
"""By the tier of the target; of no tier, all tiers together."""

FAMILY_SHARE = 0.326
"""The share of the variance inside of a tier that is one of families; the rest is of types."""

PER_THREAD: dict[Tier, tuple[float, float]] = {
    "avx2": (9.712, 0.222),
    "avx512": (9.624, 0.089),
    "vnni": (10.054, 0.418),
    "amx": (10.051, 0.041),
    "neon": (9.845, 0.138),
    "i8mm": (10.277, 0.126),
    "": (9.928, 0.308),
}
"""Mean and deviation of the log CoreMark per thread of a tier's families, of no tier of all."""

TIER_IMAGES: dict[Tier, float] = {
    "avx512": 28, "avx2": 49, "neon": 78, "vnni": 85, "i8mm": 150, "amx": 161,
}  # fmt: skip
"""Median images/s at 4 vCPU in Geekbench 6 Object Detection, computed from the benchmarks of Spare
Cores (1,317 types, 2024 to 2026-08)."""

TIER_SD = 0.457
"""The deviation of the logarithm of `TIER_IMAGES` over CoreMark per thread, of six tiers: what a
tier does to a model that nobody has measured on it."""

_SAME_TYPE = 0.005
"""The least deviation of one measurement, so that two of one machine can be told together."""


class Place(NamedTuple):
    """A processor as far as it matters: empty where it is not known.

    ``coremark`` is in iterations/s per thread with all threads.
    """

    type: str
    family: str
    tier: Tier
    coremark: float | None


class Seen(NamedTuple):
    """A speed (any unit, of one replica of the same cores) measured on a processor."""

    place: Place
    speed: float
    low: float
    high: float
    deviation: float = 0.0


class Carried(NamedTuple):
    """A speed as it is to be expected, between bounds, and how that is known.

    ``alike`` counts the measurements in the same tier, ``total`` all of them.
    """

    speed: float
    low: float
    high: float
    basis: Basis
    alike: int
    total: int


class Transfer:
    """What ``seen`` (one measurement at least) says of a replica of ``cores`` on other machines."""

    def __init__(self, seen: Sequence[Seen], cores: float, level: float = LEVEL) -> None:
        self.places = [each.place for each in seen]
        self.cores = cores
        self.reach = NormalDist().inv_cdf((1 + level) / 2)
        noise = np.diag([_noise(each) ** 2 for each in seen])
        self.inverse = np.linalg.inv(_joint(self.places, self.places, cores) + noise)
        rests = np.array([math.log(each.speed) - _coremark(each.place) for each in seen])
        self.scale = self.inverse.sum(axis=0)
        self.mean = float(self.scale @ rests) / float(self.scale.sum())
        self.pulls = self.inverse @ (rests - self.mean)

    def to(self, target: Place) -> Carried:
        """Return the speed on ``target`` in the unit of what was seen, with its interval."""
        same = [place for place in self.places if target.type and place.type == target.type]
        if same:
            # Of one type there is one CoreMark, whoever told it: only so is its speed its own.
            target = target._replace(coremark=same[0].coremark, tier=same[0].tier)
        towards = _joint([target], self.places, self.cores)[0]
        weights = self.inverse @ towards
        own = _shared(target, target, self.cores, same=True)
        lost = (1 - float(weights.sum())) ** 2 / float(self.scale.sum())
        deviation = math.sqrt(max(own - float(weights @ towards) + lost, 0.0))
        middle = self.mean + float(self.pulls @ towards) + _coremark(target)
        low, high = (math.exp(middle + sign * self.reach * deviation) for sign in (-1, 1))
        alike = sum(bool(target.tier) and place.tier == target.tier for place in self.places)
        basis: Basis = "measured" if same else "same tier" if alike else "cross tier"
        return Carried(math.exp(middle), low, high, basis, alike, len(self.places))


def _coremark(place: Place) -> float:
    """Return the log of CoreMark per thread, where it is not known that of the tier."""
    return math.log(place.coremark) if place.coremark else PER_THREAD[place.tier][0]


def _noise(seen: Seen) -> float:
    """Return the deviation of the log of a measured speed, taken for normal between its bounds."""
    width = math.log(seen.high / seen.low) / (2 * NormalDist().inv_cdf((1 + LEVEL) / 2))
    return max(_SAME_TYPE, math.hypot(width, seen.deviation))


def _joint(ones: Sequence[Place], others: Sequence[Place], cores: float) -> npt.NDArray[np.float64]:
    same = ones is others
    return np.array(
        [
            [_shared(a, b, cores, same=same and i == j) for j, b in enumerate(others)]
            for i, a in enumerate(ones)
        ]
    )


def _shared(one: Place, other: Place, cores: float, *, same: bool) -> float:
    """Return the covariance of what two processors do to a model beyond CoreMark (log units)."""
    width = WIDTHS[one.tier]
    half = width.small if cores <= SMALL else width.large
    # Half the variance of the error between two types of different families.
    inside = (half / NormalDist().inv_cdf((1 + LEVEL) / 2)) ** 2 / 2
    family = same or (bool(one.family) and one.family == other.family)
    total = 0.0
    if same or (one.tier and one.tier == other.tier):
        total += TIER_SD**2
    if family:
        total += inside * FAMILY_SHARE
        if not one.coremark and not other.coremark:
            total += PER_THREAD[one.tier][1] ** 2
    if same or (one.type and one.type == other.type):
        total += inside * (1 - FAMILY_SHARE)
    return total
