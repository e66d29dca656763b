"""The whole step: who wins and why the others lose, findings, intervals, the page."""

from __future__ import annotations

from html import escape

import msgspec
import pytest
from tests.loadtest.autoscale.samples import (
    MEASURED,
    SLO,
    compared,
    of_every_day,
    trace,
    with_an_event,
)

from afterfit.core.metric import find
from afterfit.errors import UsageError
from afterfit.loadtest.autoscale.config import POLICIES, AutoscaleConfig, Measured
from afterfit.loadtest.autoscale.run import autoscale
from afterfit.records.autoscale import AutoscaleRecord
from afterfit.records.codec import Stored, decode, encode
from afterfit.records.record import Envelope
from afterfit.report import html, text
from afterfit.report.build import record_page


def finding(record: AutoscaleRecord, code: str) -> str:
    """The outcome of a finding."""
    return next(each.outcome for each in record.findings if each.code == code)


def test_the_cheapest_that_holds_is_chosen_and_the_others_say_why_not() -> None:
    """With a known event a schedule beats what reacts, and both beat a fixed number."""
    record = with_an_event()
    assert record.chosen == "scheduled"
    assert [p.name for p in record.policies][-1] == "hpa-as-is"
    assert {p.name for p in record.policies} == set(POLICIES)
    hours = {p.name: find(p.metrics, "replica_hours") for p in record.policies}
    values = [hours[p.name].value for p in record.policies if p.holds]  # type: ignore[union-attr]
    assert values == sorted(values)  # type: ignore[type-var]
    assert record.policies[0].why == "the cheapest that holds"
    static = record.policy("static")
    assert static is not None
    assert "times the replica-hours of HPA with a schedule" in static.why
    cost = find(static.metrics, "cost_usd")
    assert cost is not None
    assert cost.value == pytest.approx(0.1 * hours["static"].value)  # type: ignore[union-attr, operator]


def test_what_is_often_set_breaks_the_objective() -> None:
    """80 % CPU is fuller than a replica that holds its objective may be; it is never chosen."""
    record = with_an_event()
    usual = record.policy("hpa-as-is")
    assert usual is not None
    assert not usual.holds
    assert "breaks the objective" in usual.why
    assert finding(record, "L044") == "tip"
    assert finding(record, "L041") == "issue"
    assert finding(record, "L040") == "passed"


def test_every_number_has_an_interval_and_the_runs_it_is_of() -> None:
    """Student's t over runs; one run alone says that it is one."""
    for policy in of_every_day().policies:
        for metric in policy.metrics:
            assert metric.n == 2
            assert metric.value is None or None not in (metric.low, metric.high)
    single = compared(trace(), policies=("static",), runs=1)
    assert {m.method for m in single.policies[0].metrics} == {"one run"}


def test_too_few_replicas_hold_nothing_and_say_how_many_would() -> None:
    """The peak takes 12 of them, and 4 are allowed."""
    record = compared(trace(), most=4, policies=("static", "hpa-rps"))
    assert record.chosen == ""
    found = next(each for each in record.findings if each.code == "L040")
    assert (found.outcome, found.severity) == ("issue", "high")
    assert "--max 12" in found.fix
    assert finding(record, "L042") == "issue"
    assert "reached its 4 replicas" in next(p.why for p in record.policies if p.name == "hpa-rps")


def test_scaling_to_zero_is_judged() -> None:
    """A night without requests, then a morning that meets no replica."""
    quiet = trace("growth", 40.0, step_s=30.0)
    rates = quiet.rates.copy()
    rates[:300] = 0.0
    night = type(quiet)("night", rates, quiet.step_s)
    record = compared(night, to_zero=True, policies=("keda", "knative", "static"))
    outcomes = {f.where: f for f in record.findings if f.code == "L043"}
    assert outcomes["keda"].outcome == "issue"
    assert "requests lost" in outcomes["keda"].message
    assert "min without a replica" in outcomes["knative"].message


def test_a_measured_rate_is_tried_at_its_lower_bound() -> None:
    """The interval of the load test decides what L047 asks."""
    measured = msgspec.structs.replace(MEASURED, low=250.0, high=420.0, source="its load test")
    config = AutoscaleConfig(runs=1, policies=("static",), survive="none")
    record = autoscale(measured, SLO, trace(), config)
    assert finding(record, "L045") == "passed"
    assert finding(record, "L047") == "issue"
    assert finding(compared(trace(), policies=("static",), survive="zone"), "L047") == "passed"


def test_a_coarse_trace_is_said_to_be_one() -> None:
    """One rate an hour hides every ramp."""
    traffic = trace()
    coarse = type(traffic)("hourly", traffic.rates, traffic.step_s, spacing_s=3600.0)
    assert finding(compared(coarse, policies=("hpa-rps",)), "L046") == "issue"


def test_short_traces_are_simulated_request_by_request() -> None:
    """And come out the same for a seed."""
    crowd = trace("flash-crowd", 30.0, step_s=1.0)
    one, two = (compared(crowd, policies=("static", "knative"), seed=4) for _ in range(2))
    assert one.engine == "exact"
    assert one.digest == two.digest
    assert compared(crowd, policies=("static", "knative"), seed=5).digest != one.digest
    assert of_every_day().engine == "means"


def test_the_record_is_read_back_and_its_page_shows_it() -> None:
    """Tables and plots for people; the numbers of the record in both forms."""
    record = with_an_event()
    stored = Stored(envelope=Envelope(digest=record.digest), body=record)
    assert encode(decode(encode(stored), where="here")) == encode(stored)
    page = record_page(stored)
    shown, markup = text.render(page), html.render(page)
    for words in ("Policies that are to hold p99 <= 50 ms", "Schedule", "Replicas that answer",
                  "What a shorter cold start would be worth"):  # fmt: skip
        assert escape(words) in markup
        assert words in shown
    for title in ("Traffic", "Replicas that answer", "When the objective is missed"):
        assert f"{title}</title>" in markup
    assert "A replica-hour costs 0.1 USD" in shown


@pytest.mark.parametrize(
    ("measured", "config", "what"),
    [
        (MEASURED, AutoscaleConfig(policies=("hpb",)), "no policy is called 'hpb'"),
        (
            Measured(rate=1, service_ms=60, cv=0, concurrency=1, queue=9, cold_start_s=1),
            AutoscaleConfig(),
            "replicas",
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    measured: Measured, config: AutoscaleConfig, what: str
) -> None:
    """Unknown policies, and fleets beyond 5,000 replicas."""
    with pytest.raises(UsageError, match=what) as found:
        autoscale(measured, SLO, trace(peak=1e5), config)
    assert found.value.fix
