"""Each row of the table, broken once: it is found and named; a right server passes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.robustness.endpoint.model_server import Server

from afterfit.records.robustness_endpoint import EndpointCase, RobustnessEndpointRecord
from afterfit.robustness.endpoint.catalog import CHECKS
from afterfit.robustness.endpoint.config import EndpointConfig
from afterfit.robustness.endpoint.memory import server_pids
from afterfit.robustness.endpoint.run import robustness_endpoint

# The check that is broken, and the code of the finding that names it.
FAULTS = {
    "service.ready": "R050",
    "service.missing": "R049",
    "service.missing-ready": "R050",
    "service.get": "R048",
    "service.head": "R048",
    "rows.twice": "R043",
    "rows.alone": "R044",
    "rows.order": "R044",
    "rows.field-order": "R045",
    "rows.concurrent": "R046",
    "rows.constant": "R047",
    "rows.far": "R047",
    "request.empty-object": "R030",
    "request.empty-body": "R030",
    "request.no-rows": "R030",
    "request.missing-field": "R030",
    "request.extra-field": "R030",
    "request.wrong-type": "R030",
    "request.empty-text": "R030",
    "request.wrong-shape": "R030",
    "request.bad-json": "R030",
    "request.bad-charset": "R030",
    "request.content-type": "R030",
    "nonfinite.tokens": "R034",
    "nonfinite.texts": "R034",
    "nonfinite.overflow": "R034",
    "null.declared": "R036",
    "extreme.range": "R035",
    "extreme.tiny": "R032",
    "extreme.minus-zero": "R037",
    "extreme.int64": "R032",
    "extreme.float32": "R032",
    "words.unseen": "R033",
    "words.spelling": "R032",
    "words.unicode": "R032",
    "words.long": "R032",
    "connection.slow": "R040",
    "connection.pieces": "R053",
    "connection.truncated": "R041",
    "connection.half-closed": "R040",
    "payload.batch": "R032",
    "payload.large": "R038",
    "payload.deep": "R032",
    "payload.gzip-bomb": "R038",
    "payload.header": "R038",
}
STOPPING = ("payload.deep", "payload.gzip-bomb", "payload.header")


def examined(server: Server, *only: str, timeout: float = 5.0) -> RobustnessEndpointRecord:
    """The record of some checks of a server."""
    config = EndpointConfig(only=only, timeout=timeout, seconds=30)
    return robustness_endpoint(server.url, config)


def case_of(record: RobustnessEndpointRecord, check: str) -> EndpointCase:
    """The case of a check."""
    return next(case for case in record.cases if case.check == check)


def test_nothing_is_wrong_with_a_right_server() -> None:
    """Every check passes; the run is short, and its findings say how much was looked at."""
    begun = time.monotonic()
    with Server() as server:
        record = examined(server)
        assert server.requests >= record.requests > 100
    assert [c for c in record.cases if c.status != "pass"] == []
    assert [c.check for c in record.cases] == [check.id for check in CHECKS]
    assert (record.ending, record.status, record.route) == ("finished", "complete", "/predict")
    assert {f.outcome for f in record.findings} == {"passed", "not_applicable"}
    assert time.monotonic() - begun < 30


def test_every_check_has_a_fault_that_it_finds() -> None:
    """No check is without its proof."""
    assert set(FAULTS) == {check.id for check in CHECKS}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(fault: str) -> None:
    """The check fails with the code of its finding, the request to send again and the answer."""
    with Server(frozenset({fault})) as server:
        record = examined(server, fault, timeout=1.0)
    (case,) = record.cases
    assert (case.status, case.code) == ("fail", FAULTS[fault]), case
    assert case.why
    assert case.command
    assert case.came
    issues = {f.code: f for f in record.findings if f.outcome in {"issue", "tip"}}
    assert set(issues) == {FAULTS[fault]}
    assert issues[FAULTS[fault]].where == fault
    assert (issues[FAULTS[fault]].outcome == "issue") == (case.level == "must")


def test_a_refusal_without_the_field_is_found() -> None:
    """The status is right, and the words help nobody."""
    with Server(frozenset({"unnamed"})) as server:
        case = case_of(examined(server, "request"), "request.missing-field")
    assert (case.status, case.level, case.code) == ("fail", "must", "R031")
    assert "names none of 'hours'" in case.why


def test_harm_to_the_next_request_is_found() -> None:
    """A server that refuses everybody after one strange request fails that check."""
    with Server(frozenset({"afterwards"})) as server:
        record = examined(server, "payload.deep")
    case = case_of(record, "payload.deep")
    assert (case.code, case.level) == ("R042", "must")
    assert "the next right request got 429" in case.why
    assert "xz -dc | curl" in case.command


@pytest.mark.parametrize(("fault", "ending"), [("dies", "died"), ("hangs", "hung")])
def test_a_server_that_stops_ends_the_run(fault: str, ending: str) -> None:
    """The check is named, the rest is skipped with the reason, and nothing is raised."""
    with Server(frozenset({fault})) as server:
        record = examined(server, *STOPPING, timeout=1.0)
        server.hung = False
    assert (record.ending, record.ended_by, record.status) == (ending, "payload.deep", "partial")
    case = case_of(record, "payload.deep")
    assert (case.status, case.code, case.level) == ("fail", "R051", "must")
    later = [c for c in record.cases if c.check != "payload.deep"]
    assert [c.status for c in later] == ["skipped"] * 2
    assert all("after payload.deep" in c.why for c in later)
    not_run = next(f for f in record.findings if f.code == "R052")
    assert not_run.outcome == "skipped"
    assert not_run.message.startswith("2 of 3 checks did not run")


def test_the_time_of_the_run_is_kept() -> None:
    """What was not reached is told as skipped, not as passed."""
    with Server() as server:
        # One check alone takes that long, so that the time is over on any machine.
        config = EndpointConfig(seconds=1.0)
        begun = time.monotonic()
        record = robustness_endpoint(server.url, config)
    assert (record.ending, record.status) == ("out_of_time", "partial")
    assert time.monotonic() - begun < 10
    assert "skipped" in {case.status for case in record.cases}


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_memory_that_grows_is_found() -> None:
    """The processes that listen on the port are watched while large requests are sent."""
    with Server() as free:
        port = free.port
    script = Path(__file__).with_name("model_server.py")
    server = subprocess.Popen(
        [sys.executable, str(script), str(port), "hoard", "payload.large"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        assert server_pids(port) == {server.pid}
        config = EndpointConfig(only=("payload.large", "payload.header"), growth_mb=100)
        record = robustness_endpoint(f"http://127.0.0.1:{port}", config)
    finally:
        server.communicate()
    case = case_of(record, "payload.large")
    assert (case.code, case.level) == ("R039", "must"), case
    assert "100 MB are allowed" in case.why
    assert record.growth_bytes is not None
    assert record.growth_bytes > 100 << 20
    assert case_of(record, "payload.header").status == "pass"
