"""Thresholds from the reference: how often windows without drift exceed them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Column, Signature
from afterfit.errors import ConfigError, InputError
from afterfit.monitor.bins import codes_of, groups_of, line_of
from afterfit.monitor.budget import Budget
from afterfit.monitor.calibrate import (
    Calibration,
    Tail,
    calibrate,
    calibrate_codes,
    calibrate_counts,
    coded,
)
from afterfit.monitor.held_out import MeasuredRate, calibration_findings, measured_rate
from afterfit.monitor.sample import RARE, decode_frame, encode_frame
from afterfit.stats.interval import wilson

COLUMNS = 10


def table(seed: int, n: int) -> np.ndarray:
    """Correlated normal columns, float64 of (n, 10)."""
    random = np.random.default_rng(seed)
    shared = random.normal(size=(n, 1))
    return np.asarray((random.normal(size=(n, COLUMNS)) + shared) / np.sqrt(2))


def frame_of(rows: np.ndarray) -> Frame:
    """The columns by name."""
    return {f"x{i}": rows[:, i].copy() for i in range(rows.shape[1])}


def signature(columns: int = COLUMNS) -> Signature:
    """As many columns of numbers."""
    described = tuple(Column(name=f"x{i}", kind="number") for i in range(columns))
    return Signature(task="regression", columns=described, target="y")


def rate(reference: Fingerprint, calibration: Calibration, windows: np.ndarray, a: float) -> float:
    """The share of windows (count, n, columns) that exceed the threshold for ``a``."""
    count, n, columns = windows.shape
    line = line_of(reference.columns)
    codes = codes_of(reference.columns, frame_of(windows.reshape(-1, columns)))
    after = np.stack(
        [np.bincount(part.ravel(), minlength=len(line)) for part in np.split(codes, count)]
    ).astype(float)
    found = [group.surprises(line, after, n).greatest() for group in groups_of(reference.columns)]
    return float((np.maximum.reduce(found) > calibration.threshold("inputs", n, a)).mean())


@pytest.fixture(scope="module")
def reference() -> tuple[Frame, Fingerprint]:
    """2,000 rows and their fingerprint."""
    frame = frame_of(table(0, 2000))
    return frame, build(frame, signature())


@pytest.mark.parametrize("n", [200, 1000])
def test_as_many_windows_are_alarms_as_were_asked_for(n: int) -> None:
    """At 5 %, over eight references, the window's size up to a half of the reference's."""
    rates = []
    for seed in range(8):
        frame = frame_of(table(seed, 2000))
        fingerprint = build(frame, signature())
        calibration = calibrate(fingerprint, frame, replicates=300, seed=seed)
        windows = table(100 + seed, 60 * n).reshape(60, n, COLUMNS)
        rates.append(rate(fingerprint, calibration, windows, 0.05))
    assert 0.025 < np.mean(rates) < 0.08


def test_a_shift_is_seen(reference: tuple[Frame, Fingerprint]) -> None:
    """One column of ten by 0.4 standard deviations in 500 rows, at 1 %."""
    frame, fingerprint = reference
    calibration = calibrate(fingerprint, frame, replicates=500)
    windows = table(7, 40 * 500)
    windows[:, 3] += 0.4
    assert rate(fingerprint, calibration, windows.reshape(40, 500, COLUMNS), 0.01) > 0.95


def test_columns_that_hang_together_cost_less(reference: tuple[Frame, Fingerprint]) -> None:
    """Ten copies of one column are one column to the rows, and ten to the counts alone."""
    copies = frame_of(np.repeat(table(0, 2000)[:, :1], COLUMNS, axis=1))
    fingerprint = build(copies, signature())
    by_rows = calibrate(fingerprint, copies, replicates=500)
    by_counts = calibrate_counts(fingerprint, replicates=500)
    gap = by_counts.threshold("inputs", 500, 0.01) - by_rows.threshold("inputs", 500, 0.01)
    assert gap == pytest.approx(np.log(COLUMNS), abs=0.8)
    assert reference[1].n_ref == 2000


def test_it_is_small_and_the_same_each_time(reference: tuple[Frame, Fingerprint]) -> None:
    """Less than 2 kB, equal for one seed, and read back as it was."""
    frame, fingerprint = reference
    first = calibrate(fingerprint, frame, replicates=200, seed=3)
    assert first == calibrate(fingerprint, frame, replicates=200, seed=3)
    assert first != calibrate(fingerprint, frame, replicates=200, seed=4)
    data = msgspec.json.encode(first)
    assert len(data) < 2000
    assert msgspec.json.decode(data, type=Calibration) == first


def test_the_output_is_a_family_of_its_own() -> None:
    """With scores it is drawn from rows, without from its counts; both are close."""
    rows = table(1, 1000)
    frame, scores = frame_of(rows), rows.sum(axis=1)
    fingerprint = build(frame, signature(), Predictions(values=scores))
    found = [calibrate(fingerprint, frame, each, replicates=500) for each in (scores, None)]
    limits = [calibration.threshold("output", 200, 0.01) for calibration in found]
    assert limits[0] == pytest.approx(limits[1], abs=1.5)
    assert limits[0] < found[0].threshold("inputs", 200, 0.01)


def test_rows_in_the_order_of_time_are_drawn_in_blocks() -> None:
    """What neighbours share is not a surprise: the threshold is far higher."""
    random = np.random.default_rng(0)
    walk = np.zeros((4000, 2))
    for i in range(1, 4000):
        walk[i] = 0.95 * walk[i - 1] + random.normal(size=2)
    frame = frame_of(walk)
    fingerprint = build(frame, signature(2))
    alone = calibrate(fingerprint, frame, replicates=300)
    blocks = calibrate(fingerprint, frame, in_time_order=True, replicates=300)
    assert blocks.method == "blocks"
    assert blocks.block > 100
    assert blocks.threshold("inputs", 200, 0.01) > 2 * alone.threshold("inputs", 200, 0.01)


def test_other_rows_than_the_fingerprints_are_refused(
    reference: tuple[Frame, Fingerprint],
) -> None:
    """Their thresholds would be of another table."""
    with pytest.raises(InputError, match="not the fingerprint's"):
        calibrate(reference[1], frame_of(table(1, 2000)), replicates=10)


def test_a_small_reference_is_refused() -> None:
    """Fewer than 200 rows are mostly noise."""
    with pytest.raises(InputError, match="too small"):
        calibrate_counts(build(frame_of(table(0, 100)), signature()))


def test_a_tail_is_the_inverse_of_itself() -> None:
    """The chance of a threshold is the chance that was asked for."""
    tail = Tail(n=200, start=5.0, slope=0.9)
    assert tail.threshold(0.05) == pytest.approx(5.0)
    for chance in (0.3, 0.01, 1e-5):
        assert tail.chance(tail.threshold(chance)) == pytest.approx(chance)


def test_the_chance_lies_between_the_sizes() -> None:
    """It is interpolated in ln n and constant outside."""
    tails = tuple(Tail(n=n, start=start, slope=1.0) for n, start in ((100, 4.0), (1000, 6.0)))
    calibration = Calibration(reference="", n_ref=1000, method="counts", tails={"inputs": tails})
    assert calibration.threshold("inputs", 316, 0.05) == pytest.approx(5.0, abs=0.01)
    assert calibration.threshold("inputs", 10, 0.05) == pytest.approx(4.0)
    assert calibration.chance("inputs", 1000, 6.0) == pytest.approx(0.05)
    with pytest.raises(InputError, match="not calibrated"):
        calibration.threshold("output", 100, 0.1)
    with pytest.raises(InputError, match="out of range"):
        calibration.threshold("inputs", 100, 0.0)


def test_the_budget_is_divided() -> None:
    """Over windows, signals and versions; hours are 730.5 a month."""
    budget = Budget(false_alarms_per_month=1, signals=2, versions=3)
    hour = 3_600_000_000
    assert budget.per_window(0, hour) == pytest.approx(1 / 730.5 / 6, rel=1e-3)
    assert budget.of_windows(730.5) == pytest.approx(budget.per_window(0, hour))
    assert Budget(false_alarms_per_month=1000, signals=1).of_windows(1) == 0.5


@pytest.mark.parametrize("wrong", [{"false_alarms_per_month": 0}, {"signals": 0}, {"versions": 0}])
def test_a_budget_that_cannot_be_divided_is_refused(wrong: dict[str, int]) -> None:
    """With its name."""
    with pytest.raises(ConfigError, match="out of range"):
        Budget(**wrong)


def test_false_alarms_are_measured_on_rows_held_out() -> None:
    """The rate asked for lies in the measured interval, of the inputs and of the output."""
    rows = table(5, 3000)[:, :3]
    found = measured_rate(
        frame_of(rows), signature(3), rows[:, 0], n=100, asked=0.05, replicates=300
    )
    assert [each.family for each in found] == ["inputs", "output"]
    for each in found:
        assert each.windows == 1000
        assert each.low < 0.05 < each.high or abs(each.rate - 0.05) < 0.03
        assert "asked were 5.00 %" in each.told()
    with pytest.raises(InputError, match="too small"):
        measured_rate(frame_of(rows), signature(3), n=500)


@pytest.mark.parametrize(("alarms", "outcome"), [(12, "passed"), (40, "issue"), (1, "tip")])
def test_a_rate_off_by_more_than_chance_is_an_issue(alarms: int, outcome: str) -> None:
    """12 of 1,000 are as asked at 1 %; 40 are too many, and 1 is fewer than there might be."""
    low, high, _ = wilson(alarms, 1000)[:3]
    rate = MeasuredRate(
        family="inputs", n=200, asked=0.01, windows=1000, alarms=alarms, low=low, high=high
    )
    calibration = Calibration(reference="", n_ref=1000, method="rows")
    found = list(calibration_findings(calibration, [rate]))
    assert [(each.code, each.outcome) for each in found] == [("M020", "passed"), ("M021", outcome)]


def test_a_calibration_of_counts_says_so() -> None:
    """And a rate that was not measured is no rate."""
    calibration = Calibration(reference="", n_ref=1000, method="counts")
    found = [(each.code, each.outcome) for each in calibration_findings(calibration)]
    assert found == [("M020", "tip"), ("M021", "skipped")]


class OneByOne:
    """Counts the rows before a place one after the other."""

    def __init__(self, codes: np.ndarray, length: int, block: int) -> None:
        self.rows = np.take(codes, np.arange(len(codes) + block), axis=0, mode="wrap")
        self.length = length

    def before(self, places: np.ndarray) -> np.ndarray:
        """The counts of all rows before each place."""
        parts = [np.bincount(self.rows[:n].ravel(), minlength=self.length) for n in places]
        return np.stack(parts)


@pytest.mark.parametrize("cells", [1 << 23, 4000])
def test_blocks_by_running_counts_are_those_of_their_rows(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Differences of running counts, of each line or of some, are the counts of the same rows."""
    signature = Signature(task="regression", columns=(Column(name="x", kind="number"),))
    frame = {"x": np.random.default_rng(1).normal(size=900)}
    reference = build(frame, signature)
    monkeypatch.setattr("afterfit.monitor.running.MOST_CELLS", cells)
    fast = calibrate(reference, frame, in_time_order=True, replicates=40, seed=3)
    monkeypatch.setattr("afterfit.monitor.calibrate.RunningCounts", OneByOne)
    slow = calibrate(reference, frame, in_time_order=True, replicates=40, seed=3)
    assert fast == slow
    assert fast.block > 50


def test_thresholds_for_small_windows_alone_are_those_of_all(
    reference: tuple[Frame, Fingerprint],
) -> None:
    """In the order of time each size has a slope of its own, so the larger ones can be left out."""
    frame, made = reference
    codes = coded(made, frame)
    whole = calibrate_codes(made, codes, in_time_order=True, replicates=40)
    part = calibrate_codes(made, codes, in_time_order=True, replicates=40, most=200)
    assert [tail.n for tail in part.tails["inputs"]] == [50, 300]
    assert part.threshold("inputs", 200, 0.01) == whole.threshold("inputs", 200, 0.01)


MIXED: tuple[list[object], ...] = (
    ["a", "2", "z", None, "a"],
    ["a", 2, True, 2.5, None, float("nan"), "z"],
)


@pytest.mark.parametrize("values", MIXED)
def test_words_fall_where_a_fingerprint_counts_them(values: list[object]) -> None:
    """Texts alone, and values of several types: known, new and missing ones."""
    words = np.array(["a"] * 30 + ["2"] * 20 + ["True"] * 15, object)
    told = Signature(task="regression", columns=(Column(name="k", kind="category"),))
    reference = build({"k": words}, told)
    frame, counted = {"k": np.array(values, object)}, reference.blank()
    counted.update(frame)
    line = line_of(counted.columns)
    codes = codes_of(reference.columns, frame)
    assert np.bincount(codes.ravel(), minlength=len(line)).tolist() == line.tolist()


def test_rows_that_are_kept_come_back_as_they_were() -> None:
    """What is missing stays missing; a category without a name and a text are told as such."""
    kinds: dict[str, Any] = {"x": "number", "k": "category", "b": "boolean", "t": "text"}
    told = Signature(
        task="regression", columns=tuple(Column(name=name, kind=k) for name, k in kinds.items())
    )
    frame: dict[str, np.ndarray] = {
        "x": np.array([1.5, np.nan] * 20),
        "k": np.array(["a", None] * 20, object),
        "b": np.array([True, False, None, True] * 10, object),
        "t": np.array(["some", None] * 20, object),
    }
    reference = build(frame, told)
    frame["k"][0] = "z"
    names = list(kinds)
    found = decode_frame(encode_frame(frame, names, reference), names, reference)
    assert found["x"].tolist() == pytest.approx(frame["x"].tolist(), nan_ok=True)
    assert found["k"].tolist() == [RARE, *frame["k"][1:].tolist()]
    assert found["b"].tolist() == frame["b"].tolist()
    assert found["t"].tolist() == [RARE, None] * 20
