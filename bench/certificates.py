"""How often a certificate is given to a server that is no better than its limit, and what it costs.

    python bench/certificates.py [--runs 500]

Servers in virtual time at the rate at which exactly 1 % of requests miss the objective: every
certificate of p99 is false there, and with 99 % confidence 30 of 3,000 are expected at most. Then
the same servers at lower shares of misses, and how many requests their certificates take. The
result is written to bench/results/certificates.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.loadtest.arrivals import Poisson
from afterfit.loadtest.bound import bound_of, upper_bound
from afterfit.loadtest.certificate import CertifyConfig, certify
from afterfit.loadtest.shot import Floats
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.steps import Runs
from afterfit.loadtest.virtual import Service, VirtualServer
from afterfit.stats.interval import clopper_pearson
from afterfit.stats.quantile import quantile_of
from afterfit.store.environment import current_environment

RESULT = Path(__file__).parent / "results" / "certificates.json"
SERVERS = {
    "M/M/1": VirtualServer(Service(1.0, "exponential")),
    "M/D/1": VirtualServer(Service(1.0, "deterministic")),
    "M/G/1, lognormal, cv 1.5": VirtualServer(Service(1.0, "lognormal", 1.5)),
    "M/M/4": VirtualServer(Service(4.0, "exponential"), workers=4),
}
BOUNDARY = [
    ("M/M/1", 0.5),
    ("M/M/1", 0.8),
    ("M/D/1", 0.9),
    ("M/G/1, lognormal, cv 1.5", 0.5),
    ("M/G/1, lognormal, cv 1.5", 0.8),
    ("M/M/4", 0.7),
]
CAPACITY = 1000.0
REQUESTS = 60_000
POWER = (0.002, 0.005, 0.008)
POWER_RUNS = 40
SIZES = [500 * 2**power for power in range(11)]
MOST_REQUESTS = SIZES[-1]
LONG = 8_000_000


def steady(server: VirtualServer, rate: float) -> Floats:
    """Return the ascending latencies in ms of a long run without its beginning."""
    shot = server.fire(Poisson(rate), LONG / rate, 987_654)
    return np.sort(shot.latency_ms[LONG // 100 :])


def attempt(
    server: VirtualServer, rate: float, limit_ms: float, seed: int, requests: int
) -> tuple[str, int, bool]:
    """Return how it ended, after how many requests, and whether the naive bound certifies."""
    slo = Slo(0.99, limit_ms)
    runs = Runs(server, Poisson, slo, warmup_s=2.0, seed=seed, budget_s=1e9, most_requests=10**9)
    found = certify(runs, rate, CertifyConfig(seconds=requests / rate))
    misses, n = int(np.sum(found.latency_ms > limit_ms)), len(found.latency_ms)
    return found.state, n, upper_bound(misses, n, 0.99) <= slo.allowed


def boundary(name: str, load: float, runs: int) -> dict[str, Any]:
    """Return how many of ``runs`` certificates are given at the limit itself."""
    rate, server = CAPACITY * load, SERVERS[name]
    limit = quantile_of(steady(server, rate), 0.99)
    found = [attempt(server, rate, limit, seed, REQUESTS) for seed in range(runs)]
    false = sum(state == "certified" for state, _, _ in found)
    bounds = clopper_pearson(false, runs, 0.95)
    return {
        "server": name,
        "utilisation": load,
        "limit_ms": limit,
        "runs": runs,
        "false": false,
        "false_low": bounds.low,
        "false_high": bounds.high,
        "independent": sum(naive for _, _, naive in found),
        "refuted": sum(state == "refuted" for state, _, _ in found),
    }


def power(name: str, load: float, share: float) -> dict[str, Any]:
    """Return after how many requests one look of four certifies a server that misses less."""
    rate, server = CAPACITY * load, SERVERS[name]
    slo = Slo(0.99, quantile_of(steady(server, rate), 1.0 - share))
    confidence, sent = CertifyConfig().each, []
    for seed in range(POWER_RUNS):
        latency = server.fire(Poisson(rate), MOST_REQUESTS / rate + 2, 7000 + seed).latency_ms
        latency = latency[int(2 * rate) :]
        enough = (n for n in SIZES if bound_of(latency[:n], slo, confidence).upper <= slo.allowed)
        sent.append(next(enough, 2 * MOST_REQUESTS))
    return {
        "server": name,
        "utilisation": load,
        "share": share,
        "runs": POWER_RUNS,
        "certified": sum(n <= MOST_REQUESTS for n in sent),
        "most_requests": MOST_REQUESTS,
        "median_requests": quantile_of(np.sort(sent), 0.5),
        "p90_requests": quantile_of(np.sort(sent), 0.9),
    }


def main() -> None:
    """Measure, write the result and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    runs = parser.parse_args().runs
    at_limit = []
    for name, load in BOUNDARY:
        at_limit.append(boundary(name, load, runs))
        print(json.dumps(at_limit[-1]), flush=True)
    below = []
    for name, load in (("M/M/1", 0.5), ("M/M/1", 0.8), ("M/M/4", 0.7)):
        for share in POWER:
            below.append(power(name, load, share))
            print(json.dumps(below[-1]), flush=True)
    false, total = sum(r["false"] for r in at_limit), sum(r["runs"] for r in at_limit)
    print(f"{false} false certificates in {total}")
    told = {"false": false, "runs": total, "at_limit": at_limit, "below": below}
    told["afterfit"] = current_environment().afterfit
    RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
