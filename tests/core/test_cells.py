"""Cells count exactly as a search among the edges does, however edges and values lie."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.cells import cells_of
from afterfit.core.fingerprint import MANY, ColumnCounts

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NEAR = st.floats(-3, 3).map(lambda x: round(x, 1))


@given(
    st.lists(NUMBERS | NEAR, min_size=1, max_size=63, unique=True), st.lists(NUMBERS, max_size=80)
)
def test_every_value_is_in_its_bin(edges: list[float], values: list[float]) -> None:
    """Also values on an edge, a digit beside one, and at the ends of float64."""
    edges = sorted(edges)
    cells = cells_of(tuple(edges))
    if cells is None:
        assert len(edges) < 2 or not 0 < 1021 / (edges[-1] - edges[0]) < np.inf
        return
    at = np.array(edges)
    every = np.concatenate([values, at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf)])
    every = every[np.isfinite(every)]
    bins = np.searchsorted(at, every, side="right")
    assert cells.counts(every).tolist() == np.bincount(bins, minlength=len(at) + 1).tolist()


def test_edges_without_room_have_no_cells() -> None:
    """One edge, or edges as far apart as float64 goes: sorting does it."""
    assert cells_of((1.0,)) is None
    assert cells_of((-1.7e308, 1.7e308)) is None
    assert cells_of((0.0, 5e-324)) is None


def test_many_rows_are_counted_as_few_are() -> None:
    """The quick way and the sorted one differ in the last digits of moments at most."""
    random = np.random.default_rng(0)
    values = random.normal(size=3 * MANY)
    values[::97], values[5], values[6] = np.nan, np.inf, -np.inf
    edges = np.quantile(random.normal(size=5000), np.linspace(0, 1, 65)[1:-1]).tolist()
    quick, slow = (
        ColumnCounts(name="x", kind="number", edges=edges, counts=[0] * 64) for _ in range(2)
    )
    quick.update(values)
    for start in range(0, len(values), MANY // 2):
        slow.update(values[start : start + MANY // 2])
    for name in ("counts", "nan", "pinf", "ninf", "missing", "min", "max"):
        assert getattr(quick, name) == getattr(slow, name), name
    assert np.allclose([quick.mean, quick.m2], [slow.mean, slow.m2], rtol=1e-12)
