"""Score tables: the metrics of core from counts, and exact merging."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterfit.core.formulae import compute
from afterfit.monitor.score_metrics import TABLE_METRICS, table_metric, table_metrics
from afterfit.monitor.score_table import ScoreTable, error_bounds
from afterfit.stats.delong import delong
from afterfit.stats.metric_interval import metric_with_interval
from afterfit.stats.score_bins import BINS, bin_middles, bin_of

PROBABILITIES = {"roc_auc", "pr_auc", "log_loss", "brier"}


def binary_rows(n: int, seed: int = 0, rare: float = 0.0) -> tuple[Any, Any, Any]:
    """Scores, decided classes and truths of a calibrated binary model."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.8, 1.5 + rare, n)
    return scores, (scores >= 0.4).astype(np.int64), (rng.random(n) < scores).astype(np.int64)


def binary_table(scores: Any, codes: Any, truth: Any) -> ScoreTable:
    """The table of some rows of a binary model whose second class is positive."""
    table = ScoreTable.empty("binary", 2, 1)
    table.update(scores, codes, truth)
    return table


@pytest.mark.parametrize("rare", [0.0, 60.0])
def test_binary_metrics_are_those_of_core(rare: float) -> None:
    """Metrics of cells and losses are core's own; areas differ by less than the bins' ties."""
    scores, codes, truth = binary_rows(4000, rare=rare)
    codes = (scores >= np.quantile(scores, 0.8)).astype(np.int64)
    table = binary_table(scores, codes, truth)
    for name in TABLE_METRICS["binary"]:
        exact = metric_with_interval(
            name, truth, scores if name in PROBABILITIES else codes, positive=1, seed=0
        )
        found = table_metric(table, name)
        assert found is not None
        assert found.value is not None
        assert found.n == 4000
        close = 1e-3 if name in ("roc_auc", "pr_auc") else 1e-9
        assert found.value == pytest.approx(exact.value, abs=close)
        width = exact.high - exact.low
        assert found.low == pytest.approx(exact.low, abs=0.12 * width)
        assert found.high == pytest.approx(exact.high, abs=0.12 * width)


def test_the_interval_of_the_area_is_delongs_for_scores_in_their_bins() -> None:
    """Counting by bin loses nothing but what is within a bin."""
    scores, codes, truth = binary_rows(900, seed=3)
    rounded = bin_middles()[bin_of(scores)]
    found = table_metric(binary_table(scores, codes, truth), "roc_auc")
    low, high, _ = delong(truth, rounded)
    assert found is not None
    assert found.value == pytest.approx(compute("roc_auc", truth, rounded).value, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_multiclass_metrics_are_those_of_core() -> None:
    """Three classes: macro averages from the cells, losses from the probabilities."""
    rng = np.random.default_rng(1)
    shown = rng.dirichlet((1.0, 1.5, 2.0), 3000)
    truth = np.array([rng.choice(3, p=row) for row in shown])
    codes = shown.argmax(axis=1)
    table = ScoreTable.empty("multiclass", 3)
    table.update(shown.max(axis=1), codes, truth, shown)
    for name in TABLE_METRICS["multiclass"]:
        found = table_metric(table, name)
        exact = compute(name, truth, shown if name in PROBABILITIES else codes)
        assert found is not None
        assert found.value == pytest.approx(exact.value, abs=1e-9)
        assert found.low is not None
        assert found.high is not None
        assert found.low < exact.value < found.high


def test_regression_metrics_are_those_of_core() -> None:
    """MAE and RMSE from sums; sizes of errors fall in bins a quarter of an octave wide."""
    rng = np.random.default_rng(2)
    truth = rng.normal(50, 10, 2000)
    values = truth + rng.standard_t(5, 2000)
    table = ScoreTable.empty("regression")
    table.update(values, np.full(2000, -1), truth)
    for name in ("mae", "rmse"):
        exact = metric_with_interval(name, truth, values, positive=None, seed=0)
        found = table_metric(table, name)
        assert found is not None
        assert found.value == pytest.approx(exact.value)
        assert found.low == pytest.approx(exact.low, rel=0.01)
        assert found.high == pytest.approx(exact.high, rel=0.01)
    middle = int(np.searchsorted(np.cumsum(table.sizes), 1000))
    median = float(np.median(np.abs(values - truth)))
    assert error_bounds()[middle - 1] * 0.99 <= median <= error_bounds()[middle] * 1.01


@settings(max_examples=15)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(0, 1000))
def test_tables_merge_exactly_in_any_order(sizes: list[int], seed: int) -> None:
    """However the rows are divided, and in whatever order parts are added, counts are the same."""
    scores, codes, truth = binary_rows(sum(sizes), seed)
    truth = np.where(np.arange(len(truth)) % 3 == 0, -1, truth)
    whole = binary_table(scores, codes, truth)
    parts = np.split(np.arange(len(scores)), np.cumsum(sizes)[:-1])
    merged = ScoreTable.empty("binary", 2, 1)
    for part in reversed(parts):
        merged.merge(binary_table(scores[part], codes[part], truth[part]))
    for name in ("answered", "decided", "cells", "answers", "hits", "misses"):
        assert getattr(merged, name) == getattr(whole, name)
    assert merged.log_loss.total == pytest.approx(whole.log_loss.total)
    assert merged.labelled == int((truth >= 0).sum())


def test_what_has_no_score_label_or_class_is_counted_apart() -> None:
    """NaN scores count in cells alone, foreign labels in ``unclear``, unknown answers nowhere."""
    table = ScoreTable.empty("binary", 2, 1)
    table.update(
        np.array([0.2, np.nan, 0.9, 0.7, 1.5]),
        np.array([0, 1, 1, -1, 1]),
        np.array([0, 1, -1, 1, -2]),
    )
    assert (table.answered, table.labelled, table.unclear) == (4, 2, 1)
    assert sum(table.decided) == 4
    assert int(table.by_bin("answers").sum()) == 3
    assert int(table.by_bin("answers")[BINS - 1]) == 1
    other = ScoreTable.empty("regression")
    other.update(
        np.array([1.0, np.nan, 1e308, 3.0]), np.full(4, -1), np.array([1.5, 1.0, -1e308, np.inf])
    )
    assert (other.answered, other.labelled, other.unclear) == (3, 2, 1)
    assert msgspec.json.decode(msgspec.json.encode(other), type=ScoreTable) == other


def test_a_table_is_small_and_comes_back_as_it_was() -> None:
    """A binary table takes kilobytes, and less than a tenth of a megabyte of text."""
    table = binary_table(*binary_rows(50_000))
    packed = msgspec.msgpack.encode(table)
    assert len(packed) < 20_000
    assert msgspec.msgpack.decode(packed, type=ScoreTable) == table


def test_an_empty_table_says_that_there_are_no_rows() -> None:
    """No value, no bounds, and why."""
    for task in ("binary", "multiclass", "regression"):
        table = ScoreTable.empty(task, 0 if task == "regression" else 3, None)
        found = table_metrics(table)
        assert found
        assert all(m.value is None and m.n == 0 and "undefined" in m.method for m in found)


def test_tables_of_other_models_do_not_merge() -> None:
    """Another positive class is another model."""
    with pytest.raises(ValueError, match="cannot be merged"):
        ScoreTable.empty("binary", 2, 1).merge(ScoreTable.empty("binary", 2, 0))
