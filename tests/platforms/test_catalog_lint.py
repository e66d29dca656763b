"""The shipped catalog has no problem, and each rule sees the error that it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import pytest

from afterfit.platforms.catalog import Catalog, builtin
from afterfit.platforms.freshness import age_days, ages, day_of, warning
from afterfit.platforms.lint import lint
from afterfit.platforms.shapes import Fact, Price, Rate, Source

M7I = "aws/us-east-1/m7i.2xlarge"
G5 = "aws/us-east-1/g5.xlarge"


def test_the_shipped_catalog_has_no_problem() -> None:
    """Units, ranges, order, sources, dates and facts of all that ships."""
    assert [str(problem) for problem in lint(builtin())] == []


def small() -> Catalog:
    """A part of the shipped catalog that is quick to look through."""
    families, ids = ("m7i.", "m5.", "g5."), ("aws-ec2", "aws-sagemaker", "aws-apprunner")
    machines = [each for each in builtin().machines if each.id.startswith("aws/us-east-1/")]
    return replace(
        builtin(),
        machines=tuple(each for each in machines if each.name.startswith(families)),
        services=tuple(builtin().service(name) for name in ids),
    )


def machine(name: str, **changes: Any) -> Callable[[Catalog], Catalog]:
    """A catalog with one machine changed."""

    def change(catalog: Catalog) -> Catalog:
        changed = msgspec.structs.replace(catalog.machine(name), **changes)
        kept = tuple(changed if each.id == name else each for each in catalog.machines)
        return replace(catalog, machines=kept)

    return change


def price(name: str, term: str, usd: float, source: str = "") -> Callable[[Catalog], Catalog]:
    """A catalog with one price changed."""
    prices: dict[Any, Price] = dict(builtin().machine(name).prices)
    kept = source or prices["on_demand"].source
    return machine(name, prices=prices | {term: Price(usd_per_hour=usd, source=kept)})


def service(name: str, **changes: Any) -> Callable[[Catalog], Catalog]:
    """A catalog with one service changed."""

    def change(catalog: Catalog) -> Catalog:
        changed = msgspec.structs.replace(catalog.service(name), **changes)
        kept = tuple(changed if each.id == name else each for each in catalog.services)
        return replace(catalog, services=kept)

    return change


def fact(name: str, value: Any, **more: str) -> Callable[[Catalog], Catalog]:
    """A catalog with one fact of EC2 changed."""
    facts = builtin().service("aws-ec2").facts
    told = msgspec.structs.replace(facts[name], value=value, **more)
    return service("aws-ec2", facts=facts | {name: told})


def rates(item: str, *told: tuple[float, float]) -> Callable[[Catalog], Catalog]:
    """A catalog with rates of EC2 as (start, USD)."""
    made = [Rate(usd=usd, unit="USD", source="own", start=start) for start, usd in told]
    return service("aws-ec2", rates=builtin().service("aws-ec2").rates | {item: tuple(made)})


def source(**changes: Any) -> Callable[[Catalog], Catalog]:
    """A catalog with one source changed."""

    def change(catalog: Catalog) -> Catalog:
        changed = msgspec.structs.replace(catalog.sources["own"], **changes)
        return replace(catalog, sources={**catalog.sources, "own": changed})

    return change


def without_source(catalog: Catalog) -> Catalog:
    """A catalog that lacks the source of AWS's prices."""
    left = {name: told for name, told in catalog.sources.items() if name != "karpenter-aws"}
    return replace(catalog, sources=left)


def twice(catalog: Catalog) -> Catalog:
    """A catalog with a machine that is there twice."""
    return replace(catalog, machines=(*catalog.machines, catalog.machine(M7I)))


EC2 = builtin().service("aws-ec2")
PLANTED: list[tuple[str, str, Callable[[Catalog], Catalog]]] = [
    ("ids", "2 times", twice),
    ("sources", "karpenter-aws", without_source),
    ("sources", "'nowhere'", price(M7I, "on_demand", 0.4032, "nowhere")),
    ("sources", "''", machine(M7I, source="")),
    ("sources", "''", fact("gpu", value=True, source="")),
    ("sources", "''", service("aws-sagemaker", premium_source="")),
    ("sources", "status", service("aws-apprunner", status_source="")),
    ("sources", "says nothing", source(text="")),
    ("dates", "no date", source(date="last summer")),
    ("dates", "month", source(date="2026-13")),
    ("units", "GiB of memory of a GPU", machine(G5, gpu_memory_gib=80 / 1024)),
    ("units", "GiB of memory of a GPU", machine(G5, gpu_memory_gib=81_920.0)),
    ("units", "GiB for each vCPU", machine(M7I, memory_gib=32_768.0)),
    ("units", "vCPU", machine(M7I, vcpu=0.0001)),
    ("units", "USD/h for each vCPU", price(M7I, "on_demand", 294.0)),
    ("units", "USD/h for each GPU", price(G5, "on_demand", 0.0006)),
    ("sizes", "GPUs", machine(G5, gpu="")),
    ("sizes", "no tier", machine(M7I, tier="i8mm")),
    ("prices", "no price", price(M7I, "on_demand", -0.1)),
    ("prices", "no price", price(M7I, "spot", float("nan"))),
    ("terms", "spot costs", price(M7I, "spot", 0.41)),
    ("terms", "reserved_1y costs", price(M7I, "reserved_1y", 0.41)),
    ("families", "less memory", machine(M7I, memory_gib=12.0)),
    ("families", "costs more", price(M7I, "on_demand", 0.81)),
    ("families", "another system", price(M7I, "on_demand", 0.4032 + 8 * 0.046)),
    ("services", "has no 'crm'", service("aws-ec2", paths=dict(list(EC2.paths.items())[:3]))),
    ("services", "has no 'gpu'", service("aws-ec2", facts={"effort": EC2.facts["effort"]})),
    ("services", "nothing reads", service("aws-ec2", facts=EC2.facts | {"x": Fact(value=None)})),
    ("services", "does not say why", service("aws-apprunner", status_note="")),
    ("services", "no offer", service("aws-ec2", families=("nothing",))),
    ("facts", "True", fact("timeout_s", value=True)),
    ("facts", "1.0", fact("gpu", value=1.0)),
    ("units", "share", fact("availability", value=99.9)),
    ("units", "outside", fact("effort", value=3.0)),
    ("units", "of a price", service("aws-sagemaker", premium={"m5.": 20.0})),
    ("rates", "start at", rates("egress_gb", (0.0, 0.1), (100.0, 0.05), (50.0, 0.04))),
    ("rates", "start at", rates("egress_gb", (100.0, 0.1))),
    ("rates", "no item", rates("egress_tb", (0.0, 90.0))),
    ("rates", "unpriced", service("aws-ec2", unpriced=("egress_gb",))),
    ("units", "USD", rates("requests", (0.0, 0.2))),
]


@pytest.mark.parametrize(("rule", "said", "plant"), PLANTED)
def test_a_planted_error_is_seen(rule: str, said: str, plant: Callable[[Catalog], Catalog]) -> None:
    """The rule that an error is for names it."""
    assert lint(small()) == []
    problems = lint(plant(small()))
    assert [problem for problem in problems if problem.rule == rule and said in str(problem)]


TODAY = date(2026, 11, 27)


def test_an_age_is_counted_from_the_first_day_that_a_date_may_mean() -> None:
    """A month is as old as its first day, and no date is no age."""
    assert age_days(Source(text="a", date="2026-11-01"), TODAY) == 26
    assert age_days(Source(text="a", date="2026-11"), TODAY) == 26
    assert age_days(Source(text="a", date="2026"), TODAY) == 330
    assert age_days(Source(text="a", date="2027-01-01"), TODAY) == 0
    assert age_days(Source(text="a"), TODAY) is None
    with pytest.raises(ValueError, match="is no date"):
        day_of("soon")


def test_old_prices_are_told() -> None:
    """Past 90 days a source is stale; fresh ones and unused ones are not told."""
    sources = {
        "fresh": Source(text="a", date="2026-08-29"),
        "old": Source(text="a", date="2026-08-28"),
        "older": Source(text="a", date="2026-01"),
        "undated": Source(text="a"),
    }
    assert warning(sources, ["fresh", "fresh", "gone"], TODAY) == ""
    told = warning(sources, sources, TODAY)
    assert told.startswith("prices are up to 330 days old (older of 2026-01; old of 2026-08-28;")
    assert "undated, undated" in told
    assert "fresh" not in told
    assert warning(sources, ["undated"], TODAY).startswith("prices are of unknown age")
    assert [age.name for age in ages(sources, sources, TODAY)] == [
        "older", "old", "fresh", "undated",
    ]  # fmt: skip
    assert [age.stale for age in ages(sources, ["fresh", "old"], TODAY)] == [True, False]
