"""How sure a choice is: weightings, flip points, the tornado, and close calls."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from tests.platforms.market import CHEAP, MANAGED, MEASURED, OFFERS, SELF, UNSURE, offer, question

from afterfit.platforms.config import CRITERIA
from afterfit.platforms.question import Answered
from afterfit.platforms.robust import bars, close_calls, weight_flips, win_metric, wins
from afterfit.platforms.shapes import Measured, Offer
from afterfit.platforms.value import Valued


def chosen(answer: Answered) -> Valued:
    """The choice, which there has to be."""
    assert answer.choice is not None
    return answer.choice


def test_wins_are_shares_of_drawn_weightings() -> None:
    """They add up to 1, are drawn by the seed, and come with an interval."""
    answer = question().answered()
    shares = wins(answer)
    assert sum(shares.values()) == pytest.approx(1)
    assert wins(answer) == shares
    assert wins(question(seed=1).answered()) != shares
    share = shares[chosen(answer).evaluated.offer.service.id]
    metric = win_metric(answer, share)
    assert metric.n == 2000
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < share < metric.high


def test_an_offer_that_is_beaten_everywhere_never_wins() -> None:
    """The same service at twice the price."""
    dear = dear_named(offer(SELF, "m7i.large", 0.2))
    answer = question([OFFERS[0], OFFERS[3], dear]).answered()
    assert set(wins(answer)) == {"aws-ec2", "aws-sagemaker"}


def replace_rate(rate: float, machine: str) -> Measured:
    """What a probe measured of one replica on a machine."""
    return msgspec.structs.replace(MEASURED, rate=rate, low=rate, high=rate, machine=machine)


def dear_named(each: Offer) -> Offer:
    """The offer as that of a service called dear."""
    told = msgspec.structs.replace(each.service, id="aws-dear")
    return msgspec.structs.replace(each, service=told)


def test_weights_of_nothing_stay_nothing() -> None:
    """With cost alone the cheapest wins every weighting."""
    answer = question(weights={"cost": 1.0}).answered()
    assert wins(answer) == {chosen(answer).evaluated.offer.service.id: 1.0}
    assert chosen(answer).usd == min(each.usd for each in answer.running)


def test_at_a_flip_another_offer_wins() -> None:
    """Scored with the weight of the flip both are equal; just beyond the other one leads."""
    answer = question().answered()
    flips = weight_flips(answer, chosen(answer))
    assert flips
    for flip in flips:
        name = flip.what.removeprefix("weight of ")
        beyond = flip.value + np.sign(flip.value - flip.now) * 1e-6
        rest = 1 - answer.weights[name]
        weights = {
            n: beyond if n == name else w * (1 - beyond) / rest for n, w in answer.weights.items()
        }
        score = {
            each.id: sum(weights[n] * each.values[n] for n in CRITERIA) for each in answer.running
        }
        assert max(score, key=lambda each: score[each]) == flip.winner, flip.what


def test_the_tornado_has_the_widest_assumption_first() -> None:
    """A price a fifth higher lowers the lead; half the traffic is evaluated anew."""
    answer = question().answered()
    found = bars(answer, chosen(answer))
    widths = [abs(bar.high - bar.low) for bar in found]
    assert widths == sorted(widths, reverse=True)
    by_name = {bar.name: bar for bar in found}
    price = by_name["price of the choice"]
    assert price.high < price.low
    assert {"traffic", "requests/s of a machine", "weight of cost"} <= set(by_name)


def test_a_bar_names_who_wins_at_its_end() -> None:
    """Two offers a little apart change places when the first gets dearer."""
    pair = [offer(SELF, "m7i.large", 0.10), offer(MANAGED, "ml.m7i.large", 0.101)]
    answer = question(pair, weights={"cost": 1.0}).answered()
    bar = next(b for b in bars(answer, chosen(answer)) if b.name == "price of the choice")
    assert (bar.winner_low, bar.winner_high) == ("", "aws-sagemaker/us-east-1/ml.m7i.large")


def test_bounds_that_overlap_are_a_close_call() -> None:
    """The finalists are to be measured, each machine once, the choice's rivals by service."""
    answer = question(OFFERS[:4], weights={"cost": 1.0}).answered()
    close = close_calls(answer, chosen(answer))
    kinds = [(v.evaluated.offer.service.id, v.evaluated.offer.machine.family) for v in close.rivals]
    own = chosen(answer).evaluated.offer
    assert 0 < len(kinds) <= 2
    assert (own.service.id, own.machine.family) not in kinds
    assert 0 < len(close.probe) == len(set(close.probe))


def test_what_is_measured_on_both_sides_is_no_close_call() -> None:
    """No probe would settle it."""
    pair = [offer(SELF, "m7i.large", 0.10), offer(MANAGED, "ml.m7i.large", 0.101)]
    answer = question(pair, weights={"cost": 1.0}).answered()
    assert close_calls(answer, chosen(answer)).rivals == ()


def test_a_clear_lead_is_no_close_call() -> None:
    """Ten times as cheap is outside of every bound."""
    pair = [offer(SELF, "m6i.large", 0.10), offer(UNSURE, "2 vCPU", 2.0)]
    answer = question(pair, weights={"cost": 1.0}).answered()
    assert close_calls(answer, chosen(answer)).rivals == ()


def test_one_family_is_compared_at_the_same_ends() -> None:
    """Its capacity is unknown for both alike: a dearer service on it cannot be the better one."""
    own = offer(SELF, "c5.large", 0.085, tier="avx512")
    other = dear_named(offer(SELF, "c5.large", 0.095, tier="avx512"))
    answer = question([own, other], weights={"cost": 1.0}).answered()
    assert close_calls(answer, chosen(answer)).rivals == ()


def test_a_probe_settles_a_close_call() -> None:
    """Once the rival and the choice were measured there is no overlap left."""
    pair = [offer(SELF, "m7i.large", 0.10), offer(CHEAP, "cx33", 0.15, vcpu=4, tier="")]
    open_ = question(pair, weights={"cost": 1.0}).answered()
    close = close_calls(open_, chosen(open_))
    assert close.probe == ("hetzner-cloud/us-east-1/cx33",)
    assert close.alone
    probed = replace_rate(75.0, pair[1].machine.id)
    settled = question(pair, weights={"cost": 1.0}, probes=[probed]).answered()
    assert close_calls(settled, chosen(settled)).rivals == ()


def test_bounds_of_the_choice_that_are_the_only_ones_need_no_probe() -> None:
    """One offer has nobody beside it."""
    answer = question([OFFERS[1]]).answered()
    own = chosen(answer)
    assert close_calls(answer, own).probe == ()
    assert replace(own, low=0.0).low == 0.0
