"""From measurements to medians, ratios of pairs, and the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Measurement = Mapping[str, Any]
BASE = "afterfit"
MIDDLES = (
    "requests_per_second",
    "single_p50_us",
    "cpu_us_per_request",
    "server_core_share",
    "ready_s",
    "memory_mb",
)


def summarise(measurements: Sequence[Measurement], base: str = BASE) -> dict[str, Any]:
    """Per peer: median, least and greatest of each number, and the ratios to the base.

    ``times`` is base / peer in requests/s, one ratio a round from the two measurements of that
    round, so that what slows the whole machine for a while cancels. ``times_cpu`` is peer / base
    in CPU time per request, which other work on the machine moves much less.
    """
    summary: dict[str, Any] = {}
    for name in dict.fromkeys(one["peer"] for one in measurements):
        own = by_round(measurements, name)
        summary[name] = {"n": len(own)}
        for field in MIDDLES:
            summary[name][field] = spread([one[field] for one in own.values()])
        others = by_round(measurements, base)
        pairs = [(others[number], one) for number, one in own.items() if number in others]
        if pairs:
            summary[name]["times"] = spread(
                [a["requests_per_second"] / b["requests_per_second"] for a, b in pairs]
            )
            summary[name]["times_cpu"] = spread(
                [b["cpu_us_per_request"] / a["cpu_us_per_request"] for a, b in pairs]
            )
    return summary


def by_round(measurements: Sequence[Measurement], name: str) -> dict[int, Measurement]:
    """One peer's measurements by round."""
    return {one["round"]: one for one in measurements if one["peer"] == name}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": median(values), "low": min(values), "high": max(values)}


def table(summary: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The summary as a Markdown table, the fastest first."""
    columns = (
        "server",
        "requests/s (min to max)",
        "Afterfit is so many times as fast",
        "the same by CPU time",
        "CPU a request, µs",
        "p50 at 1 connection, µs",
        "ready, s",
        "memory, MB",
    )
    head = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    order = sorted(summary, key=lambda name: -summary[name]["requests_per_second"]["median"])
    return "\n".join([*head, *(_line(titles[name], summary[name]) for name in order)])


def caption(document: Mapping[str, Any]) -> str:
    """What the table was measured with, and how busy the machine was, in one paragraph."""
    machine, plan = document["machine"], document["plan"]
    others = spread([one["disturbed_share"] for one in document["measurements"]] or [0.0])
    disturbed = sum(one["disturbed_share"] > plan["quiet"] for one in document["measurements"])
    commit = document["commit"]
    state = (commit["hash"] or "unknown")[:12] + (" with changes" if commit["dirty"] else "")
    loads = [machine[name][0] for name in ("load_average", "load_average_after")]
    return (
        f"Taken {document['taken'][:10]} at commit {state} on {machine['cores']} cores of "
        f"{machine['cpu']}: {plan['rounds']} rounds, {plan['seconds']:g} s each at "
        f"{plan['connections']} connections, niceness {plan['niceness']}. Medians with least and "
        f"greatest. Load average {loads[0]:g} before and {loads[1]:g} after; other work took "
        f"{others['median']:.0%} of the server's core ({others['low']:.0%} to "
        f"{others['high']:.0%}), more than {plan['quiet']:.0%} in {disturbed} of "
        f"{len(document['measurements'])} measurements."
    )


def _line(title: str, one: Mapping[str, Any]) -> str:
    ratios = ("times", "times_cpu")
    cells = [title, _shown(one["requests_per_second"])]
    cells += [_shown(one[field]) if field in one else "not measured" for field in ratios]
    cells += [_shown(one[field]) for field in ("cpu_us_per_request", "single_p50_us")]
    cells += [_digits(one[field]["median"]) for field in ("ready_s", "memory_mb")]
    return f"| {' | '.join(cells)} |"


def _shown(one: Mapping[str, float]) -> str:
    return f"{_digits(one['median'])} ({_digits(one['low'])} to {_digits(one['high'])})"


def _digits(value: float) -> str:
    """Three significant digits, and whole numbers from 100 on with separators."""
    if value >= 100:
        return f"{value:,.0f}"
    places = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(0, places)}f}"
