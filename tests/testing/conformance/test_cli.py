"""``afterfit conform`` on the command line, and its page in the docs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.testing.conformance.faults import FAULTS
from tests.testing.conformance.reference import Fault, Reference

from afterfit.cli.app import run
from afterfit.testing import conformance

if TYPE_CHECKING:
    from pathlib import Path

Shown = pytest.CaptureFixture[str]


def fault_of(check: str) -> Fault:
    """A fault that fails a check."""
    return next(wrong for wrong in FAULTS if wrong.checks == check).make()


def test_a_right_server_exits_0_with_the_counts(capsys: Shown) -> None:
    """A line of what was checked, and a table by level."""
    with Reference() as server:
        assert run(["conform", server.url, "--model", "mixed"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        f"mixed at {server.url} (reference 1.0): {len(conformance.CHECKS)} checks"
    )
    musts = sum(check.level == "must" for check in conformance.CHECKS)
    assert f"must       {musts}      0" in text
    assert "failed  check" not in text


def test_a_failed_must_exits_1_with_its_clause_and_what_was_sent_and_came(capsys: Shown) -> None:
    """The table has the clause, and below it stand the request and the answer."""
    with Reference(fault_of("infer.model-name")) as server:
        assert run(["conform", server.url, "--model", "mixed"]) == 1
    text = capsys.readouterr().out
    section = "Inference Response  model_name is the model that was asked"
    assert f"must    infer.model-name  {section}" in text
    assert "  why: model_name is 'other'" in text
    assert "  sent: POST /v2/models/mixed/infer" in text
    assert '  came: 200 (application/json) {"model_name": "other"' in text


@pytest.mark.parametrize("check", ["infer.no-id", "binary.nan"])
def test_a_failure_of_another_level_exits_1_only_when_strict(check: str, capsys: Shown) -> None:
    """It is shown in both cases."""
    with Reference(fault_of(check)) as server:
        assert run(["conform", server.url, "--model", "mixed"]) == 0
        assert check in capsys.readouterr().out
        assert run(["conform", server.url, "--model", "mixed", "--strict"]) == 1


def test_json_has_every_outcome_and_the_verdict(capsys: Shown) -> None:
    """A failed clause is ok: true, exit: 1, as a failed gate is."""
    with Reference(fault_of("infer.model-name")) as server:
        assert run(["conform", server.url, "--json"]) == 1
    envelope: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (envelope["ok"], envelope["exit"], envelope["command"]) == (True, 1, "conform")
    result = envelope["result"]
    assert result["conforms"] is False
    assert result["model"] == "mixed"
    assert result["counts"]["must"]["fail"] == 1
    assert [o["check"] for o in result["outcomes"]] == [c.id for c in conformance.CHECKS]


def test_all_lists_every_check(capsys: Shown) -> None:
    """Also what passed, and why the rest does not apply."""
    with Reference() as server:
        assert run(["conform", server.url, "--model", "plain", "--all"]) == 0
    text = capsys.readouterr().out
    assert all(check.id in text for check in conformance.CHECKS)
    assert "not_applicable  the model has one output" in text


def test_what_was_skipped_is_told_with_its_reason(capsys: Shown) -> None:
    """One line for a reason, not one for each check."""
    with Reference(fault_of("infer.accepted")) as server:
        assert run(["conform", server.url, "--model", "mixed"]) == 1
    text = capsys.readouterr().out
    assert "skipped version.infer" in text
    assert text.count("no request was accepted: see infer.accepted") == 1


def test_rows_and_headers_come_from_the_command_line(tmp_path: Path, capsys: Shown) -> None:
    """The file of --input is a request; --header may be given again."""
    path = tmp_path / "request.json"
    x = {"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [7.25, 8, 9]}
    path.write_text(json.dumps({"inputs": [x]}))
    more = ["--input", str(path), "--header", "x-a: 1", "--header", "x-b: two words"]
    with Reference() as server:
        assert run(["conform", server.url, "--model", "plain", "--version", "2", *more]) == 0
    assert {(r.headers.get("x-a"), r.headers.get("x-b")) for r in server.seen} == {
        ("1", "two words")
    }
    assert any(b"7.25" in r.body for r in server.seen)
    assert "plain version 2 at" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--header", "no colon"], "not a header"),
        (["--header", "a b: c"], "not a header"),
        (["--header", "a: b\r\nc: d"], "not a header"),
        (["--header", "a: ü"], "not a header"),
        (["--input", "no-such-file.json"], "no such file"),
        (["--input", "."], "cannot read ."),
        (["--timeout", "0"], "no time for an answer"),
        (["--timeout", "nan"], "no time for an answer"),
        (["--seed", "-1"], "negative"),
        (["--model", "none"], "no model 'none'"),
    ],
)
def test_wrong_usage_exits_2(more: list[str], told: str, capsys: Shown) -> None:
    """With what is wrong, and without a traceback."""
    with Reference() as server:
        assert run(["conform", server.url, *more]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "defect" not in error


def test_a_file_that_is_no_json_exits_2(tmp_path: Path, capsys: Shown) -> None:
    """The error names the file."""
    path = tmp_path / "request.json"
    path.write_bytes(b"\xff{")
    assert run(["conform", "http://127.0.0.1:1", "--input", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_a_server_that_cannot_be_reached_exits_2(capsys: Shown) -> None:
    """Kind unavailable, with a command that shows it."""
    assert run(["conform", "http://127.0.0.1:1", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "unavailable"
    assert error["fix"] == "curl -i http://127.0.0.1:1/v2"


def test_the_page_has_every_check_with_its_clause(project_root: Path) -> None:
    """The table that the benchmark writes is that of the code."""
    page = (project_root / "docs" / "reference" / "conform.md").read_text("utf-8")
    rows = [
        f"| `{check.id}` | {check.level} | {check.section} | {check.sense} |"
        for check in conformance.CHECKS
    ]
    assert [row for row in rows if row not in page] == []


def test_the_page_has_both_tables_with_dates_and_versions(project_root: Path) -> None:
    """They are those of the results that are kept beside the benchmark."""
    page = (project_root / "docs" / "reference" / "conform.md").read_text("utf-8")
    path = project_root / "bench" / "conformance" / "results.json"
    results: dict[str, Any] = json.loads(path.read_text("utf-8"))
    assert set(results) == {"afterfit", "mlserver"}
    for name, result in results.items():
        assert f"{result['date']}\n\n{name} {result['packages'][name]}" in page
        for report in result["reports"].values():
            assert [o["check"] for o in report["outcomes"]] == [c.id for c in conformance.CHECKS]
