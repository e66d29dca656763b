"""The record of a choice: what was decided, in two sentences, and everything that it rests on."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tests.platforms.market import CHEAP, MANAGED, OFFERS, SELF, UNSURE, offer, question

from afterfit.core.gate import parse_gate
from afterfit.platforms.question import Question
from afterfit.platforms.run import Basis, platforms
from afterfit.platforms.shapes import Source
from afterfit.records.platforms import PlatformsRecord

BASIS = Basis(
    name="churn", number=3, sources={"list": Source(text="a price list", date="2026-11-01")},
    dated="2026-11-01", today=date(2026, 11, 27),
)  # fmt: skip


def decided(asked: Question, basis: Basis = BASIS) -> PlatformsRecord:
    """The record of a question of the market."""
    return platforms(asked, basis)


def codes(record: PlatformsRecord, outcome: str) -> set[str]:
    """The codes of findings of one outcome."""
    return {finding.code for finding in record.findings if finding.outcome == outcome}


def test_the_same_question_has_the_same_record() -> None:
    """Byte for byte: draws are seeded and nothing else is drawn."""
    assert decided(question()).encode() == decided(question()).encode()


def test_a_clear_choice_is_told_with_its_cost_and_how_often_it_wins() -> None:
    """In two sentences."""
    pair = [offer(SELF, "m7i.large", 0.10), offer(MANAGED, "ml.m7i.large", 0.30)]
    record = decided(question(pair))
    assert record.decided == "yes"
    assert record.said.startswith("Run churn@3 on Aws Ec2, m7i.large (us-east-1). It costs ")
    assert "of weightings; next is Aws Sagemaker" in record.said
    assert {"P001", "P002", "P003", "P004", "P005", "P006"} <= codes(record, "passed")


def test_an_overlap_is_a_close_call_that_names_what_to_measure() -> None:
    """The choice stands first all the same."""
    pair = [offer(SELF, "m7i.large", 0.10), offer(CHEAP, "cx33", 0.15, vcpu=4, tier="")]
    record = decided(question(pair, weights={"cost": 1.0}))
    assert record.decided == "close"
    assert record.choice == "aws-ec2/us-east-1/m7i.large"
    assert record.probe == ("hetzner-cloud/us-east-1/cx33",)
    assert "that alone should settle it" in record.said
    assert "P006" in codes(record, "issue")


def test_what_is_unknown_makes_a_choice_conditional() -> None:
    """With what has to be confirmed; where something passes as it is, that is chosen."""
    asked = question([offer(UNSURE, "2 vCPU", 0.1)], requirements={"compliance": ["hipaa"]})
    record = decided(asked)
    assert record.decided == "if"
    assert "once it is confirmed" in record.said
    assert "P004" in codes(record, "issue")
    both = [offer(UNSURE, "2 vCPU", 0.01), offer(SELF, "m7i.large", 0.1)]
    other = decided(question(both, requirements={"compliance": ["hipaa"]}))
    assert other.choice.startswith("aws-ec2")
    assert "P004" in codes(other, "tip")


def test_where_nothing_passes_the_nearest_is_named_with_what_it_lacks() -> None:
    """And counted by the constraint that failed first."""
    record = decided(question(requirements={"budget_usd_per_month": 1.0}))
    assert (record.decided, record.choice) == ("none", "")
    assert "The nearest is " in record.said
    assert record.failed == {"budget": len(OFFERS)}
    assert "P002" in codes(record, "issue")
    assert all(each.change == "without budget usd per month 1" or each.change.startswith("none")
               for each in record.outcomes)  # fmt: skip


def test_it_has_the_best_of_each_service_and_considers_all() -> None:
    """Wins add up over services; costs add up to their sum."""
    record = decided(question())
    assert record.considered == len(OFFERS)
    assert {each.service for each in record.outcomes} == {o.service.title for o in OFFERS}
    assert sum(each.wins or 0.0 for each in record.outcomes) == pytest.approx(1)
    for each in record.outcomes:
        assert each.usd_per_month is not None
        assert sum(each.costs.values()) == pytest.approx(each.usd_per_month.value)
    assert [s.name for s in record.sources] == ["list"]
    assert record.sources[0].age_days == 26


def test_conditions_to_decide_anew_are_gates() -> None:
    """Each can be parsed, and holds now."""
    record = decided(question())
    gates = [parse_gate(each.gate) for each in record.redecide]
    assert {"request_rate", "latency_p99_ms", "usd_per_month", "price_age_days"} <= {
        gate.metric for gate in gates
    }
    cost = next(gate for gate in gates if gate.metric == "usd_per_month")
    choice = next(each for each in record.outcomes if each.id == record.choice)
    assert choice.usd_per_month is not None
    assert choice.usd_per_month.value <= cost.limit


def test_machines_over_time_follow_the_traffic() -> None:
    """At least one, more where there is more traffic, and the spare one on top."""
    record = decided(question(peak=4000))
    machines = [count for _, count in record.machines]
    assert len(machines) == len(record.rates)
    assert min(machines) >= 2
    assert max(machines) > min(machines) or "autoscaling" not in record.said


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "old prices": ({"sources": {"list": Source(text="old", date="2026-01-01")}}, "P003", "issue"),
    "undated prices": ({"sources": {"list": Source(text="old")}}, "P003", "issue"),
    "a shape": ({"counted": False}, "P009", "tip"),
    "not quantized": ({"quantized": False}, "P008", "tip"),
    "quantized": ({"quantized": True}, "P008", "passed"),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_a_decision_rests_on_is_told(name: str) -> None:
    """By a finding each."""
    from dataclasses import replace

    changed, code, outcome = CASES[name]
    pair = [offer(SELF, "m7i.large", 0.10), offer(MANAGED, "ml.m7i.large", 0.30)]
    record = decided(question(pair), replace(BASIS, **changed))
    assert code in codes(record, outcome)
