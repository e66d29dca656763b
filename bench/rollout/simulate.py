"""Counts how simulated rollouts end: of equal versions, and of worse ones.

Each look brings a block of requests, divided as the step says; failures are binomial, latencies
lognormal with a median of 5 ms. The rate of failures rises and falls threefold over 120 looks for
both versions alike, as a day does. ``held`` keeps every step for 150 looks more, so that there is
much to look at. The judge is the one of ``afterfit rollout``. Run:
``python bench/rollout/simulate.py``; it writes ``bench/results/rollout.json``. With ``--steps
50000,250000,500000,1000000 --out bench/results/rollout_alone.json``, or ``--steps
50000,250000,1000000 --out bench/results/rollout_user_steps.json``, the last step has no control.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np

from afterfit.runtime.tally import BOUNDS
from afterfit.serve.rollouts.config import RolloutConfig
from afterfit.serve.rollouts.judge import Judge, Reading, Side, compare, look, may_go_on
from afterfit.stats.interval import wilson

OUT = Path(__file__).resolve().parents[1] / "results" / "rollout.json"
MEDIAN_S, SIGMA = 0.005, 0.6
BLOCK, MOST_LOOKS, DAY = 1000, 1500, 120


@dataclass(frozen=True)
class Scenario:
    """What the canary does; ``tail`` multiplies the 99th percentile and leaves the median."""

    name: str
    failing: float
    canary_failing: float
    tail: float = 1.0
    held: int = 0


SCENARIOS = (
    Scenario("equal", 0.02, 0.02),
    Scenario("equal, held", 0.02, 0.02, held=150),
    Scenario("equal, no failures", 0.0, 0.0),
    Scenario("20 % more failures (5 % to 6 %), held", 0.05, 0.06, held=150),
    Scenario("20 % more failures (5 % to 6 %)", 0.05, 0.06),
    Scenario("failures of 2 % to 22 %", 0.02, 0.22),
    Scenario("p99 times 3", 0.02, 0.02, tail=3.0),
)


def latencies(tail: float) -> np.ndarray:
    """The chance of each bucket."""
    sigma = SIGMA + math.log(tail) / NormalDist().inv_cdf(0.99)
    below = [NormalDist().cdf(math.log(bound / MEDIAN_S) / sigma) for bound in BOUNDS]
    return np.diff([0.0, *below, 1.0])


class Traffic:
    """A server's counts, which grow."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.scenario = scenario
        self.sums = {role: [0, 0, np.zeros(len(BOUNDS) + 1)] for role in ("canary", "primary")}
        self.chances = {"canary": latencies(scenario.tail), "primary": latencies(1.0)}
        self.looks = 0

    def reading(self, share: float) -> Reading:
        """The counts after one more block."""
        self.looks += 1
        level = 1 + 0.5 * math.sin(2 * math.pi * self.looks / DAY)
        canary = int(self.rng.binomial(BLOCK, share))
        for role, n in (("canary", canary), ("primary", BLOCK - canary)):
            rates = {"canary": self.scenario.canary_failing, "primary": self.scenario.failing}
            failed = int(self.rng.binomial(n, min(1.0, level * rates[role])))
            self.sums[role][0] += failed
            self.sums[role][1] += n
            self.sums[role][2] += self.rng.multinomial(n - failed, self.chances[role])
        return Reading(**{role: _side(*sums) for role, sums in self.sums.items()})


def _side(failed: int, asked: int, buckets: np.ndarray) -> Side:
    return Side(failed=failed, asked=asked, buckets=tuple(buckets.tolist()))


def rollout(scenario: Scenario, config: RolloutConfig, seed: int) -> tuple[str, int, int]:
    """How one ends: the verdict, the requests of the canary, and the looks."""
    traffic, judge = Traffic(scenario, seed), Judge()
    look(judge, traffic.reading(0.0), config)
    judge.watches.clear()
    judge.step_canary = judge.step_primary = 0.0
    step = began = asked = 0
    for now in range(1, MOST_LOOKS):
        before = judge.last.canary.asked
        look(judge, traffic.reading(config.steps[step] / 1e6), config)
        asked += round(judge.last.canary.asked - before)
        found = compare(judge, config)
        if any(each.worse for each in found):
            return "rolled_back", asked, now
        if now - began < scenario.held or not may_go_on(judge, config, step, found):
            continue
        if step + 1 == len(config.steps):
            return "promoted", asked, now
        step, began = step + 1, now
        judge.next_step()
    return "undecided", asked, MOST_LOOKS


def summed(scenario: Scenario, ends: list[tuple[str, int, int]]) -> dict[str, Any]:
    """Shares of the ends with 95 % intervals, and the quartiles of what they took."""
    told: dict[str, Any] = {"scenario": asdict(scenario), "rollouts": len(ends)}
    for verdict in ("rolled_back", "promoted", "undecided"):
        mine = [end for end in ends if end[0] == verdict]
        bounds = wilson(len(mine), len(ends))
        told[verdict] = {"n": len(mine), "low": bounds.low, "high": bounds.high}
        if mine:
            places = np.percentile([end[1] for end in mine], [25, 50, 75])
            told[verdict]["canary_requests_quartiles"] = [round(each) for each in places]
            told[verdict]["all_requests_median"] = BLOCK * float(np.median([e[2] for e in mine]))
    return told


def main() -> None:
    """Run every scenario and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollouts", type=int, default=400)
    parser.add_argument("--steps", default="50000,250000,500000")
    parser.add_argument("--only", default="", help="scenarios whose name begins so")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    steps = tuple(int(each) for each in options.steps.split(","))
    config = RolloutConfig(steps=steps, min_requests=2000)
    results = []
    with ProcessPoolExecutor(2) as pool:
        for place, scenario in enumerate(SCENARIOS):
            if not scenario.name.startswith(options.only):
                continue
            seeds = range(10_000 * place, 10_000 * place + options.rollouts)
            ends = list(pool.map(partial(rollout, scenario, config), seeds, chunksize=10))
            results.append(summed(scenario, ends))
            print(json.dumps(results[-1]), flush=True)
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    told = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "config": msgspec.to_builtins(config),
        "block": BLOCK,
        "results": results,
    }
    options.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
