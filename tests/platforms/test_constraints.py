"""Constraints: each passes, fails and is unknown, and what is unknown can be confirmed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.platforms.stand import machine, offer, service

from afterfit.platforms.config import Requirements
from afterfit.platforms.constraints import Needs, checks, conflicts
from afterfit.platforms.regions import place_of_region
from afterfit.platforms.shapes import Check, Fact, Offer

NEEDS = Needs(0.5, "", 0.002)


def found(told: Offer, name: str, needs: Needs = NEEDS, **asked: Any) -> Check:
    """The one check of that name."""
    requirements = Requirements(**asked)
    (check,) = [each for each in checks(told, requirements, needs) if each.name == name]
    return check


def of(facts: dict[str, Any] | None = None, **known: Any) -> Offer:
    """An offer of a service with these facts."""
    return offer(service(facts, **known))


def in_region(region: str) -> Offer:
    """An offer there."""
    return offer(service(), machine(region=region))


CASES: list[tuple[str, dict[str, Any], Offer, Offer, Offer | None]] = [
    ("region", {"regions": ("eu",)}, in_region("westeurope"), in_region("us-east-1"),
     in_region("unspecified")),
    ("region", {"regions": ("us-east-1", "eu")}, in_region("us-east-1"), in_region("us-west-2"),
     in_region("own")),
    ("residency", {"residency": "eu"}, in_region("europe-west1"), in_region("europe-west2"),
     offer(service({"data_residency": None}), machine(region="eu-west-1"))),
    ("private_network", {"private_network": True}, of(), of({"private_network": False}),
     of({"private_network": None})),
    ("own_keys", {"own_keys": True}, of(), of({"own_keys": False}), of({"own_keys": None})),
    ("air_gapped", {"air_gapped": True}, of({"air_gapped": True}), of(), of({"air_gapped": None})),
    ("scale_to_zero", {"scale_to_zero": True}, of({"scale_to_zero": True}), of(),
     of({"scale_to_zero": None})),
    ("hipaa", {"compliance": ("hipaa",)}, of(), of(compliance={"hipaa": Fact(value=False)}),
     of(compliance={"hipaa": Fact(value=None, note="it takes a BAA")})),
    ("payload", {"payload_mb": 5.0}, of(), of({"payload_mb": 4.0}), of({"payload_mb": None})),
    ("timeout", {"timeout_s": 60.0}, of({"timeout_s": 60.0}), of({"timeout_s": 30.0}),
     of({"timeout_s": None})),
    ("concurrency", {"concurrency": 500.0}, of(), of({"concurrency": 200.0}),
     of({"concurrency": None})),
    ("availability", {"availability": 0.999}, of(), of({"availability": 0.995}),
     of({"availability": None})),
    ("crm", {"integrations": ("crm",)}, of(), of(paths={"crm": Fact(value=False)}), of(paths={})),
    ("gpu", {"gpu_memory_gib": 20.0}, offer(where=machine(gpu="l4", gpu_memory_gib=24.0)),
     offer(where=machine(gpu="a10", gpu_count=1 / 6, gpu_memory_gib=4.0)),
     offer(where=machine(gpu="l4"))),
    ("memory", {}, of(), offer(where=machine(memory_gib=0.25)),
     offer(where=machine(memory_gib=None))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "asked", "passing", "failing", "unknown"), CASES, ids=[case[0] for case in CASES]
)
def test_each_constraint_has_three_outcomes(
    name: str, asked: dict[str, Any], passing: Offer, failing: Offer, unknown: Offer
) -> None:
    """It passes, it fails, and what nobody knows says exactly what to confirm."""
    assert found(passing, name, **asked).outcome == "pass"
    failed = found(failing, name, **asked)
    assert failed.outcome == "fail"
    assert failed.why
    open_one = found(unknown, name, **asked)
    assert open_one.outcome == "unknown"
    key, _, text = open_one.confirm.partition(": ")
    assert key in {f"aws-vm.{name}", f"{unknown.id}.{name}"}
    assert text.startswith(("that ", "how ", "an agreement on "))
    for confirmed in (name, key):
        (check,) = [
            each
            for each in checks(unknown, Requirements(**asked), NEEDS, (confirmed,))
            if each.name == name
        ]
        assert check.outcome == "pass"
        assert check.why.startswith("confirmed: ")


def test_a_failure_cannot_be_confirmed_away() -> None:
    """Only what is unknown can."""
    told = of({"own_keys": False})
    outcomes = checks(told, Requirements(own_keys=True), NEEDS, ("own_keys", "aws-vm.own_keys"))
    assert [check.outcome for check in outcomes if check.name == "own_keys"] == ["fail"]


def test_what_takes_no_new_customers_never_passes() -> None:
    """Nor does a confirmation help; what is merely kept alive passes and says so."""
    closed = of(status="closed", status_note="closed since 2026-04-30")
    first = checks(closed, Requirements(), NEEDS, ("lifecycle",))[0]
    assert (first.name, first.outcome, first.why) == (
        "lifecycle",
        "fail",
        "closed since 2026-04-30",
    )
    assert found(of(status="sustained"), "lifecycle").outcome == "pass"


def test_providers_and_names_that_are_excluded_fail() -> None:
    """By provider, service, kind, machine or id."""
    assert found(of(), "provider", providers=("gcp",)).outcome == "fail"
    for name in ("aws", "aws-vm", "vm", "m7i.large", "aws-vm/us-east-1/m7i.large"):
        assert found(of(), "exclude", exclude=(name,)).outcome == "fail"
    assert "exclude" not in {c.name for c in checks(of(), Requirements(exclude=("x",)), NEEDS)}


def test_machines_that_are_taken_away_take_leave() -> None:
    """A service that interrupts, and an offer of spot alone."""
    assert found(of({"interrupted": True}), "interruptible").outcome == "fail"
    assert found(of({"interrupted": None}), "interruptible").outcome == "unknown"
    assert found(offer(spot=0.1), "interruptible").outcome == "fail"
    asked = Requirements(interruptible=True)
    assert "interruptible" not in {c.name for c in checks(offer(spot=0.1), asked, NEEDS)}


def test_the_replica_and_its_requests_have_needs_of_their_own() -> None:
    """A GPU that it was measured with, and a body that is greater than the limit."""
    assert found(of(), "gpu", Needs(0.5, "l4")).outcome == "fail"
    assert found(of({"payload_mb": 4.0}), "payload", Needs(0.5, "", 5.0)).outcome == "fail"


def test_no_requirement_no_check() -> None:
    """What was not asked for is not judged."""
    names = {check.name for check in checks(of(), Requirements(), NEEDS)}
    assert names == {"memory", "payload"}


@pytest.mark.parametrize(
    ("region", "place"),
    [("us-east-1", "us"), ("eastus2", "us"), ("us", "us"), ("eu-west-1", "eu"), ("eu-west-2", None),
     ("northeurope", "eu"), ("uksouth", None), ("europe-west6", None), ("europe-west10", "eu"),
     ("swedencentral", "eu"), ("ap-south-1", None), ("eu-central-2", None), ("own", None)],
)  # fmt: skip
def test_london_and_zurich_are_not_in_the_union(region: str, place: str | None) -> None:
    """Europe is more than the European Union."""
    assert place_of_region(region) == place


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"residency": "eu", "regions": ("us",)}, "data must stay in eu"),
        ({"residency": "eu", "regions": ("us-east-1", "eastus")}, "data must stay in eu"),
        ({"air_gapped": True, "providers": ("aws",)}, "without any outside"),
        ({"air_gapped": True, "scale_to_zero": True}, "always does"),
        ({"gpu_memory_gib": 16.0, "budget_usd_per_month": 5.0}, "a GPU is not to be had"),
        ({"providers": ("aws",), "exclude": ("aws",)}, "nothing is left"),
        ({"compliance": ("hippa",)}, "hippa is no programme"),
    ],
)
def test_what_cannot_be_had_together_is_told_up_front(asked: dict[str, Any], word: str) -> None:
    """One sentence for each contradiction."""
    (text,) = conflicts(Requirements(**asked))
    assert word in text


@pytest.mark.parametrize(
    "asked",
    [
        {"residency": "eu", "regions": ("us", "eu-west-1")},
        {"residency": "eu", "regions": ("own",)},
        {"air_gapped": True, "providers": ("own",)},
        {"scale_to_zero": True},
        {"gpu_memory_gib": 16.0, "budget_usd_per_month": 500.0},
        {"compliance": ("hipaa", "soc2"), "integrations": ("crm",)},
    ],
)
def test_what_can_be_had_is_no_conflict(asked: dict[str, Any]) -> None:
    """However hard it is to find."""
    assert conflicts(Requirements(**asked)) == []
