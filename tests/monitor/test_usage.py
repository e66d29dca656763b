"""What a server says of itself: counters that fall began anew, and requests turned away alarm."""

from __future__ import annotations

import pytest

from afterfit.monitor.cut import DAY, HOUR
from afterfit.monitor.usage import Usage, totals_of, usage_points
from afterfit.records.signals import Scope
from afterfit.runtime.metrics import Metrics

START = 20_000 * DAY
SCOPE = Scope(model="churn")


def text_of(
    *, cpu: float = 0.0, answered: int = 0, away: int = 0, lost: int = 0, memory: int = 0
) -> str:
    """The metrics of a server, as it writes them."""
    metrics = Metrics()
    metrics.add("cpu_seconds", cpu)
    metrics.set("memory_bytes", memory)
    metrics.add("events_dropped", lost)
    for status, count in ((200, answered), (503, away)):
        for _ in range(count):
            metrics.request("predict", status, 0.001)
    metrics.request("health", 503)
    return metrics.text([("churn", 1, "9b")])


def test_an_hour_tells_cores_memory_and_what_was_turned_away() -> None:
    """Half a core over 20 minutes; health checks are no predictions."""
    usage = Usage()
    usage.update(text_of(cpu=10.25, memory=5_000_000), START)
    usage.update(text_of(cpu=310.25, answered=400, memory=9_000_000), START + HOUR // 6)
    usage.update(text_of(cpu=610.25, answered=900, away=100, memory=7_000_000), START + HOUR // 3)
    points = {point.signal: point for point in usage_points(usage, SCOPE, START)}
    assert points["cpu"].value == pytest.approx(0.5)
    assert points["memory"].value == 9_000_000
    saturation = points["saturation"]
    assert (saturation.state, saturation.n) == ("alarm", 1000)
    assert saturation.value == pytest.approx(0.1)
    assert points["events_lost"].state == "ok"
    assert usage_points(usage, SCOPE, START + HOUR) == []


def test_a_server_that_began_anew_counts_from_zero() -> None:
    """A counter that fell is no negative use; lost events are an alarm."""
    usage = Usage()
    usage.update(text_of(cpu=100.0, answered=50), START)
    usage.update(text_of(cpu=6.0, answered=20, lost=3), START + HOUR // 60)
    points = {point.signal: point for point in usage_points(usage, SCOPE, START)}
    assert points["cpu"].value == pytest.approx(0.1)
    assert (points["saturation"].n, points["saturation"].state) == (20, "insufficient")
    assert (points["events_lost"].value, points["events_lost"].state) == (3.0, "alarm")


def test_a_gap_of_more_than_an_hour_says_nothing_and_two_days_are_kept() -> None:
    """Nobody knows when in the gap it was used."""
    usage = Usage()
    for hour in range(0, 120, 2):
        usage.update(text_of(cpu=float(hour)), START + hour * HOUR)
    assert all(used.seconds == 0 for used in usage.hours.values())
    assert len(usage.hours) == 48


def test_lines_of_others_are_left_alone() -> None:
    """Another exporter's names, a number that is none, text that is no metric."""
    text = (
        'up 1\nafterfit_memory_bytes none\n# HELP x y\nafterfit_requests_total{route="x"} 3\n<html>'
    )
    assert totals_of(text) == {}
