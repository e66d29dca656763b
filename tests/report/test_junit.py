"""A JUnit file: what decides the exit code fails, findings are told."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import msgspec
from tests.report.samples import loadtest_record

from afterfit.loadtest.findings import ErrorsUnderLoad, TooFewRequests
from afterfit.records.codec import Stored
from afterfit.records.record import Envelope
from afterfit.report.junit import Demand, junit


def test_demands_fail_findings_are_told_and_texts_are_escaped() -> None:
    """As many tests as there are, and text that XML has no place for is replaced."""
    findings = (
        ErrorsUnderLoad.issue("3 of 9 failed: <b>&\x00", fix="look"),
        TooFewRequests.skipped("9 answers"),
    )
    body = msgspec.structs.replace(loadtest_record(), findings=findings)
    envelope = Envelope(digest="d" * 64, created="2026-11-23T14:05:00Z", duration_s=2.5)
    demands = [Demand("fast", met=True, told="it is"), Demand("sure", met=False, told='"no"')]
    root = ET.fromstring(junit(Stored(envelope=envelope, body=body), demands))  # noqa: S314 - ours
    suite = root[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped", "errors")} == {
        "tests": "4",
        "failures": "1",
        "skipped": "1",
        "errors": "0",
    }
    assert suite.get("time") == "2.500"
    told = {case.get("name"): case[0] for case in suite}
    assert told["sure"].tag == "failure"
    assert told["sure"].get("message") == '"no"'
    assert told["fast"].tag == "system-out"
    assert told["L002"].tag == "skipped"
    assert (told["L001"].text or "").startswith("issue: 3 of 9 failed: <b>&?\nFix: look")
