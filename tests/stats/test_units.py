"""Rows that hang together are drawn together, and the intervals know it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from afterfit.stats.dependent import dependent_difference, dependent_interval
from afterfit.stats.influence import contributions
from afterfit.stats.metric_interval import metric_with_interval
from afterfit.stats.paired import delong_difference
from afterfit.stats.units import Units, block_length, blocks, groups

Z = 1.959963984540054
SIMULATIONS = 400
ROOM = 3 * math.sqrt(0.05 * 0.95 / SIMULATIONS)
"""Three standard errors of a share of 95 % over the simulations."""


def right_in_groups(
    generator: np.random.Generator, count: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows a model gets right, where it finds whole groups easy or hard; and their groups."""
    ease = np.repeat(generator.beta(1.6, 0.4, count), size)
    return generator.random(count * size) < ease, np.repeat(np.arange(count), size)


def right_in_time(generator: np.random.Generator, n: int) -> np.ndarray:
    """Which rows a model gets right, where its luck lasts for about twenty rows; 80 % are."""
    steps = generator.normal(size=n + 200)
    state = np.zeros(n + 200)
    for i in range(1, n + 200):
        state[i] = 0.95 * state[i - 1] + steps[i]
    spread = 1 / math.sqrt(1 - 0.95**2)
    return state[200:] + generator.normal(size=n) * spread > -0.8416212 * spread * math.sqrt(2)


def accuracy_bounds(right: np.ndarray, units: Units | None) -> tuple[float, float]:
    """The interval of accuracy that a user gets."""
    truth = np.ones(len(right), int)
    found = metric_with_interval(
        "accuracy", truth, right.astype(int), positive=1, seed=0, units=units
    )
    return found.low, found.high


def test_groups_cover_where_single_rows_do_not() -> None:
    """40 groups of 25 rows that succeed or fail together: 95 % instead of far less."""
    generator = np.random.default_rng(4)
    held: dict[str, list[bool]] = {"rows": [], "groups": []}
    for _ in range(SIMULATIONS):
        right, member = right_in_groups(generator, 40, 25)
        for name, units in (("rows", None), ("groups", groups(member))):
            low, high = accuracy_bounds(right, units)
            held[name].append(low <= 0.8 <= high)
    assert np.mean(held["rows"]) < 0.70
    assert 0.95 - ROOM - 0.01 <= np.mean(held["groups"]) <= 0.95 + ROOM


def test_blocks_cover_where_single_rows_do_not() -> None:
    """4,000 rows in time whose luck lasts: blocks cover within the bounds that the docs name."""
    generator = np.random.default_rng(5)
    held: dict[str, list[bool]] = {"rows": [], "blocks": []}
    for _ in range(200):
        right = right_in_time(generator, 4000)
        for name, units in (("rows", None), ("blocks", blocks(np.arange(4000.0)))):
            low, high = accuracy_bounds(right, units)
            held[name].append(low <= 0.8 <= high)
    assert np.mean(held["rows"]) < 0.75
    assert np.mean(held["blocks"]) >= 0.90


def test_groups_of_one_row_are_independent_rows() -> None:
    """Each row its own group is no structure; in pairs of equal rows the error is that of half."""
    assert groups(np.arange(30)) is None
    rows = np.repeat(np.random.default_rng(0).normal(size=500), 2)
    rows -= rows.mean()
    paired = groups(np.repeat(np.arange(500), 2))
    assert paired is not None
    assert paired.spread(rows).error ** 2 == pytest.approx(2 * np.square(rows).sum(), rel=0.01)


def test_a_metric_of_rows_in_few_groups_has_few_degrees() -> None:
    """All that varies is in 3 of 100 groups: the interval is that of 3, and called approximate."""
    rows = np.zeros(1000)
    rows[:30] = np.random.default_rng(0).normal(size=30)
    units = groups(np.repeat(np.arange(100), 10))
    assert units is not None
    spread = units.spread(rows - rows.mean())
    assert spread.degrees < 5
    assert spread.approximate


def test_blocks_grow_with_the_dependence_and_stay_within_an_eighth() -> None:
    """White noise has the least length, a long memory a greater one."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=20_000)
    memory = np.convolve(generator.normal(size=20_000 + 799), np.ones(800), "valid")
    assert block_length(noise) == math.ceil(20_000 ** (2 / 3))
    assert block_length(noise) < block_length(memory) <= 20_000 // 8
    assert block_length(np.zeros(100)) == 12
    assert block_length(np.array([1.0])) == 1


def test_equal_times_and_missing_ones_do_not_stop_the_blocks() -> None:
    """Rows without a time come last."""
    units = blocks(np.array([3.0, np.nan, 1.0, 1.0]))
    assert units is not None
    assert units.index.tolist() == [2, 3, 0, 1]
    assert blocks(np.array([1.0])) is None


def test_a_difference_in_single_rows_is_delongs() -> None:
    """Shuffled pairs of groups aside, the error of a difference is the known one."""
    generator = np.random.default_rng(2)
    truth = generator.integers(0, 2, 3000)
    one = generator.normal(size=3000) + truth
    two = one + generator.normal(size=3000)
    gap, known = delong_difference(truth, one, two, positive=1)
    units = groups(generator.permutation(3000) // 2)
    assert units is not None
    found, bounds = dependent_difference("roc_auc", truth, one, two, units, positive=1)
    assert found == pytest.approx(gap)
    assert bounds.high - bounds.low == pytest.approx(known.high - known.low, rel=0.06)
    assert bounds.method == "t over 1500 groups"


def test_perfection_is_bounded_by_the_number_of_groups() -> None:
    """300 rows without an error in 30 groups say as much as 30 rows."""
    truth = np.tile([0, 1], 150)
    units = groups(np.repeat(np.arange(30), 10))
    assert units is not None
    found = metric_with_interval("accuracy", truth, truth, positive=1, seed=0, units=units)
    assert found.high == 1.0
    assert 1 - found.low == pytest.approx(Z**2 / (30 + Z**2), rel=0.05)


def test_one_group_bounds_nothing() -> None:
    """Rows that all hang together have no interval, and the method says why."""
    truth = np.tile([0, 1], 20)
    units = groups(np.zeros(40, int))
    assert units is not None
    rows = contributions("accuracy", truth, 1 - truth.repeat(1), positive=1)
    found = dependent_interval("accuracy", 0.4, rows, units, positive=1)
    assert found.method == "undefined: all rows are of one unit: 1 groups"
