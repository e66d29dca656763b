"""The intervals hold the truth as often as they say."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

SIMULATIONS = 250
ERROR = math.sqrt(0.05 * 0.95 / SIMULATIONS)
# The table of 2,000 simulations must lie within 92.5 and 97.5 %; 250 add three errors of their own.
LEAST, MOST = 0.925 - 3 * ERROR, min(1.0, 0.975 + 3 * ERROR)


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """The simulation of ``bench/coverage.py``, the one behind the documented table."""
    path = Path(__file__).parents[2] / "bench" / "coverage.py"
    spec = importlib.util.spec_from_file_location("afterfit_bench_coverage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    module.TRUTH_ROWS = 400_000  # type: ignore[attr-defined]  # a tenth of the time to draw
    return module


@pytest.mark.slow
@pytest.mark.parametrize("cell", [0, 1, 3, 4, 6, 7])
def test_intervals_cover_the_truth(coverage: ModuleType, cell: int) -> None:
    """Every metric of two and three classes and of a regression, 200 and 1,000 rows."""
    population, n = coverage.INDEPENDENT[cell]
    results = coverage.measure(population, n, SIMULATIONS, seed=7)
    assert len(results) == len(population.metrics)
    assert {r["metric"]: r["coverage"] for r in results if not LEAST <= r["coverage"] <= MOST} == {}
    assert not any(r["undefined"] for r in results)


@pytest.mark.slow
@pytest.mark.parametrize("cell", [1, 3])
def test_intervals_know_how_rows_hang_together(coverage: ModuleType, cell: int) -> None:
    """50 groups of 20 rows; 1,000 rows in time: single rows claim to know more than they do."""
    population, n = coverage.DEPENDENT[cell]
    results = coverage.measure(population, n, SIMULATIONS, seed=7)
    share = {(r["metric"], r["way"]): r["coverage"] for r in results}
    for metric in population.metrics:
        assert share[metric, "used"] >= LEAST, metric
    if population.group:
        assert max(share[metric, "rows"] for metric in population.metrics) < 0.9


def test_the_page_holds_the_measured_tables(project_root: Path, coverage: ModuleType) -> None:
    """What the documentation says is what was measured, and nothing independent misses."""
    body = json.loads((project_root / "bench/results/coverage.json").read_text("utf-8"))
    text = (project_root / "docs/explanation/intervals.md").read_text("utf-8")
    assert coverage.page(body["results"], body["settings"]) in text
    apart = [r for r in body["results"] if not r["group"] and not r["memory"]]
    assert len(apart) == 72
    assert {r["simulations"] for r in apart} == {2000}
    misses = [r for r in apart if not 0.925 <= r["coverage"] <= 0.975]
    assert [(r["metric"], r["title"], r["n"], r["coverage"]) for r in misses] == []
