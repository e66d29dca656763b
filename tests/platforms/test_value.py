"""The value of offers: fixed anchors, so that a deleted loser changes no winner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.platforms.market import MEASURED, OFFERS, SLO, question

from afterfit.errors import UsageError
from afterfit.platforms.config import CRITERIA
from afterfit.platforms.shapes import Offer
from afterfit.platforms.value import Valued, anchors_of, best_first, front, weights_of
from afterfit.records.platforms import Range

DELETIONS = 5000
EVEN = dict.fromkeys(CRITERIA, 0.2)


def of_made_up(values: np.ndarray, names: list[str]) -> list[Valued]:
    """Offers with made-up values of criteria, scored by weights as any others."""
    found = question().answered().ranked[0]
    return [
        replace(
            found,
            evaluated=replace(found.evaluated, offer=_named(found, name)),
            values=dict(zip(CRITERIA, row.tolist(), strict=True)),
            score=float(row.mean()),
        )
        for name, row in zip(names, values, strict=True)
    ]


def _named(found: Valued, name: str) -> Offer:
    offer = found.evaluated.offer
    return msgspec.structs.replace(offer, machine=msgspec.structs.replace(offer.machine, name=name))


def test_taking_a_loser_away_never_changes_the_winner() -> None:
    """Of 5,000 random markets and deletions not one, where scores by the offers at hand change."""
    random = np.random.default_rng(3)
    changed = reversed_ = 0
    for _ in range(DELETIONS // 50):
        weights = dict(zip(CRITERIA, random.dirichlet(np.ones(5)).tolist(), strict=True))
        asked = question(peak=float(random.uniform(5, 5000)), weights=weights)
        whole = asked.answered()
        known = {each.offer.id: each for each in whole.evaluated}
        asked = replace(asked, evaluate=lambda offers, *_, k=known: [k[o.id] for o in offers])
        for _ in range(50):
            lost = whole.ranked[int(random.integers(1, len(whole.ranked)))]
            rest = [each for each in OFFERS if each.id != lost.id]
            again = asked.of(rest).answered()
            changed += again.choice is None or again.choice.id != whole.ranked[0].id
            reversed_ += _by_hand(rest, whole.ranked) != _by_hand(OFFERS, whole.ranked)
    assert changed == 0
    assert reversed_ > 0, "scores between the best and worst at hand should reverse some rank"


def _by_hand(offers: Sequence[Offer], ranked: tuple[Valued, ...]) -> str:
    """The winner where values run from the worst to the best of the offers at hand."""
    there = [each for each in ranked if each.id in {offer.id for offer in offers}]
    ends = {n: (min(v.values[n] for v in there), max(v.values[n] for v in there)) for n in CRITERIA}

    def score(each: Valued) -> float:
        return sum(
            (each.values[n] - low) / (high - low) if high > low else 0.0
            for n, (low, high) in ends.items()
        )

    return max(there, key=score).id


def test_the_anchors_follow_from_the_traffic_and_from_a_budget() -> None:
    """Ten times the traffic are ten times the anchors; a budget is the worst that may be."""
    asked = question(peak=400)
    small = anchors_of(asked.config, MEASURED, asked.trace, SLO)
    large = anchors_of(asked.config, MEASURED, asked.busier(10).trace, SLO)
    assert np.allclose(np.array(large.cost) / np.array(small.cost), 10)
    assert small.cost[1] == pytest.approx(10 * 400 / 100 * 0.05 * 730)
    bound = question(requirements={"budget_usd_per_month": 50.0})
    assert anchors_of(bound.config, MEASURED, bound.trace, SLO).cost == (5.0, 50.0)
    assert small.latency == (5.0, 50.0)


def test_values_run_from_the_best_anchor_to_the_worst() -> None:
    """1 and better is worth 1, 0 and worse 0, in between straight in the logarithm."""
    answer = question(best_usd=10.0, worst_usd=1000.0).answered()
    some = answer.ranked[0].evaluated

    def worth(usd: float) -> float:
        told = Range(value=usd, low=usd, high=usd)
        return answer.value(replace(some, usd=told)).values["cost"]

    assert [worth(usd) for usd in (5, 10, 100, 1000, 9000)] == pytest.approx([1, 1, 0.5, 0, 0])


def test_what_is_not_known_is_worth_nothing_until_it_is_confirmed() -> None:
    """A fact that somebody confirmed counts as one that is known."""
    told, confirmed = (
        next(each for each in question(confirmed=names).answered().ranked
             if each.evaluated.offer.service.id == "gcp-run")
        for names in ((), ("own_keys", "hipaa"))
    )  # fmt: skip
    assert confirmed.values["security"] == pytest.approx(
        told.values["security"] + (1 / 5 + 1 / 6) / 2
    )
    assert told.values["integration"] < 0.5


def test_bounds_of_the_score_follow_from_those_of_cost_and_latency() -> None:
    """The dearest and slowest is the lower one."""
    for each in question().answered().ranked:
        assert each.low <= each.score <= each.high
        assert each.low < each.high


def test_the_front_has_what_no_other_beats() -> None:
    """Better nowhere and worse somewhere is beaten; equal ones both stay."""
    values = np.array([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0.5, 0, 0, 0], [1, 0, 0, 0, 0]])
    valued = of_made_up(values.astype(float), ["a", "b", "c", "d"])
    assert {name.rpartition("/")[2] for name in front(valued, EVEN)} == {"a", "b", "d"}
    only_cost = {**dict.fromkeys(CRITERIA, 0.0), "cost": 1.0}
    assert {name.rpartition("/")[2] for name in front(valued, only_cost)} == {"a", "d"}


def test_equal_scores_are_ordered_by_cost_and_name() -> None:
    """The same offers in another order are the same ranking."""
    ranked = question().answered().ranked
    assert best_first(tuple(reversed(ranked))) == list(ranked)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a name": ({"weights": {"price": 1.0}}, "no criterion is called 'price'"),
    "nothing": ({"weights": {"cost": 0.0}}, "decide nothing"),
    "anchors": ({"best_usd": 90.0, "worst_usd": 10.0}, "not below the worst"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_weights_and_anchors_that_cannot_be_are_refused(name: str) -> None:
    """With what to do."""
    asked, what = BAD[name]
    with pytest.raises(UsageError, match=what) as refused:
        question(**asked).answered()
    assert refused.value.fix


def test_weights_are_shares() -> None:
    """Those that were not named weigh nothing."""
    weights = weights_of(question(weights={"cost": 3.0, "latency": 1.0}).config)
    assert weights == {"cost": 0.75, "latency": 0.25, "scalability": 0, "integration": 0,
                       "security": 0}  # fmt: skip
    assert math.fsum(weights_of(question().config).values()) == pytest.approx(1)
