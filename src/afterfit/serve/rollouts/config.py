"""What may be asked of a rollout."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from afterfit.errors import UsageError
from afterfit.runtime.endpoint import MILLION
from afterfit.serve.rollout import parse_share

__all__ = ["WATCHES", "RolloutConfig", "Watch", "steps_of", "watches_of"]

Watch = Literal["p99", "error_rate", "disagreement"]
WATCHES: tuple[Watch, ...] = get_args(Watch)


class RolloutConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``steps`` are shares in parts per million that rise; times are seconds.

    A step lasts ``hold_s`` and ``min_requests`` of the canary at least. ``false_alarms`` is the
    chance that a version that is not worse is rolled back, in the whole rollout and however long it
    lasts. ``margin`` is what counts as not worse: failing or slow requests more, as a share.
    ``disagreement`` is the share of rows that may get another class. ``slower`` is by how many
    times the odds of a slow request may rise. ``slow_ms`` of 0 is the primary's own 99th
    percentile. After ``give_up_s`` (0: never) an undecided rollout is taken back.
    """

    steps: tuple[int, ...] = (50_000, 250_000, 500_000)
    watch: tuple[Watch, ...] = ("p99", "error_rate")
    shadow_first_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    min_requests: Annotated[int, msgspec.Meta(ge=1)] = 200
    hold_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    false_alarms: Annotated[float, msgspec.Meta(gt=0, lt=0.5)] = 0.01
    confidence: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = 0.95
    margin: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.01
    disagreement: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    slower: Annotated[float, msgspec.Meta(ge=1)] = 1.5
    slow_ms: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    key: str = ""
    poll_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    give_up_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    alias: str = "champion"

    def is_alone(self, step: int) -> bool:
        """Whether the primary gets no request in a step, so that there is nobody to compare with.

        What comes before such a step shows what it has to: see `judge.may_go_on`.
        """
        return step > 0 and self.steps[step] == MILLION

    @property
    def level(self) -> float:
        """The level of each of the two tests of each watch, so that all together keep the rate."""
        return 1 - self.false_alarms / (2 * len(self.watch))


def steps_of(text: str) -> tuple[int, ...]:
    """Return the parts per million of ``5%,25%,50%``; raises UsageError unless they rise."""
    shares = tuple(parse_share(part) for part in text.split(","))
    if any(b <= a for a, b in zip((0, *shares), shares, strict=False)):
        raise UsageError(
            f"the steps {text!r} do not rise",
            why="each step sends more requests to the new version than the one before",
            fix="--steps 5%,25%,50%",
        )
    return shares


def watches_of(text: str) -> tuple[Watch, ...]:
    """Return the watches of ``p99,error_rate``; raises UsageError for one that is none."""
    words = [word.strip() for word in text.split(",")]
    unknown = [word for word in words if word not in WATCHES]
    if unknown or len(set(words)) < len(words):
        raise UsageError(
            f"nothing to watch is called {unknown[0]!r}"
            if unknown
            else f"{text!r} names one twice",
            why=f"there are {', '.join(WATCHES)}",
            fix="--watch p99,error_rate",
        )
    return tuple(watch for watch in WATCHES if watch in words)
