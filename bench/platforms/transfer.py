"""How often a speed that was carried over to another machine lies within its interval.

    python bench/platforms/transfer.py aws_coremark.csv

The table has ``instance_type, coremark_iter_s, ffmpeg_fps, cpu_threads`` of AWS (ec2instances.info,
MIT). Frames/s of a type are predicted from those of another one with as many threads in the same
tier by CoreMark per thread. One family is left out at a time, as target and as source of the fit;
then one processor is, which is harder: families often share one. Then 1 to 5 probes of other
families are taken together, in the same tier and in any. The result is written to
bench/results/platform_transfer.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.platforms.calibrate import SMALL, Benched, Error, errors_of, half_width, read
from afterfit.platforms.transfer import TIER_SD, WIDTHS, Place, Seen, Transfer
from afterfit.stats.interval import wilson
from afterfit.store.environment import current_environment

RESULT = Path(__file__).parent.parent / "results" / "platform_transfer.json"
LEVEL = 0.9
DRAWS = 20_000


def left_out(errors: Sequence[Error], group: Callable[[str], str]) -> Iterator[bool]:
    """Yield whether each error of a group lies within the width that the other groups give."""
    for name in sorted({group(error.target) for error in errors}):
        rest = [e for e in errors if name not in {group(e.source), group(e.target)}]
        width = half_width(rest, LEVEL)
        if math.isfinite(width):
            yield from (abs(e.value) <= width for e in errors if group(e.target) == name)


def told(hits: Sequence[bool]) -> dict[str, Any]:
    """Return a share with its 95 % interval and of how many."""
    if not hits:
        return {"n": 0}
    bounds = wilson(sum(hits), len(hits), 0.95)
    return {"covered": sum(hits) / len(hits), "low": bounds.low, "high": bounds.high,
            "n": len(hits)}  # fmt: skip


def by_tier(errors: Sequence[Error], group: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return the coverage of each tier, for small and large replicas, and of all together."""
    found, everything = [], []
    for tier in WIDTHS:
        for small in (True, False):
            own = [e for e in errors if e.tier == tier and (e.threads <= SMALL) == small]
            hits = list(left_out(own, group))
            everything += hits
            if own:
                threads = "1 to 32" if small else "above 32"
                found.append({"tier": tier, "threads": threads, **told(hits)})
    return [*found, {"tier": "all", "threads": "all", **told(everything)}]


def processors(path: Path) -> dict[str, str]:
    """Return the processor of each family: the model that the table names, else a generation."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    generation = {"1": "1", "6": "2", "4": "2", "2": "2", "7": "3", "8": "4", "9": "5", "5": "2"}
    found = {}
    for row in rows:
        family = row["instance_type"].partition(".")[0]
        digit = next((letter for letter in family if letter.isdigit()), "")
        found[family] = row["cpu_model"] or f"Graviton {generation.get(digit, digit)}"
    return found


def probed(machines: Sequence[Benched], count: int, *, any_tier: bool) -> dict[str, Any]:
    """Return how often intervals from ``count`` types of other families hold, and their widths."""
    random, hits, widths = np.random.default_rng(count), [], []
    small = [m for m in machines if m.tier and m.threads <= SMALL]
    for _ in range(DRAWS // 4):
        target = small[random.integers(len(small))]
        pool = [
            m for m in small
            if m.threads == target.threads and m.family != target.family
            and (any_tier or m.tier == target.tier)
        ]  # fmt: skip
        if len(pool) < count:
            continue
        picked = [pool[i] for i in random.choice(len(pool), count, replace=False)]
        seen = [Seen(place(m), *(3 * [math.exp(m.frames)])) for m in picked]
        found = Transfer(seen, target.threads).to(place(target))
        hits.append(found.low <= math.exp(target.frames) <= found.high)
        widths.append(math.log(found.high / found.low) / 2)
    return {"probes": count, "from": "any tier" if any_tier else "the same tier",
            "median_factor": math.exp(float(np.median(widths))), **told(hits)}  # fmt: skip


def place(machine: Benched) -> Place:
    """Return a type's processor as far as it matters."""
    return Place(machine.name, machine.family, machine.tier, math.exp(machine.coremark))


def main() -> None:
    """Measure, print a table, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    path = parser.parse_args().table
    machines = read(path)
    errors = list(errors_of(machines))
    chips = processors(path)
    result = {
        "types": len([m for m in machines if m.tier]),
        "tier_sd": TIER_SD,
        "left_out_family": by_tier(errors, lambda family: family),
        "left_out_processor": by_tier(errors, lambda family: chips[family]),
        "probes": [
            probed(machines, n, any_tier=far) for far in (False, True) for n in (1, 2, 3, 5)
        ],
        "machine": current_environment().cpu,
    }
    for name in ("left_out_family", "left_out_processor", "probes"):
        print(name)
        for row in result[name]:
            print("  ", {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})
    RESULT.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
