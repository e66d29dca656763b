"""How near a search comes to the true limit of a server, and how well servers are told apart.

    python bench/load_search.py [--seeds 200]

Servers in virtual time. The limit of M/M/1 is known in closed form: with a mean service time of
1 ms the time in the system is exponential with rate 1000 - r, so a 99th percentile of t ms is held
up to r = 1000 - ln(100) / t. Of four workers that always take 10 ms it is found by bisection over
runs of hours. Each seed is one search by the default settings, once by all five runs together and
once by MLPerf's rule that each must pass. Then pairs of runs are compared, of the same server and
of one that is a little slower. The result is written to bench/results/load_search.json.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.loadtest.arrivals import Poisson
from afterfit.loadtest.compare import PERCENTILES, compare
from afterfit.loadtest.judge import judged, windows
from afterfit.loadtest.search import SearchConfig, find_rate
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.steps import Runs
from afterfit.loadtest.virtual import Service, VirtualServer
from afterfit.records.loadtest import LoadtestRecord
from afterfit.stats.interval import clopper_pearson
from afterfit.store.environment import current_environment

RESULT = Path(__file__).parent / "results" / "load_search.json"
SERVER = VirtualServer(Service(1.0))
CAPACITY = 1000.0
FIXED = VirtualServer(Service(10.0, "deterministic"), workers=4)
FIXED_LIMIT_MS = 50.0
HOURS_S = 9000.0
"""Some three million requests: enough to tell a 99th percentile to a thousandth of the rate."""
CASES = [(50.0, 5.0), (20.0, 5.0), (10.0, 5.0), (10.0, 15.0)]
NEAR = 0.05
LOADS = (0.5, 0.7, 0.9)
COMPARED_S = 60.0


def mm1_limit(limit_ms: float) -> float:
    """Return the true limit of M/M/1 in requests/s."""
    return CAPACITY - math.log(100) / limit_ms * 1e3


def fixed_limit() -> float:
    """Return the greatest rate (requests/s) at which the workers of fixed time keep p99."""
    low, high = 200.0, 400.0
    for _ in range(10):
        middle = (low + high) / 2
        shot = FIXED.fire(Poisson(middle), HOURS_S, 1)
        kept = float(np.mean(shot.missed(FIXED_LIMIT_MS))) <= 0.01
        low, high = (middle, high) if kept else (low, middle)
    return low


def searches(
    server: VirtualServer, truth: float, limit_ms: float, step_s: float, seeds: int,
    *, every_run: bool,
) -> dict[str, Any]:  # fmt: skip
    """Return how near ``seeds`` searches of p99 <= ``limit_ms`` come to the true limit."""
    config = SearchConfig(step_s=step_s, every_run=every_run)
    shares, seconds, held = [], [], 0
    for seed in range(seeds):
        runs = Runs(server, Poisson, Slo(0.99, limit_ms), seed=seed, budget_s=1e6)
        runs.most_requests = 10**9
        metric = find_rate(runs, config).metric
        if metric is None or metric.value is None:
            raise SystemExit(f"seed {seed}: no rate was found")
        shares.append(metric.value / truth)
        seconds.append(runs.asked_s)
        held += (metric.low or 0.0) <= truth <= (metric.high or math.inf)
    found = np.array(shares)
    return {
        "workers": server.workers,
        "service": server.service.kind,
        "limit_ms": limit_ms,
        "truth_rps": truth,
        "step_s": step_s,
        "rule": "every run" if every_run else "together",
        "seeds": seeds,
        "within_5_percent": int((np.abs(found - 1) <= NEAR).sum()),
        "mean_of_truth": float(found.mean()),
        "p5_of_truth": float(np.quantile(found, 0.05)),
        "p95_of_truth": float(np.quantile(found, 0.95)),
        "interval_holds_truth": held,
        "mean_seconds": float(np.mean(seconds)),
    }


def record(load: float, seed: int, service_ms: float) -> LoadtestRecord:
    """Return the record of a minute at a load of a server of 1 ms."""
    server = VirtualServer(Service(service_ms))
    shot = server.fire(Poisson(CAPACITY * load), COMPARED_S, seed)
    step = judged(shot, Slo(0.99, 50.0), "measure")
    return LoadtestRecord(
        subject="",
        env=current_environment(),
        schedule=step.schedule,
        requests=step.requests,
        errors=step.errors,
        duration_s=COMPARED_S,
        rate=step.achieved_rps,
        windows=windows(shot),
    )


def comparisons(load: float, slower: float, pairs: int) -> dict[str, Any]:
    """Return how often each percentile is told apart from that of a slower server."""
    told = dict.fromkeys(PERCENTILES, 0)
    for seed in range(pairs):
        found = compare(record(load, 2 * seed, 1.0), record(load, 2 * seed + 1, slower))
        for name in PERCENTILES:
            told[name] += found.verdicts[f"latency_{name}_ratio"] != "cannot tell"
    bounds = {name: clopper_pearson(count, pairs, 0.95) for name, count in told.items()}
    return {
        "utilisation": load,
        "slower": slower,
        "pairs": pairs,
        "told_apart": told,
        "low": {name: bound.low for name, bound in bounds.items()},
        "high": {name: bound.high for name, bound in bounds.items()},
    }


def main() -> None:
    """Measure, write the result and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    seeds = parser.parse_args().seeds
    cases = [(FIXED, fixed_limit(), FIXED_LIMIT_MS, 5.0)]
    cases += [(SERVER, mm1_limit(limit_ms), limit_ms, step_s) for limit_ms, step_s in CASES]
    found = []
    for case in cases:
        for every_run in (False, True):
            found.append(searches(*case, seeds, every_run=every_run))
            print(json.dumps(found[-1]), flush=True)
    pairs = []
    for load in LOADS:
        for slower in (1.0, 1.05):
            pairs.append(comparisons(load, slower, seeds))
            print(json.dumps(pairs[-1]), flush=True)
    told = {"afterfit": current_environment().afterfit, "searches": found, "comparisons": pairs}
    RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
