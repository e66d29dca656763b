"""What is asked of a choice, and its answer: all offers evaluated, valued and in order.

A question can be asked again with one thing changed, which is how every "what if" of a decision is
verified: nothing here is told that was not evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import msgspec

from afterfit.core.slo import Slo
from afterfit.core.trace import Trace
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.evaluated import Evaluated
from afterfit.platforms.shapes import Measured, Offer, Price, Rate
from afterfit.platforms.value import (
    Anchors,
    Scale,
    Valued,
    anchors_of,
    best_first,
    front,
    weights_of,
)

__all__ = ["Answered", "Evaluate", "Question", "cheaper", "eligible_of"]

Evaluate = Callable[
    [Sequence[Offer], PlatformsConfig, Measured, Trace, Sequence[Measured]], list[Evaluated]
]
"""Offers, config, the replica, the traffic and what probes measured -> the offers evaluated."""
Eligible = Literal["yes", "if", "no"]


def eligible_of(evaluated: Evaluated) -> Eligible:
    """Return whether an offer passes: ``if`` while something unknown has to be confirmed."""
    if evaluated.failed is not None:
        return "no"
    return "if" if evaluated.unknown else "yes"


@dataclass(frozen=True, kw_only=True)
class Question:
    """The offers, what is asked of them, the replica that was measured, and the traffic."""

    offers: tuple[Offer, ...]
    config: PlatformsConfig
    measured: Measured
    trace: Trace
    slo: Slo
    evaluate: Evaluate
    probes: tuple[Measured, ...] = ()

    def answered(self) -> Answered:
        """Return the answer; raises UsageError for weights and anchors that cannot be."""
        anchors = anchors_of(self.config, self.measured, self.trace, self.slo)
        scale = Scale(
            anchors=anchors, weights=weights_of(self.config), confirmed=self.config.confirmed
        )
        evaluated = self.evaluate(self.offers, self.config, self.measured, self.trace, self.probes)
        valued = [
            scale.value(each) for each in evaluated if each.failed is None and each.usd is not None
        ]
        return Answered(
            question=self,
            evaluated=tuple(evaluated),
            scale=scale,
            ranked=tuple(best_first(valued)),
        )

    def of(self, offers: Sequence[Offer]) -> Question:
        """Return the same question of other offers."""
        return replace(self, offers=tuple(offers))

    def busier(self, factor: float) -> Question:
        """Return the question for ``factor`` times the traffic."""
        return replace(self, trace=self.trace.times(factor))

    def asked(self, config: PlatformsConfig) -> Question:
        """Return the question with other settings."""
        return replace(self, config=config)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The answer to a question: ``ranked`` are the offers that do not fail and have a cost."""

    question: Question
    evaluated: tuple[Evaluated, ...]
    scale: Scale
    ranked: tuple[Valued, ...]

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the criteria, with a sum of 1."""
        return self.scale.weights

    @property
    def anchors(self) -> Anchors:
        """Between what the criteria are measured."""
        return self.scale.anchors

    @cached_property
    def running(self) -> tuple[Valued, ...]:
        """Those that can be chosen: all that pass, or where none does those that may."""
        passing = tuple(each for each in self.ranked if not each.evaluated.unknown)
        return passing or self.ranked

    @cached_property
    def ahead(self) -> set[str]:
        """The ids of those in the running that no other one beats in every criterion."""
        return front(self.running, self.weights)

    @property
    def choice(self) -> Valued | None:
        """The best of those that can be chosen."""
        return self.running[0] if self.running else None

    @cached_property
    def valued(self) -> dict[str, Valued]:
        """The offers that do not fail, by id."""
        return {each.id: each for each in self.ranked}

    def value(self, evaluated: Evaluated) -> Valued:
        """Return what an offer is worth here that was changed after its evaluation."""
        return self.scale.value(evaluated)


def cheaper(offer: Offer, factor: float) -> Offer:
    """Return an offer with all of its prices times ``factor``, those of its service too."""

    def price(told: Price) -> Price:
        return msgspec.structs.replace(told, usd_per_hour=told.usd_per_hour * factor)

    def rate(told: Rate) -> Rate:
        return msgspec.structs.replace(told, usd=told.usd * factor)

    rates = {n: tuple(map(rate, told)) for n, told in offer.service.rates.items()}
    service = msgspec.structs.replace(offer.service, rates=rates)
    machine = msgspec.structs.replace(
        offer.machine, prices={term: price(told) for term, told in offer.machine.prices.items()}
    )
    premium = offer.premium_per_hour
    return msgspec.structs.replace(
        offer, service=service, machine=machine,
        prices={term: price(told) for term, told in offer.prices.items()},
        premium_per_hour=None if premium is None else premium * factor,
    )  # fmt: skip
