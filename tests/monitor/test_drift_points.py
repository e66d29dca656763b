"""The points of a window: what moved, by how much, and what is said where nothing can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Column, Signature
from afterfit.errors import ConfigError, InputError
from afterfit.monitor.bins import groups_of, line_of
from afterfit.monitor.calibrate import Calibration, calibrate
from afterfit.monitor.season import seasons_of
from afterfit.monitor.signals.drift import DriftConfig, DriftJudge, drift_points
from afterfit.records.signals import Scope, SignalPoint

HOUR = 3_600_000_000
KINDS: dict[str, Any] = {
    "amount": "number",
    "plan": "category",
    "constant": "number",
    "member": "boolean",
    "empty": "number",
    "note": "text",
}
SIGNATURE = Signature(
    task="regression",
    columns=tuple(Column(name=name, kind=kind) for name, kind in KINDS.items()),
    target="y",
)


def table(seed: int, n: int, *, shift: float = 0.0, gone: float = 0.02, new: float = 0.0) -> Frame:
    """Rows with each kind of column; some amounts are missing."""
    random = np.random.default_rng(seed)
    amount = random.normal(size=n) + shift
    amount[random.random(n) < gone] = np.nan
    plan = random.choice(np.array(["free", "paid", "team"], object), n, p=[0.5, 0.3, 0.2])
    plan[random.random(n) < new] = "trial"
    return {
        "amount": amount,
        "plan": plan,
        "constant": np.full(n, 3.0),
        "member": np.array([bool(v) for v in random.random(n) < 0.3], object),
        "empty": np.full(n, np.nan),
        "note": np.array([f"note {i}" for i in range(n)], object),
    }


@pytest.fixture(scope="module")
def known() -> tuple[Fingerprint, Calibration]:
    """The reference of 4,000 rows, with an output."""
    frame = table(0, 4000)
    scores = np.random.default_rng(1).random(4000)
    reference = build(frame, SIGNATURE, Predictions(values=scores))
    return reference, calibrate(reference, frame, scores, replicates=400)


def judged(
    known: tuple[Fingerprint, Calibration],
    frame: Frame,
    config: DriftConfig | None = None,
    *,
    scores: np.ndarray | None = None,
    **more: Any,
) -> dict[tuple[str, str], SignalPoint]:
    """The points of an hour by signal and subject."""
    counts = known[0].blank()
    counts.update(frame, scores)
    points = drift_points(*known[:1], counts, known[1], Scope(), (0, HOUR), config, **more)
    return {(point.signal, point.subject): point for point in points}


def alarms(points: dict[tuple[str, str], SignalPoint]) -> set[tuple[str, str]]:
    """The series that are alarms."""
    return {key for key, point in points.items() if point.state == "alarm"}


def test_usual_windows_are_ok(known: tuple[Fingerprint, Calibration]) -> None:
    """Twenty windows without drift raise nothing at one false alarm a month."""
    scores = np.random.default_rng(3).random(500)
    for seed in range(20):
        points = judged(known, table(100 + seed, 500), scores=scores)
        assert not alarms(points)
    moved = points["drift", "amount"]
    assert moved.value is not None
    assert moved.threshold is not None
    assert 0 < moved.value < moved.threshold
    assert moved.n < 500
    assert points["output", ""].state == "ok"


@pytest.mark.parametrize(
    ("change", "raised"),
    [
        ({"shift": 0.5}, {("drift", "amount")}),
        ({"gone": 0.2}, {("missing", "amount")}),
        ({"gone": 0.0}, {("missing", "amount")}),
        ({"new": 0.08}, {("new_category", "plan"), ("drift", "plan")}),
    ],
)
def test_each_fault_is_told_of_its_column(
    known: tuple[Fingerprint, Calibration],
    change: dict[str, float],
    raised: set[tuple[str, str]],
) -> None:
    """And of no other."""
    points = judged(known, table(5, 600, **change))
    assert alarms(points) == raised
    for key in raised:
        point = points[key]
        assert point.value is not None
        assert point.usual is not None
        assert point.threshold is not None
        assert abs(point.value - point.usual) > abs(point.threshold - point.usual)
        assert point.evidence["chance"] < point.evidence["asked"]
        assert "usually" in point.message


def test_the_evidence_of_a_drift_has_both_histograms(
    known: tuple[Fingerprint, Calibration],
) -> None:
    """Shares by bin that sum to one, on the reference's edges."""
    point = judged(known, table(5, 600, shift=1.0))["drift", "amount"]
    assert len(point.evidence["before"]) == len(point.evidence["edges"]) + 1
    assert sum(point.evidence["after"]) == pytest.approx(1.0, abs=0.01)
    assert point.value == pytest.approx(0.38, abs=0.06)


def test_the_output_is_judged_as_well(known: tuple[Fingerprint, Calibration]) -> None:
    """Scores that rose by a tenth."""
    scores = np.random.default_rng(3).random(600) * 0.9 + 0.1
    assert alarms(judged(known, table(5, 600), scores=scores)) == {("output", "")}


def test_an_alarm_is_what_the_family_exceeds(known: tuple[Fingerprint, Calibration]) -> None:
    """Without a smallest effect, points are alarms just where the worst surprise is beyond."""
    config = DriftConfig(least=0.0, least_share=0.0, windows_per_month=2)
    chance = config.chance(0, HOUR)
    line = line_of(known[0].columns)
    seen = set()
    for seed in range(40):
        counts = known[0].blank()
        counts.update(table(200 + seed, 400, shift=0.08))
        after = line_of(counts.columns)[None]
        worst = [
            float(g.surprises(line, after, 400).greatest()[0]) for g in groups_of(known[0].columns)
        ]
        beyond = max(worst) > known[1].threshold("inputs", 400, chance)
        judge = DriftJudge(*known, config)
        points = judge.points(counts, Scope(), (0, HOUR))
        assert any(point.state == "alarm" for point in points) == beyond
        seen.add(beyond)
    assert seen == {True, False}


def test_constants_and_empty_columns_are_never_nan(known: tuple[Fingerprint, Calibration]) -> None:
    """A constant has moved by 0; a column without values has no distribution."""
    points = judged(known, table(5, 600))
    assert points["drift", "constant"].value == 0.0
    assert points["drift", "constant"].state == "ok"
    assert points["drift", "empty"].state == "not_applicable"
    assert points["missing", "empty"].value == 1.0
    assert points["drift", "note"].state == "not_applicable"


def test_a_constant_that_changes_and_an_empty_column_that_fills_are_alarms(
    known: tuple[Fingerprint, Calibration],
) -> None:
    """Both were certain before."""
    frame = dict(table(5, 600))
    frame["constant"] = np.full(600, 4.0)
    frame["empty"] = np.zeros(600)
    found = alarms(judged(known, frame))
    assert {("missing", "empty"), ("drift", "constant")} <= found
    frame["constant"] = np.full(600, 2.0)
    assert ("drift", "constant") in alarms(judged(known, frame))


def test_few_rows_say_how_many_are_needed(known: tuple[Fingerprint, Calibration]) -> None:
    """Below the minimum nothing is judged; nor is a column that has hardly a value."""
    points = judged(known, table(5, 60))
    assert points["drift", "amount"].state == "insufficient"
    assert points["drift", "amount"].needed == 100
    points = judged(known, table(5, 200, gone=0.97))
    assert points["drift", "amount"].state == "insufficient"
    assert points["missing", "amount"].state == "alarm"


def test_an_empty_window_is_insufficient(known: tuple[Fingerprint, Calibration]) -> None:
    """No row, no NaN, no error."""
    states = {point.state for point in judged(known, table(5, 0)).values()}
    assert states == {"insufficient", "not_applicable"}


def test_a_window_larger_than_the_reference_is_to_be_split(
    known: tuple[Fingerprint, Calibration],
) -> None:
    """The reference's own noise would be taken for drift."""
    point = judged(known, table(5, 9000))["drift", "amount"]
    assert point.state == "cannot_tell"
    assert "make 3 windows" in point.message


def test_a_change_too_small_to_know_is_no_alarm(known: tuple[Fingerprint, Calibration]) -> None:
    """However sure it is; a column may have a floor of its own."""
    frame = table(5, 4000, shift=0.3)
    assert ("drift", "amount") in alarms(judged(known, frame))
    config = DriftConfig(least_of={"amount": 0.2})
    point = judged(known, frame, config)["drift", "amount"]
    assert point.state == "ok"
    assert point.value is not None
    assert point.threshold is not None
    assert point.threshold < point.value < 0.2


def test_rows_out_of_range_are_counted_by_their_flags(
    known: tuple[Fingerprint, Calibration],
) -> None:
    """Where flags are known; a column says how far its values went."""
    frame = dict(table(5, 600))
    frame["amount"][:30] = 1e6
    points = judged(known, frame, flags={"range": 30})
    assert points["range", ""].state == "alarm"
    assert points["range", ""].value == pytest.approx(0.05)
    assert "the greatest value is 1e+06" in points["range", "amount"].message
    assert ("range", "") not in judged(known, frame)
    assert judged(known, frame, flags={"range": 0})["range", ""].state == "ok"


def test_infinite_values_are_out_of_range(known: tuple[Fingerprint, Calibration]) -> None:
    """They have no bin of a distribution."""
    frame = dict(table(5, 600))
    frame["amount"][:30] = np.inf
    assert ("range", "amount") in alarms(judged(known, frame))


def test_counts_and_calibrations_of_another_version_are_refused(
    known: tuple[Fingerprint, Calibration],
) -> None:
    """Other bins, or thresholds of another reference."""
    other = build(table(9, 4000), SIGNATURE)
    with pytest.raises(InputError, match="another reference"):
        DriftJudge(other, known[1])
    with pytest.raises(InputError, match="another version"):
        DriftJudge(*known).points(other.blank(), Scope(), (0, HOUR))


@pytest.mark.parametrize(
    "wrong", [{"least": 2.0}, {"least_share": -1.0}, {"least_of": {"x": 3.0}}, {"min_rows": 5}]
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    """With their place."""
    with pytest.raises(ConfigError, match="out of range"):
        DriftConfig(**wrong)


def test_a_season_has_its_own_reference() -> None:
    """What is usual by night is an alarm by day, and no alarm beside the night's rows."""
    random = np.random.default_rng(0)
    ts = np.arange(12_000, dtype=np.int64) * HOUR // 10
    night = (ts // HOUR) % 24 < 8
    values = random.normal(size=12_000) + 2.0 * night
    frame = {"x": values}
    signature = Signature(task="regression", columns=(Column(name="x", kind="number"),), target="y")
    whole = build(frame, signature)
    seasons = seasons_of(whole, frame, ts, least=400)
    assert seasons.grain == "hour_of_day"
    calibration = calibrate(whole, frame, replicates=300)
    counts = whole.blank()
    counts.update({"x": random.normal(size=300) + 2.0})
    spans = {"night": (3 * HOUR, 4 * HOUR), "day": (12 * HOUR, 13 * HOUR)}
    states = {}
    for name, span in spans.items():
        part = seasons.reference_of(*span)
        judge = DriftJudge(part, calibration.of(part))
        (point,) = (p for p in judge.points(counts, Scope(), span) if p.signal == "drift")
        states[name] = point.state
    assert states == {"night": "ok", "day": "alarm"}
    assert seasons.reference_of(0, 48 * HOUR).n_ref == 12_000


def test_too_few_rows_have_no_seasons() -> None:
    """The whole stands in."""
    frame = {"x": np.random.default_rng(0).normal(size=500)}
    signature = Signature(task="regression", columns=(Column(name="x", kind="number"),), target="y")
    whole = build(frame, signature)
    seasons = seasons_of(whole, frame, np.arange(500, dtype=np.int64) * HOUR)
    assert seasons.grain == "all"
    assert seasons.reference_of(0, HOUR) is whole
    with pytest.raises(InputError, match="one time a row"):
        seasons_of(whole, frame, np.zeros(3, np.int64))
