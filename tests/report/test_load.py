"""The load test's section: the promise first, then what it rests on."""

from __future__ import annotations

import msgspec
from tests.report.samples import loadtest_record

from afterfit.core.metric import Metric
from afterfit.core.serving_settings import ServingSettings
from afterfit.loadtest.findings import GeneratorLimit, ObjectiveUnreachable
from afterfit.records.loadtest import (
    Certificate,
    GridPoint,
    LoadStep,
    LoadWindow,
    ScalePoint,
    Scaling,
)
from afterfit.report.load import certificate_text, load
from afterfit.report.page import Chart, Details, Table, Text

CERTIFICATE = Certificate(
    rate=412.0,
    quantile=0.99,
    limit_ms=50.0,
    confidence=0.99,
    n=12_571,
    misses=81,
    n_effective=9_800.4,
    upper=0.00987,
    looks=2,
    method="Clopper-Pearson",
)


def step(rate: float, verdict: str, p99: float | None = 9.0) -> LoadStep:
    """A run at a rate."""
    tail = () if p99 is None else ((0.99, p99),)
    return LoadStep(
        kind="double",
        schedule=f"poisson:{rate:g}",
        rate=rate,
        seconds=5.0,
        requests=int(rate * 5),
        achieved_rps=rate,
        latency_ms=((0.5, 2.0), *tail),
        verdict=verdict,
        why="sent late" if verdict == "invalid" else "",
    )


def test_the_certificate_stands_first_and_says_what_it_holds_for() -> None:
    """Rate, objective, confidence, counts, and that it is of this hardware."""
    first = load(msgspec.structs.replace(loadtest_record(), certificate=CERTIFICATE))[0]
    assert isinstance(first, Text)
    text = first.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "At least 412 requests/s at p99 ≤ 50.0 ms, with 99 % confidence" in text
    assert (
        "81 of 12,571 requests missed it, worth 9,800 independent ones, so at most 0.987 %" in text
    )
    assert "this hardware" in text


def test_a_promise_is_never_rounded_to_more_than_was_certified() -> None:
    """9,465.6 requests/s are not 9,470, nor 0.9304 % at most 0.93 %."""
    near = msgspec.structs.replace(CERTIFICATE, rate=9465.6, upper=0.009304)
    text = certificate_text(near).replace("\N{NO-BREAK SPACE}", " ")
    assert "At least 9,460 requests/s" in text
    assert "at most 0.931 % do" in text


def test_without_a_certificate_nothing_is_promised() -> None:
    """A rate that was verified and not certified says so; none at all says so too."""
    steps = (step(400.0, "pass"), step(800.0, "fail"))
    record = msgspec.structs.replace(
        loadtest_record(), slo="p99 <= 50 ms", steps=steps, findings=()
    )
    rate = Metric(name="sustained_rps", value=400.0, unit="requests/s", n=5)
    verified = load(msgspec.structs.replace(record, sustained_rps=rate))[0]
    nothing = load(record)[0]
    assert isinstance(verified, Text)
    assert isinstance(nothing, Text)
    assert verified.text == "Up to 400 requests/s within p99 <= 50 ms; nothing is certified of it."
    assert nothing.text == "Nothing is known of how much holds p99 <= 50 ms."


def test_why_there_is_no_rate_stands_first() -> None:
    """A generator that was the limit, a search that had no time: neither is the server's fault."""
    for found, tone in (
        (GeneratorLimit.issue("this machine cannot measure 50 requests/s: late"), "warn"),
        (ObjectiveUnreachable.issue("p99 <= 1 ms is held at no rate: 9 of 9 missed it"), "bad"),
    ):
        record = msgspec.structs.replace(loadtest_record(), slo="p99 <= 1 ms", findings=(found,))
        first = load(record)[0]
        assert isinstance(first, Text)
        assert (first.text[1:], first.tone) == (f"{found.message[1:]}.", tone)


def test_an_invalid_run_is_listed_and_drawn_nowhere() -> None:
    """It says nothing of the server; a tail of failures has no number."""
    steps = (step(200.0, "pass"), step(400.0, "pass", None), step(800.0, "invalid"))
    blocks = load(msgspec.structs.replace(loadtest_record(), steps=steps))
    chart = next(b for b in blocks if isinstance(b, Chart) and b.title == "Latency by rate")
    listed = next(b for b in blocks if isinstance(b, Details)).blocks[0]
    assert isinstance(listed, Table)
    assert [row[0].text for row in chart.table.rows] == ["200", "400"]
    assert chart.table.rows[1][2].text == "∞"
    assert [row[10].text for row in listed.rows] == ["pass", "pass", "invalid"]
    assert listed.rows[2][11].text == "sent late"


def test_a_grid_and_the_law_through_it_are_shown_with_their_bounds() -> None:
    """The chosen settings are marked, what could not be measured says why."""
    two, one = (ServingSettings(workers=n, intra_op=1) for n in (2, 1))
    grid = (
        GridPoint(settings=two, cores=2, sustained_rps=900.0, common_rps=200.0, p99_ms=4.0, n=9000),
        GridPoint(settings=one, cores=1, why="the server did not get ready"),
    )
    law = Scaling(
        one_rps=(500.0, 480.0, 520.0),
        contention=(0.03, 0.0, 0.06),
        coherency=(0.001, 0.0, 0.002),
        peak=(31.0, 20.0, None),
        level=0.95,
        n=5,
        points=(
            ScalePoint(workers=1, value=500.0, low=480.0, high=520.0, measured=True),
            ScalePoint(workers=2, value=960.0, low=900.0, high=990.0, measured=False),
        ),
    )
    record = msgspec.structs.replace(loadtest_record(), grid=grid, chosen=two, scaling=law)
    blocks = load(record)
    told = next(
        b for b in blocks if isinstance(b, Table) and b.caption == "Settings that were tried"
    )
    assert [row[1].text for row in told.rows] == ["chosen", ""]
    assert told.rows[0][3].text == "450"
    assert told.rows[1][8].text == "the server did not get ready"
    assert told.note == "Latencies at 200 requests/s."
    chart = next(b for b in blocks if isinstance(b, Chart) and b.title == "Throughput by workers")
    assert [row[3].text for row in chart.table.rows] == ["measured", "foretold"]
    assert chart.table.rows[0][2].text == "[480, 520]"


def test_time_is_drawn_where_there_are_windows() -> None:
    """A second in which too many failed has no percentile, and leaves a gap instead of a guess."""
    windows = tuple(
        LoadWindow(
            start_s=float(at),
            seconds=1.0,
            due_rps=100.0,
            good_rps=100.0 if at != 1 else 20.0,
            errors=0 if at != 1 else 80,
            p50_ms=1.0 if at != 1 else None,
            p99_ms=3.0 if at != 1 else None,
        )
        for at in range(4)
    )
    blocks = load(msgspec.structs.replace(loadtest_record(), windows=windows))
    charts = {b.title: b for b in blocks if isinstance(b, Chart)}
    drawing = charts["Latency over time"].drawing
    assert drawing.lines[0].x == (0.0, 2.0, 3.0)  # type: ignore[union-attr]
    assert charts["Rate over time"].table.rows[1][3].text == "80"
