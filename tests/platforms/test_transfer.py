"""Speeds on other processors: what was fitted follows from the data, and intervals hold."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist, stdev
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.errors import InputError
from afterfit.platforms.calibrate import (
    SMALL,
    Benched,
    Error,
    errors_of,
    family_share,
    half_width,
    per_thread,
    read,
)
from afterfit.platforms.shapes import Tier
from afterfit.platforms.transfer import (
    FAMILY_SHARE,
    PER_THREAD,
    TIER_IMAGES,
    TIER_SD,
    WIDTHS,
    Place,
    Seen,
    Transfer,
)

TIERS: tuple[Tier, ...] = tuple(tier for tier in get_args(Tier) if tier)
Z = NormalDist().inv_cdf(0.95)


def place(name: str, tier: Tier = "amx", coremark: float | None = 22_000.0) -> Place:
    """A type ``m7i.large`` of AWS; its family is what stands before the dot."""
    return Place(f"aws/{name}", f"aws/{name.partition('.')[0]}", tier, coremark)


def seen(where: Place, speed: float = 1.0, spread: float = 1.0) -> Seen:
    """A speed that was measured, its bounds a factor of ``spread`` away."""
    return Seen(where, speed, speed / spread, speed * spread)


@pytest.fixture(name="machines", scope="module")
def _machines(shared_data: Callable[[str], Path]) -> list[Benched]:
    """The types of AWS that have both benchmarks."""
    return read(shared_data("../catalog/aws_coremark_vantage_MIT.csv"))


@pytest.fixture(name="errors", scope="module")
def _errors(machines: list[Benched]) -> list[Error]:
    """The errors of all predictions inside of a tier."""
    return list(errors_of(machines))


def test_the_shipped_numbers_follow_from_the_benchmarks(
    machines: list[Benched], errors: list[Error]
) -> None:
    """Widths, the share of families and CoreMark per thread are what the data give today."""
    for tier in TIERS:
        own = [error for error in errors if error.tier == tier]
        found = (
            half_width([e for e in own if e.threads <= SMALL], 0.9),
            half_width([e for e in own if e.threads > SMALL], 0.9),
        )
        assert WIDTHS[tier] == pytest.approx(found, abs=6e-4), tier
        assert PER_THREAD[tier] == pytest.approx(per_thread(machines, tier)[:2], abs=6e-4), tier
    assert family_share(machines) == pytest.approx(FAMILY_SHARE, abs=6e-4)
    small = half_width([e for e in errors if e.threads <= SMALL], 0.9)
    assert WIDTHS[""].small == pytest.approx(small, abs=6e-4)


def test_what_a_tier_does_follows_from_images_per_coremark() -> None:
    """The deviation over six tiers of images/s per CoreMark per thread."""
    rests = [math.log(images) - PER_THREAD[tier][0] for tier, images in TIER_IMAGES.items()]
    assert len(rests) == len(TIERS)
    assert stdev(rests) == pytest.approx(TIER_SD, abs=6e-4)


def test_intervals_cover_nine_in_ten_of_a_family_that_was_left_out(errors: list[Error]) -> None:
    """Fitted without a family, 90 % intervals hold 85 to 95 % of what was measured of it."""
    hits: dict[tuple[Tier, bool], list[bool]] = defaultdict(list)
    for tier in TIERS:
        for small in (True, False):
            own = [e for e in errors if e.tier == tier and (e.threads <= SMALL) == small]
            for family in {error.target for error in own}:
                width = half_width([e for e in own if family not in {e.source, e.target}], 0.9)
                hits[tier, small] += [abs(e.value) <= width for e in own if e.target == family]
    shares = {key: float(np.mean(found)) for key, found in hits.items()}
    assert len(shares) == 2 * len(TIERS)
    assert min(len(found) for found in hits.values()) > 200
    assert all(0.85 <= share <= 0.95 for share in shares.values()), shares
    everything = [hit for found in hits.values() for hit in found]
    assert 0.85 <= float(np.mean(everything)) <= 0.95


@pytest.mark.parametrize("count", [1, 3])
def test_probes_narrow_the_interval_and_it_still_holds(machines: list[Benched], count: int) -> None:
    """From one and from three types of other families of the tier, 90 % hold 85 to 95 %."""
    random, hits, widths = np.random.default_rng(count), [], []
    small = [m for m in machines if m.tier and m.threads <= SMALL]
    for _ in range(800):
        target = small[random.integers(len(small))]
        pool = [
            m for m in small
            if (m.tier, m.threads) == (target.tier, target.threads) and m.family != target.family
        ]  # fmt: skip
        if len(pool) < count:
            continue
        picked = [pool[i] for i in random.choice(len(pool), count, replace=False)]
        told = [seen(_where(m), math.exp(m.frames)) for m in picked]
        found = Transfer(told, target.threads).to(_where(target))
        hits.append(found.low <= math.exp(target.frames) <= found.high)
        widths.append(math.log(found.high / found.low))
    assert len(hits) > 700
    assert 0.85 <= np.mean(hits) <= 0.95
    if count > 1:
        assert np.mean(widths) < 2 * np.mean([WIDTHS[m.tier].small for m in small]) * 0.9


def _where(machine: Benched) -> Place:
    return Place(machine.name, machine.family, machine.tier, math.exp(machine.coremark))


def test_the_interval_of_one_tier_is_the_fitted_one() -> None:
    """From one measurement: CoreMark's ratio, and half the width of a logarithm is that of data."""
    found = Transfer([seen(place("m7i.large"))], 4).to(place("c8i.large", coremark=24_000.0))
    assert found.basis == "same tier"
    assert found.speed == pytest.approx(24 / 22)
    assert math.log(found.high / found.speed) == pytest.approx(WIDTHS["amx"].small, rel=2e-3)
    large = Transfer([seen(place("m7i.large"))], 64).to(place("c8i.large"))
    assert math.log(large.high / large.speed) == pytest.approx(WIDTHS["amx"].large, rel=2e-3)


def test_the_same_type_has_the_interval_of_its_measurement() -> None:
    """On the very type nothing is added to what the load test said."""
    found = Transfer([seen(place("m7i.large"), 100.0, 1.05)], 2).to(place("m7i.large"))
    assert found.basis == "measured"
    assert (found.low, found.speed, found.high) == pytest.approx((100 / 1.05, 100, 105))


def test_another_tier_is_a_guess_until_a_probe_was_there() -> None:
    """Between tiers the interval is a factor of about 3; one probe in the tier ends that."""
    base = seen(place("m7i.large"))
    guess = Transfer([base], 2).to(place("m7g.large", "i8mm", 25_000.0))
    assert guess.basis == "cross tier"
    assert 2.5 < guess.high / guess.speed < 4
    probe = seen(place("c8g.large", "i8mm", 30_000.0), 3.0)
    known = Transfer([base, probe], 2).to(place("m7g.large", "i8mm", 25_000.0))
    assert (known.basis, known.alike, known.total) == ("same tier", 1, 2)
    assert known.high / known.speed < 1.3
    assert known.speed == pytest.approx(3.0 * 25 / 30, rel=0.05)


def test_without_coremark_the_tier_stands_in_and_says_so_by_its_width() -> None:
    """Sizes of one family share what is not known of them, other families do not."""
    base = [seen(Place("gcp/n2-standard-2", "gcp/n2-standard", "vnni", None))]
    same = Transfer(base, 2).to(Place("gcp/n2-standard-8", "gcp/n2-standard", "vnni", None))
    other = Transfer(base, 2).to(Place("azure/D4s v5", "azure/Ds v5", "vnni", None))
    assert same.speed == pytest.approx(other.speed) == pytest.approx(1.0)
    assert math.log(same.high) < WIDTHS["vnni"].small
    lost = math.hypot(WIDTHS["vnni"].small, Z * math.sqrt(2) * PER_THREAD["vnni"][1])
    assert math.log(other.high) == pytest.approx(lost, rel=1e-3)


@given(factor=st.floats(0.1, 10), level=st.floats(0.5, 0.99), count=st.integers(1, 4))
def test_units_do_not_matter_and_higher_levels_are_wider(
    factor: float, level: float, count: int
) -> None:
    """Speeds scale with what was seen, and the interval widens with its level."""
    told = [seen(place(f"m{i}i.large"), 1.0 + i, 1.1) for i in range(count)]
    scaled = [seen(each.place, each.speed * factor, 1.1) for each in told]
    target = place("c8i.large", coremark=30_000.0)
    one, other = Transfer(told, 2, level).to(target), Transfer(scaled, 2, level).to(target)
    assert other.speed == pytest.approx(one.speed * factor)
    assert one.low < one.speed < one.high
    assert Transfer(told, 2, 0.995).to(target).high > one.high


def test_a_table_of_something_else_is_told(tmp_path: Path) -> None:
    """A CSV without the columns is an error that names them."""
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(InputError, match="no table of benchmarks"):
        read(path)
    assert half_width([], 0.9) == math.inf
