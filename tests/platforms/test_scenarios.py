"""Ten situations on the catalog that ships: the kind of answer is argued in the docs.

See docs/explanation/platform-value.md. Kubernetes on the same machines is left out, since it is the
same offer with a charge for the cluster.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest

from afterfit.core.slo import slo_of
from afterfit.core.trace import preset
from afterfit.platforms.catalog import builtin
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.evaluate import evaluate
from afterfit.platforms.question import Answered, Question
from afterfit.platforms.regions import place_of_region
from afterfit.platforms.shapes import Measured, Offer
from afterfit.platforms.value import Valued

REPLICA = Measured(
    rate=120, low=112, high=125, cores=1, memory_gib=0.5, tier="vnni", arch="x86_64",
    service_ms=4.0, cv=0.6, cold_start_s=2.0, siblings="busy", source="a load test",
)  # fmt: skip
ON_T4 = msgspec.structs.replace(
    REPLICA, rate=60, low=57, high=63, cores=4, memory_gib=6.0, service_ms=15.0, gpu="t4",
    machine="aws/us-east-1/g4dn.xlarge",
)  # fmt: skip
MOST_VCPU = 8
FAST = msgspec.structs.replace(REPLICA, rate=900, low=860, high=930, service_ms=0.6)


@cache
def offers() -> tuple[Offer, ...]:
    """What the catalog sells, without Kubernetes and without machines above 8 vCPUs."""
    small = (each for each in builtin().offers() if (each.machine.vcpu or 0) <= MOST_VCPU)
    return tuple(each for each in small if each.service.kind != "kubernetes")


def answered(
    peak: float, shape: str = "weekly", slo: str = "p99<50ms", measured: Measured = REPLICA,
    **asked: Any,
) -> Answered:  # fmt: skip
    """The answer for traffic of a shape."""
    config = msgspec.convert({"slo": slo, **asked}, PlatformsConfig)
    return Question(
        offers=offers(), config=config, measured=measured,
        trace=preset(shape).with_peak(peak), slo=slo_of(slo), evaluate=evaluate,
    ).answered()  # fmt: skip


def chosen(answer: Answered) -> Valued:
    """The choice, which there has to be."""
    assert answer.choice is not None, {e.failed.name for e in answer.evaluated if e.failed}
    return answer.choice


def usd(found: Valued) -> float:
    """Its cost in USD a month."""
    assert found.evaluated.usd is not None
    return found.evaluated.usd.value


def test_little_traffic_with_long_nights_goes_to_what_scales_to_zero() -> None:
    """2 requests/s: billed by the request, for less than any machine that stands."""
    answer = answered(2, slo="p95<500ms")
    found = chosen(answer)
    assert found.evaluated.offer.service.billed == "busy"
    standing = [v for v in answer.running if v.evaluated.offer.service.billed == "hours"]
    assert usd(found) < 0.5 * min(map(usd, standing))


def test_steady_traffic_goes_to_machines_that_are_reserved_where_that_is_priced() -> None:
    """3,000 requests/s day and night: most machines are bound for a year."""
    steady = answered(3000, requirements={"providers": ["gcp"]})
    found = chosen(steady)
    assert found.evaluated.offer.service.kind == "vm"
    assert found.evaluated.term in ("reserved_1y", "savings_1y")
    assert found.evaluated.commit is not None
    assert found.evaluated.machines is not None
    assert found.evaluated.commit.machines > found.evaluated.machines[0] / 2
    assert chosen(answered(3000)).evaluated.offer.service.kind == "vm"


def test_black_friday_goes_to_what_scales_and_costs_less_than_its_peak() -> None:
    """Tenfold in two minutes: machines come and go, and none is bound for the peak."""
    found = chosen(answered(3000, shape="black-friday")).evaluated
    assert found.offer.service.facts["autoscaling"].value is True
    assert found.machines is not None
    least, mean, most = found.machines
    assert least < mean < most
    assert most > 2 * least


def test_health_data_in_the_us_goes_to_a_service_with_an_agreement() -> None:
    """HIPAA is evidence or nothing; what is unknown does not win."""
    found = chosen(answered(400, requirements={"compliance": ["hipaa"], "regions": ["us"]}))
    assert found.evaluated.unknown == ()
    assert found.evaluated.offer.service.compliance["hipaa"].value is True
    assert place_of_region(found.evaluated.offer.machine.region) == "us"


def test_data_of_europeans_with_own_keys_has_something_to_confirm() -> None:
    """Nobody's GDPR papers are known here, so the choice is one under a condition."""
    asked = {"regions": ["eu"], "residency": "eu", "compliance": ["gdpr"], "own_keys": True}
    found = chosen(answered(400, requirements=asked))
    assert "gdpr" in {check.name for check in found.evaluated.unknown}
    assert place_of_region(found.evaluated.offer.machine.region) == "eu"
    assert found.evaluated.offer.service.facts["own_keys"].value is True
    sure = chosen(answered(400, requirements=asked, confirmed=["gdpr"]))
    assert "gdpr" not in {check.name for check in sure.evaluated.unknown}


def test_a_vision_model_goes_to_the_gpu_that_it_was_measured_on() -> None:
    """16 GB: GPUs say nothing of each other, so the others wait for a probe."""
    answer = answered(50, slo="p99<200ms", measured=ON_T4,
                      requirements={"gpu_memory_gib": 16.0})  # fmt: skip
    found = chosen(answer).evaluated
    assert found.offer.machine.gpu.lower() == "t4"
    others = [e for e in answer.evaluated if e.offer.machine.gpu.lower() not in ("", "t4")]
    assert others
    assert all(e.usd is None for e in others)


def test_five_milliseconds_leave_no_way_through_a_cold_start() -> None:
    """p99 below 5 ms: machines that stand."""
    found = chosen(answered(400, slo="p99<5ms", measured=FAST)).evaluated
    assert found.offer.service.billed == "hours"
    assert found.p99_ms is not None
    assert found.p99_ms.value < 5


def test_fifty_dollars_are_kept() -> None:
    """A budget is a constraint: what costs more fails, and says by how much."""
    answer = answered(5, slo="p99<200ms", requirements={"budget_usd_per_month": 50.0})
    assert usd(chosen(answer)) <= 50
    dear = [e for e in answer.evaluated if e.failed and e.failed.name == "budget"]
    assert dear
    assert all(e.usd is not None and e.usd.low > 50 for e in dear)


def test_an_air_gap_leaves_ones_own_machines_alone() -> None:
    """Nothing can be chosen as long as nobody says what they cost."""
    answer = answered(50, requirements={"air_gapped": True})
    assert answer.choice is None
    left = [each for each in answer.evaluated if each.failed is None]
    assert {each.offer.service.id for each in left} == {"own"}
    assert all("price" in {check.name for check in each.unknown} for each in left)


def test_a_batch_that_bears_it_goes_to_machines_that_are_taken_away() -> None:
    """Spot above what must stand, at less than the same traffic costs on demand."""
    asked: dict[str, Any] = {"slo": "p95<2000ms", "survive": "none"}
    found = chosen(answered(3000, **asked, requirements={"interruptible": True}))
    assert found.evaluated.term == "spot"
    assert usd(found) < usd(chosen(answered(3000, **asked)))


def test_removing_losers_of_the_catalog_changes_no_choice() -> None:
    """As for made-up markets: half of the catalog less, the same winner."""
    answer = answered(400)
    found = chosen(answer)
    rest = [each for place, each in enumerate(offers()) if place % 2 or each.id == found.id]
    again = answer.question.of(rest).answered()
    assert chosen(again).id == found.id
    assert chosen(again).score == pytest.approx(found.score)
