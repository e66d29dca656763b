"""Whether the choice by cost is that of an exhaustive search of the whole catalog, and how long.

    python bench/platforms/choice.py [--sets 500] [--seconds 300]

Random requirements, a replica measured on an m7i.large, a day of hourly rates. The exhaustive
search (tests/platforms/stand.py) counts machines step by step and tries every term with every
number of bound machines. The time is that of the processor for one evaluation of all offers, with
the day at its full 43,200 steps beside it. The result is written to
bench/results/platform_choice.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.platforms.stand import exhaustive, random_requirements, trace  # noqa: E402  # a script

from afterfit.core.trace import preset  # noqa: E402
from afterfit.platforms.catalog import builtin  # noqa: E402
from afterfit.platforms.evaluate import cheapest, evaluate  # noqa: E402
from afterfit.platforms.shapes import Measured  # noqa: E402
from afterfit.store.environment import current_environment  # noqa: E402

RESULT = Path(__file__).parent.parent / "results" / "platform_choice.json"
REPLICA = Measured(
    rate=90.0, low=85.0, high=95.0, cores=1.0, memory_gib=0.5, tier="amx", arch="x86_64",
    service_ms=8.0, cold_start_s=3.0, coremark_per_core=22_000.0, siblings="busy",
    machine="aws/us-east-1/m7i.large",
)  # fmt: skip


def main() -> None:
    """Measure, print, and write the result; exit 1 where a choice differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=300.0)
    asked = parser.parse_args()
    offers, random = builtin().offers(), np.random.default_rng(7)
    day = trace(*(preset("diurnal").rates.reshape(24, -1).mean(axis=1) * 400))
    fine = preset("diurnal").with_peak(400.0)
    until = time.monotonic() + asked.seconds
    same, chosen, hourly, full = [], 0, [], []
    while len(same) < asked.sets and time.monotonic() < until:
        config = random_requirements(random)
        started = time.process_time()
        evaluated = evaluate(offers, config, REPLICA, day)
        found = cheapest(evaluated)
        hourly.append(time.process_time() - started)
        wanted = exhaustive(evaluated, config, REPLICA, day)
        chosen += wanted is not None
        same.append((found.offer.id if found else None) == (wanted[1] if wanted else None))
        if len(same) % 5 == 1:
            started = time.process_time()
            cheapest(evaluate(offers, config, REPLICA, fine))
            full.append(time.process_time() - started)
    result = {
        "offers": len(offers),
        "sets": len(same),
        "with_a_choice": chosen,
        "same_as_exhaustive": sum(same),
        "cpu_s": {
            "24 steps": {"median": float(np.median(hourly)), "max": max(hourly)},
            "43200 steps": {"median": float(np.median(full)), "max": max(full), "n": len(full)},
        },
        "machine": current_environment().cpu,
    }
    print(json.dumps(result, indent=2))
    RESULT.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
