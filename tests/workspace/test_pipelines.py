"""What a pipeline demands: nothing inferior to the champion, nothing unmeasured, nothing lost."""

from __future__ import annotations

from typing import Any

import pytest

from afterfit.core.metric import Metric
from afterfit.records.assess import AssessRecord
from afterfit.records.assess_generalization import Comparison, Judgement
from afterfit.records.codec import Stored
from afterfit.stats.interval import Interval
from afterfit.store.environment import current_environment
from afterfit.store.records import in_envelope
from afterfit.workspace import pipelines


def assessed(*verdicts: Judgement, against: str = pipelines.CHAMPION) -> dict[str, Stored]:
    """The record of an assessment with one comparison for each verdict."""
    gain = Metric.of("gain", -0.05, Interval(-0.08, -0.02, "bootstrap"), n=400, level=0.95, unit="")
    comparisons = tuple(
        Comparison(against=against, metric=f"metric_{place}", ours=0.7, theirs=0.75, gain=gain,
                   margin=0.01, verdict=verdict)
        for place, verdict in enumerate(verdicts)
    )  # fmt: skip
    empty: dict[str, Any] = {"env": current_environment(), "comparisons": comparisons}
    record = AssessRecord(subject="0" * 64, **empty)
    return {"assess": in_envelope(record, "", None, None)}


@pytest.mark.parametrize("verdict", ["inferior", "superior", "non-inferior", "cannot tell"])
def test_only_what_is_inferior_to_the_champion_is_refused(verdict: Judgement) -> None:
    """By the interval of the pairs, which is told with its margin."""
    (demand,) = pipelines._champion(assessed(verdict))
    assert demand.met is (verdict != "inferior")
    assert demand.told.startswith(f"{verdict}: gains -0.05")
    assert demand.told.endswith("margin 0.01")


def test_one_inferior_metric_of_two_is_enough_and_other_models_do_not_count() -> None:
    """A baseline that is better is a finding of the assessment, and no demand."""
    assert [each.met for each in pipelines._champion(assessed("superior", "inferior"))] == [
        True, False,
    ]  # fmt: skip
    (demand,) = pipelines._champion(assessed("inferior", against="a constant"))
    assert (demand.met, "no champion" in demand.told) == (True, True)


def test_what_was_not_measured_is_not_met() -> None:
    """Neither the comparison, nor robustness, nor the load test."""
    found = [*pipelines._champion({}), pipelines._regressions({}), pipelines._load({})]
    assert [each.met for each in found] == [False] * 3
    assert all("not" in each.told for each in found)
