"""What counts say of a canary: blocks between two looks, steps, restarts, and slow answers."""

from __future__ import annotations

import pytest

from afterfit.errors import UsageError
from afterfit.runtime.tally import BOUNDS
from afterfit.serve.rollouts.config import RolloutConfig, steps_of, watches_of
from afterfit.serve.rollouts.judge import Judge, Reading, Side, compare, look, may_go_on

CONFIG = RolloutConfig(steps=(100_000, 500_000))


def side(failed: int, asked: int, slow: int = 0) -> Side:
    """Counts of answers within 5 ms, but for those that took a second."""
    buckets = [0.0] * (len(BOUNDS) + 1)
    buckets[next(i for i, bound in enumerate(BOUNDS) if bound >= 0.005)] = asked - failed - slow
    buckets[next(i for i, bound in enumerate(BOUNDS) if bound >= 1.0)] = slow
    return Side(failed=failed, asked=asked, buckets=tuple(buckets))


def judged(*readings: Reading, config: RolloutConfig = CONFIG) -> Judge:
    """The judge after these looks, the first of which is where it begins."""
    judge = Judge()
    look(judge, readings[0], config)
    judge.watches.clear()
    judge.step_canary = judge.step_primary = 0.0
    for reading in readings[1:]:
        look(judge, reading, config)
    return judge


BEFORE = Reading(primary=side(10, 1000))


def test_what_came_before_the_rollout_counts_for_nobody() -> None:
    """Only blocks after the first look; of a server that began anew, all that it has."""
    judge = judged(BEFORE, Reading(canary=side(1, 100), primary=side(11, 1100)))
    error = judge.watches["error_rate"]
    assert (error.canary, error.primary) == ((1, 100), (1, 100))
    look(judge, Reading(canary=side(0, 30), primary=side(2, 40)), CONFIG)
    assert (error.canary, error.primary) == ((1, 130), (3, 140))
    assert judge.step_canary == 130


def test_failures_and_slow_answers_are_told_apart() -> None:
    """Each watch says worse of its own; the time that is slow is the primary's percentile."""
    failing = judged(BEFORE, Reading(canary=side(40, 100), primary=side(12, 1100)))
    p99, error = compare(failing, CONFIG)
    assert (p99.worse, error.worse) == (False, True)
    assert 5 <= p99.slow_ms < 8
    slow = judged(BEFORE, Reading(canary=side(1, 100, slow=40), primary=side(11, 1100)))
    p99, error = compare(slow, CONFIG)
    assert (p99.worse, error.worse) == (True, False)
    assert p99.canary.value == pytest.approx(40 / 99)
    none = judged(Reading(), Reading(canary=side(0, 50, slow=50), primary=side(0, 50)))
    assert not compare(none, CONFIG)[0].worse
    assert compare(none, CONFIG)[0].canary.n == 0


def test_a_new_step_keeps_evidence_and_counts_anew() -> None:
    """Without requests of the primary it is held against the step before, the margin apart."""
    judge = judged(BEFORE, Reading(canary=side(1, 300), primary=side(13, 1300)))
    logs = list(judge.watches["error_rate"].logs)
    judge.next_step()
    look(judge, Reading(canary=side(1, 3300), primary=side(13, 1300)), CONFIG)
    _, error = compare(judge, CONFIG)
    assert judge.watches["error_rate"].logs == logs
    assert error.primary is not None
    assert (error.canary.n, error.primary.n, error.worse) == (3000, 300, False)
    look(judge, Reading(canary=side(601, 6300), primary=side(13, 1300)), CONFIG)
    assert compare(judge, CONFIG)[1].worse


def test_disagreement_is_of_all_pairs_so_far() -> None:
    """Surely above the limit is worse, surely below it is not worse, else it is not known."""
    config = RolloutConfig(watch=("disagreement",), disagreement=0.1)
    for flips, rows, expected in ((40, 100, (True, False)), (1, 200, (False, True)),
                                  (4, 40, (False, False))):  # fmt: skip
        judge = judged(Reading(), Reading(flips=flips, rows=rows), config=config)
        judge.next_step()
        (found,) = compare(judge, config)
        assert (found.worse, found.shown) == expected


def test_steps_and_watches_as_people_write_them() -> None:
    """They rise, and each is known and named once."""
    assert steps_of("5%,0.25,100%") == (50_000, 250_000, 1_000_000)
    assert watches_of("error_rate, p99") == ("p99", "error_rate")
    for text in ("0%,5%", "5%,5%", "x"):
        with pytest.raises(UsageError):
            steps_of(text)
    for text in ("", "p99,p99"):
        with pytest.raises(UsageError):
            watches_of(text)


@pytest.mark.parametrize(
    ("steps", "step", "shown", "goes"),
    [
        ((50_000, 250_000, 500_000), 0, False, True),
        ((50_000, 250_000, 500_000), 1, False, True),
        ((50_000, 250_000, 500_000), 2, False, False),
        ((50_000, 250_000, 500_000), 2, True, True),
        ((50_000, 250_000, 1_000_000), 0, False, True),
        ((50_000, 250_000, 1_000_000), 1, False, False),
        ((50_000, 250_000, 1_000_000), 1, True, True),
        ((50_000, 250_000, 1_000_000), 2, False, True),
        ((1_000_000,), 0, False, False),
    ],
)
def test_what_is_promoted_was_shown_while_the_primary_answered(
    steps: tuple[int, ...], step: int, *, shown: bool, goes: bool
) -> None:
    """In the last step that has a control; 100 % without one decides nothing."""
    config = RolloutConfig(steps=steps, watch=("error_rate",), min_requests=100)
    judge = Judge()
    look(judge, Reading(), config)
    n = 2000 if shown else 120
    look(judge, Reading(canary=Side(asked=n), primary=Side(asked=n)), config)
    found = compare(judge, config)
    assert [each.shown for each in found] == [shown]
    assert may_go_on(judge, config, step, found) is goes
    judge.step_canary = 99
    assert not may_go_on(judge, config, step, found)


def test_copies_alone_go_on_to_all_requests_when_the_primary_is_known() -> None:
    """So that there is something to hold the only step against."""
    config = RolloutConfig(steps=(1_000_000,), watch=("error_rate",), min_requests=100)
    judge = Judge()
    look(judge, Reading(primary=Side(asked=99)), config)
    assert not may_go_on(judge, config, -1, ())
    look(judge, Reading(primary=Side(asked=100)), config)
    assert may_go_on(judge, config, -1, ())
