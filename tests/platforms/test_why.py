"""Why not the others: reasons, and changes that make another offer the choice once made."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pytest
from tests.platforms.market import CHEAP, MANAGED, MEASURED, OFFERS, SELF, UNSURE, offer, question

from afterfit.platforms.breakeven import scanned
from afterfit.platforms.evaluated import Evaluated
from afterfit.platforms.question import Answered, Question, cheaper
from afterfit.platforms.why import lost_features, nearest, reason_of

PAIR = (offer(SELF, "m7i.large", 0.10), offer(MANAGED, "ml.m7i.large", 0.30))


def of(answer: Answered, service: str) -> str:
    """The change that would make the best offer of a service the choice."""
    return reason_of(answer, best(answer, service)).change


def best(answer: Answered, service: str) -> Evaluated:
    """The first offer of a service."""
    ranked = [each.evaluated for each in answer.ranked]
    return next(e for e in (*ranked, *answer.evaluated) if e.offer.service.id == service)


def test_the_choice_needs_no_reason() -> None:
    """It has none."""
    answer = question().answered()
    assert answer.choice is not None
    assert reason_of(answer, answer.choice.evaluated).why_not == ""


def test_a_dearer_offer_is_told_by_the_parts_of_its_cost() -> None:
    """And by what it is worth less in."""
    answer = question(PAIR, weights={"cost": 1.0}).answered()
    told = reason_of(answer, best(answer, "aws-sagemaker"))
    assert re.match(r"Costs \d+ USD a month more \(\+\d+ compute, \+\S+ idle\)\.", told.why_not)


def test_with_the_prices_that_are_told_it_wins() -> None:
    """And not with prices that are a few per cent above them."""
    asked = question(PAIR, weights={"cost": 3.0, "integration": 1.0})
    answer = asked.answered()
    assert answer.choice is not None
    assert answer.choice.evaluated.offer.service.id == "aws-ec2"
    percent = int(found(r"prices (\d+) % lower", of(answer, "aws-sagemaker")))
    assert winner_at(asked, percent) == "aws-sagemaker"
    assert winner_at(asked, percent - 3) == "aws-ec2"


def found(pattern: str, text: str) -> str:
    """The part of a text that a pattern takes out."""
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]


def winner_at(asked: Question, percent: int) -> str:
    """The service that wins where the managed one costs so much less."""
    choice = asked.of([PAIR[0], cheaper(PAIR[1], 1 - percent / 100)]).answered().choice
    assert choice is not None
    return choice.evaluated.offer.service.id


def test_a_probe_that_finds_as_much_makes_it_the_choice() -> None:
    """The rate that is told, put in as a measurement."""
    pair = [offer(SELF, "m7i.large", 0.10), offer(CHEAP, "cx33", 0.20, vcpu=4, tier="")]
    asked = question(pair, weights={"cost": 1.0})
    told = re.search(r"([\d.]+) requests/s measured", of(asked.answered(), "hetzner-cloud"))
    assert told is not None
    rate = float(told[1])
    for factor, expected in ((1.02, "hetzner-cloud"), (0.9, "aws-ec2")):
        each = rate / 4 * factor
        probe = msgspec.structs.replace(
            MEASURED, rate=each, low=each, high=each, machine=pair[1].machine.id
        )
        choice = replace(asked, probes=(probe,)).answered().choice
        assert choice is not None
        assert choice.evaluated.offer.service.id == expected


def test_a_requirement_is_named_without_which_it_would_be_the_choice() -> None:
    """And not one without which it passes and still loses."""
    asked = question(requirements={"compliance": ["hipaa"]}, weights={"cost": 1.0})
    answer = asked.answered()
    told = reason_of(answer, best(answer, "hetzner-cloud"))
    assert told.why_not == "Hipaa: False."
    assert told.change == "without hipaa"
    free = question(weights={"cost": 1.0}).answered()
    assert free.choice is not None
    assert free.choice.evaluated.offer.service.id == "hetzner-cloud"
    dear = [*OFFERS[:4], offer(CHEAP, "cx33", 5.0, vcpu=4)]
    still = question(dear, requirements={"compliance": ["hipaa"]}).answered()
    assert of(still, "hetzner-cloud") == "none: without hipaa it passes, and still loses"


def test_what_has_to_be_confirmed_is_told_where_it_would_win_then() -> None:
    """An unknown that is confirmed is a pass."""
    offers = [offer(SELF, "m7i.large", 0.10), offer(UNSURE, "2 vCPU", 0.02)]
    asked = question(offers, requirements={"compliance": ["hipaa"]})
    assert of(asked.answered(), "gcp-run") == "hipaa confirmed"
    confirmed = question(offers, requirements={"compliance": ["hipaa"]}, confirmed=["hipaa"])
    choice = confirmed.answered().choice
    assert choice is not None
    assert choice.evaluated.offer.service.id == "gcp-run"


def test_traffic_is_told_at_which_another_service_wins() -> None:
    """A large machine that costs less for each request wins where there is enough traffic."""
    large = offer(UNSURE, "2 vCPU", 0.8, vcpu=32)
    asked = question([PAIR[0], large], peak=100, weights={"cost": 1.0})
    answer = asked.answered()
    scan = scanned(answer)
    level = scan.services["gcp-run"]
    assert scan.told("gcp-run").startswith("traffic above ")
    for factor, service in ((level.factor * 1.02, "gcp-run"), (level.factor * 0.9, "aws-ec2")):
        choice = asked.busier(factor).answered().choice
        assert choice is not None
        assert choice.evaluated.offer.service.id == service
    assert scan.own is not None
    assert scan.own.factor == pytest.approx(level.factor, rel=0.1)


def test_what_is_lost_is_what_one_is_known_to_have_and_the_other_to_lack() -> None:
    """What nobody knows is not lost."""
    answer = question([PAIR[0], PAIR[1]]).answered()
    one, other = (best(answer, name) for name in ("aws-sagemaker", "aws-ec2"))
    assert lost_features(one, other) == ()
    lacking = dict(SELF.facts) | {
        "canary": msgspec.structs.replace(SELF.facts["canary"], value=False)
    }
    service = msgspec.structs.replace(SELF, facts=lacking)
    changed = replace(other, offer=msgspec.structs.replace(other.offer, service=service))
    assert lost_features(one, changed) == ("canary",)


def test_the_nearest_to_passing_fails_least() -> None:
    """Then costs least."""
    answer = question(
        requirements={"compliance": ["hipaa"], "budget_usd_per_month": 1.0}
    ).answered()
    near = nearest(answer.evaluated)
    assert sum(check.outcome == "fail" for check in near.checks) == 1
