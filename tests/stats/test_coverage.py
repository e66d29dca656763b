"""The intervals hold the truth as often as they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SIMULATIONS = 150
# 150 fair trials at 95 % fall below 88 % in about one run of 2,700, at the fixed seed in none.
LEAST = 0.88


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """Return the simulation of ``bench/coverage.py``, the one behind the documented table."""
    path = Path(__file__).parents[2] / "bench" / "coverage.py"
    spec = importlib.util.spec_from_file_location("afterfit_bench_coverage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(("n", "prevalence"), [(200, 0.1), (1000, 0.1), (400, 0.3), (500, None)])
def test_intervals_cover_the_truth(coverage: ModuleType, n: int, prevalence: float | None) -> None:
    """Every metric, at a small and a rare positive class, in a simulated population."""
    results = coverage.measure(n, prevalence, SIMULATIONS, seed=7, effort="quick", compare=False)
    assert len(results) == (4 if prevalence is None else 10)
    misses = {r["metric"]: r["coverage"] for r in results if r["coverage"] < LEAST}
    assert not misses
    assert not any(r["undefined"] for r in results)
