"""Rows drawn of a window from its counts: as many as asked, in the shares of all."""

from __future__ import annotations

import numpy as np
import pytest

from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Signature
from afterfit.monitor.calibrate import calibrate_counts
from afterfit.monitor.signals.drift import DriftConfig, DriftJudge
from afterfit.monitor.thin import drawn_of, thinned
from afterfit.records.signals import Scope

SIGNATURE = Signature(
    task="regression",
    columns=(Column(name="age", kind="number"), Column(name="job", kind="category")),
)


def rows(random: np.random.Generator, n: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Ages of which a tenth are missing, jobs, and answers."""
    age = np.where(random.random(n) < 0.1, np.nan, random.normal(40, 10, n))
    jobs = random.choice(np.array(["cook", "clerk"], object), n, p=[0.7, 0.3])
    return {"age": age, "job": jobs}, random.normal(size=n)


def counted(reference: Fingerprint, random: np.random.Generator, n: int) -> Fingerprint:
    """A window on the reference's bins."""
    found = reference.blank()
    found.update(*rows(random, n))
    return found


@pytest.fixture(scope="module")
def reference() -> Fingerprint:
    """A thousand rows."""
    frame, scores = rows(np.random.default_rng(0), 1000)
    return build(frame, SIGNATURE, Predictions(values=scores))


def test_so_many_rows_are_drawn_in_the_shares_of_all(reference: Fingerprint) -> None:
    """Every column and the output have as many, and no bin has more than it had."""
    random = np.random.default_rng(1)
    whole = counted(reference, random, 5000)
    found = thinned(whole, 1000, random)
    assert found.output is not None
    assert [c.total for c in (*found.columns, found.output)] == [1000] * 3
    assert found.columns[0].nan == pytest.approx(100, abs=40)
    assert found.columns[1].categories["cook"] == pytest.approx(700, abs=60)
    pairs = zip(found.columns[0].counts, whole.columns[0].counts, strict=True)
    assert all(0 <= mine <= all_ for mine, all_ in pairs)
    small = counted(reference, random, 400)
    assert thinned(small, 1000, random) == small


def test_of_rows_that_are_counted_as_many_are_drawn_as_their_share() -> None:
    """All of few; of many a share, and never more than there are."""
    random = np.random.default_rng(2)
    assert drawn_of(7, 50, 100, random) == 7
    assert drawn_of(3000, 10_000, 1000, random) == pytest.approx(300, abs=60)
    assert drawn_of(10_000, 10_000, 1000, random) == 1000


def test_windows_three_times_the_reference_alarm_as_often_as_asked() -> None:
    """References are drawn as well; 5 % were asked of the inputs and of the output."""
    alarms, runs = {"drift": 0, "output": 0}, 0
    config = DriftConfig(windows_per_month=10.0, least=0.0, least_share=0.0)
    for seed in range(3):
        random = np.random.default_rng(seed)
        frame, scores = rows(random, 1000)
        made = build(frame, SIGNATURE, Predictions(values=scores))
        judge = DriftJudge(made, calibrate_counts(made, replicates=500, seed=seed), config)
        for _ in range(20):
            window = thinned(counted(made, random, 3000), 1000, random)
            points = judge.points(window, Scope(), (0, 1))
            assert {p.state for p in points} <= {"ok", "alarm"}
            for signal in alarms:
                alarms[signal] += any(p.state == "alarm" for p in points if p.signal == signal)
            runs += 1
    for count in alarms.values():
        assert 0 < count < 0.14 * runs
