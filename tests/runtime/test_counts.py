"""Live counts: exact on every path, merged from parts, and unharmed by huge values and clocks."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.bundles import people, people_bundle, people_signature

from afterfit.core.fingerprint import ColumnCounts, Fingerprint, build
from afterfit.core.frame import MatrixFrame
from afterfit.core.signature import Column, Signature
from afterfit.runtime.counts import LiveCounts, Window, read_counts
from afterfit.runtime.journal import Journal
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.predict import load_bundle

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("churn", 1, "d" * 64)
KINDS = {"a": "number", "b": "boolean", "c": "integer"}


def reference() -> Fingerprint:
    """The fingerprint of the reference people."""
    return build(people(), people_signature())


def summed(windows: list[Window]) -> Fingerprint:
    """The sum of what windows counted."""
    total = windows[0].fingerprint.blank()
    for window in windows:
        total.merge(window.fingerprint)
    return total


def of_matrix() -> Fingerprint:
    """The fingerprint of a number, a boolean and an integer."""
    rng = np.random.default_rng(0)
    columns = tuple(Column(name=name, kind=kind) for name, kind in KINDS.items())  # type: ignore[arg-type]  # the kinds above
    frame = {
        "a": rng.normal(size=500),
        "b": rng.random(500) < 0.5,
        "c": rng.integers(0, 40, 500),
    }
    return build(frame, Signature(task="regression", columns=columns))


@given(
    st.lists(
        st.tuples(
            st.floats() | st.sampled_from([0.0, -0.0, 1.0]),
            st.sampled_from([0.0, 1.0, np.nan]),
            st.integers(-5, 50).map(float) | st.just(np.nan),
        ),
        max_size=40,
    )
)
def test_a_matrix_is_counted_as_its_columns_are(rows: list[tuple[float, float, float]]) -> None:
    """Bin by bin, gaps and infinities included; and each bin as looked up one by one."""
    matrix = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    frame = MatrixFrame(KINDS, matrix)
    whole, parts = of_matrix().blank(), of_matrix().blank()
    whole.update(frame)
    parts.update(dict(frame))
    assert msgspec.json.encode(whole) == msgspec.json.encode(parts)
    for place, column in enumerate(whole.columns):
        values = matrix[:, place]
        finite = values[np.isfinite(values)]
        bins = np.searchsorted(np.array(column.edges), finite, side="right")
        expected = np.bincount(bins, minlength=len(column.edges) + 1)
        assert column.counts == expected.tolist()
        assert (column.pinf, column.ninf) == ((values == np.inf).sum(), (values == -np.inf).sum())
        assert column.missing + column.nan == np.isnan(values).sum()
        assert column.missing == (np.isnan(values).sum() if column.kind == "boolean" else 0)
        assert column.total == len(rows)


@given(st.lists(st.lists(st.floats(allow_nan=False), max_size=6), max_size=6))
def test_huge_values_overflow_in_silence_and_stay_in_json(parts: list[list[float]]) -> None:
    """Mean and spread are finite numbers whatever came, also when windows are merged."""
    total = ColumnCounts(name="x", kind="number", edges=[0.0], counts=[0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for part in parts:
            window = total.blank()
            window.update(np.array(part, dtype=np.float64))
            total.merge(window)
    finite = [value for part in parts for value in part if np.isfinite(value)]
    assert total.finite == len(finite)
    assert np.isfinite(total.mean)
    assert 0.0 <= total.m2 <= sys.float_info.max
    again = msgspec.json.decode(msgspec.json.encode(total), type=ColumnCounts)
    assert again == total
    if finite:
        assert min(finite) <= total.mean <= max(finite) or np.isclose(total.mean, finite[0])


def test_counts_of_workers_and_hours_merge_to_the_counts_of_all_rows(tmp_path: Path) -> None:
    """Exactly: the bins of the parts add up to the bins of the whole."""
    frame = people(300, seed=3)
    for worker, start in (("a", 0), ("b", 100)):
        counts = LiveCounts(worker)
        for number in range(10):
            rows = slice(start + number * 10, start + number * 10 + 10)
            part = {name: values[rows] for name, values in frame.items()}
            counts.update(KEY, reference(), part, np.zeros(10), now=3600.0 * number)
        counts.save(tmp_path)
    windows = read_counts(tmp_path)
    assert len(windows) == 20
    whole = reference().blank()
    whole.update({name: values[:200] for name, values in frame.items()})
    merged = summed(windows)
    assert merged.n_ref == 200
    for mine, theirs in zip(merged.columns, whole.columns, strict=True):
        assert mine.counts == theirs.counts
        assert mine.categories == theirs.categories
        assert (mine.missing, mine.nan, mine.new) == (theirs.missing, theirs.nan, theirs.new)
        assert mine.mean == pytest.approx(theirs.mean)
        assert mine.m2 == pytest.approx(theirs.m2)


def test_an_hour_that_is_over_is_not_written_again(tmp_path: Path) -> None:
    """So that a snapshot costs what changed; nothing changed writes nothing."""
    counts = LiveCounts("w")
    part = people(10)
    counts.update(KEY, reference(), part, np.zeros(10), now=0.0)
    counts.save(tmp_path)
    (first,) = tmp_path.iterdir()
    first.write_text("kept")
    counts.update(KEY, reference(), part, np.zeros(10), now=3600.0)
    counts.save(tmp_path)
    (second,) = set(tmp_path.iterdir()) - {first}
    second.write_text("kept")
    counts.save(tmp_path)
    assert first.read_text() == second.read_text() == "kept"


def test_a_clock_that_is_set_back_loses_nothing(tmp_path: Path) -> None:
    """The rows of an hour that comes twice are in two windows of it."""
    counts = LiveCounts("w")
    for moment in (3600.0, 7200.0, 3601.0):
        counts.update(KEY, reference(), people(10), np.zeros(10), now=moment)
        counts.save(tmp_path)
    windows = read_counts(tmp_path)
    assert sorted(window.start for window in windows) == [3600, 3600, 7200]
    assert summed(windows).n_ref == 30


def journal_of(base: Path, folder: Path) -> tuple[Service, LiveModel, Journal]:
    """A service that counts into a folder and keeps no events."""
    people_bundle(base / "bundle")
    metrics = Metrics()
    journal = Journal(metrics, folder=folder)
    return (
        Service(metrics, journal),
        LiveModel("churn", 2, load_bundle(base / "bundle")),
        journal,
    )


def ask(service: Service, model: LiveModel, rows: int, seed: int) -> Any:
    """One request of some rows."""
    from afterfit.runtime.decode import Rows

    return service.predict(model, Rows(people(rows, seed), None), "r1")


def test_the_journal_counts_rows_of_mixed_missingness_in_one_update(tmp_path: Path) -> None:
    """Requests whose columns have different dtypes are counted together."""
    service, model, journal = journal_of(tmp_path, tmp_path / "events")
    for seed in range(5):
        ask(service, model, 4, seed)
    journal.close()
    (window,) = read_counts(tmp_path / "events")
    age = window.fingerprint.column("age")
    assert age is not None
    assert (window.fingerprint.n_ref, age.nan, age.total) == (20, 5, 20)
    assert window.fingerprint.output is not None
    assert window.fingerprint.output.total == 20


def test_an_unwritable_folder_for_counts_stops_nothing(tmp_path: Path) -> None:
    """The failure is counted; the thread ends in order."""
    (tmp_path / "file").write_text("no folder")
    service, model, journal = journal_of(tmp_path, tmp_path / "file")
    ask(service, model, 3, 5)
    journal.close()
    assert service.metrics.total("events_failed") == 1
