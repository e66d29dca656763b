"""``loadtest``: the record of what a server did."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from afterfit.core.dataset import Dataset
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError, UnavailableError, UsageError
from afterfit.loadtest.bodies import request_bodies
from afterfit.loadtest.config import LoadtestConfig
from afterfit.loadtest.run import loadtest

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURE = Signature(
    task="regression",
    columns=(
        Column(name="x", kind="number", nullable=True),
        Column(name="n", kind="integer", nullable=True),
        Column(name="flag", kind="boolean"),
        Column(name="word", kind="category", nullable=True),
    ),
)
DATA = Dataset(
    frame={
        "x": np.array([1.5, np.nan, 2.5]),
        "n": np.array([1.0, np.nan, 3.0]),
        "flag": np.array([True, False, True]),
        "word": np.array(["a", None, "ü"], dtype=object),
    }
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SHORT = LoadtestConfig(users=2, seconds=20.0, requests=600, warmup=5, timeout_s=2.0)


def test_a_good_server_gives_percentiles_with_intervals(answering: Callable[..., Any]) -> None:
    """600 answers: every number has its unit, n and interval; the record keeps its digest."""
    with answering(OK) as url:
        record = loadtest(url, SIGNATURE, DATA, SHORT, subject="b", settings={"workers": 1})
    assert msgspec.json.decode(record.encode(), type=type(record)).digest == record.digest
    assert (record.requests, record.errors, record.schedule) == (600, 0, "closed:2")
    metrics = {metric.name: metric for metric in record.metrics}
    assert set(metrics) == {"latency_p50_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms",
                            "throughput_rps", "error_rate"}  # fmt: skip
    p99 = metrics["latency_p99_ms"]
    assert (p99.unit, p99.n) == ("ms", 600)
    assert p99.value is not None
    assert p99.low is not None
    assert p99.high is not None
    assert p99.low <= p99.value <= p99.high
    assert metrics["error_rate"].value == 0.0
    assert metrics["error_rate"].high == pytest.approx(0.00636, abs=1e-4)
    assert metrics["throughput_rps"].value == pytest.approx(600 / record.duration_s)
    levels = [latency for _, latency in record.quantiles]
    assert levels == sorted(levels)
    outcomes = {finding.code: finding.outcome for finding in record.findings}
    assert outcomes == {"L001": "passed", "L002": "passed", "L003": "tip"}


def test_errors_are_an_issue_and_few_answers_have_no_upper_bound(
    server: Callable[..., Any],
) -> None:
    """Every second answer is a 503: half of the requests have no latency."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for count in range(1000):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
            writer.write(busy if count % 2 else OK)

    config = LoadtestConfig(users=1, seconds=20.0, requests=100, warmup=0, timeout_s=2.0)
    with server(half) as url:
        record = loadtest(url, SIGNATURE, DATA, config, subject="b")
    assert (record.requests, record.errors) == (100, 50)
    metrics = {metric.name: metric for metric in record.metrics}
    assert metrics["error_rate"].value == 0.5
    assert metrics["latency_p99_ms"].high is None
    issue, few = record.findings[:2]
    assert (issue.code, issue.outcome) == ("L001", "issue")
    assert "50 of 100 requests failed; the first: answered with 503" in issue.message
    assert (few.code, few.outcome, few.evidence["needed_n"]) == ("L002", "skipped", 368)


def test_a_server_that_refuses_every_row_makes_a_failed_record(
    answering: Callable[..., Any],
) -> None:
    """No latency is claimed; the first error has its status, not its body: it may quote a row."""
    with answering(b"HTTP/1.1 422 No\r\nContent-Length: 7\r\n\r\n$.rows!") as url:
        record = loadtest(url, SIGNATURE, DATA, SHORT, subject="b")
    assert msgspec.json.decode(record.encode(), type=type(record)).digest == record.digest
    assert record.status == "failed"
    assert record.quantiles == ()
    metrics = {metric.name: metric for metric in record.metrics}
    assert metrics["latency_p50_ms"].value is None
    assert metrics["error_rate"].value == 1.0
    assert "the first: answered with 422" in record.findings[0].message
    assert b"$.rows!" not in record.encode()


def test_a_server_that_never_answers_is_unavailable(server: Callable[..., Any]) -> None:
    """An error of exit code 2 with the first thing that went wrong."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    config = LoadtestConfig(seconds=0.3, timeout_s=0.2, warmup=1)
    with server(silent) as url, pytest.raises(UnavailableError, match="answered no request") as it:
        loadtest(url, SIGNATURE, DATA, config, subject="b")
    assert "no answer within 0.2 s" in it.value.why


def test_settings_that_send_nothing_and_data_without_rows_are_refused() -> None:
    """Neither becomes a division by zero."""
    for wrong in ({"users": 0}, {"requests": 0}, {"seconds": 0.0}, {"seconds": float("nan")}):
        with pytest.raises(UsageError):
            loadtest("http://127.0.0.1:1", SIGNATURE, DATA, LoadtestConfig(**wrong), subject="b")
    with pytest.raises(InputError, match="no rows"):
        loadtest("http://127.0.0.1:1", SIGNATURE, DATA.take(slice(0, 0)), SHORT, subject="b")


def test_bodies_are_the_users_rows_as_json() -> None:
    """Missing is null, booleans are booleans, and the same seed draws the same rows."""
    bodies = [msgspec.json.decode(body) for body in request_bodies(DATA, SIGNATURE, seed=1)]
    rows = sorted((body["rows"][0] for body in bodies), key=lambda row: str(row["word"]))
    assert rows == [
        {"x": None, "n": None, "flag": False, "word": None},
        {"x": 1.5, "n": 1.0, "flag": True, "word": "a"},
        {"x": 2.5, "n": 3.0, "flag": True, "word": "ü"},
    ]
    assert request_bodies(DATA, SIGNATURE, 1) == request_bodies(DATA, SIGNATURE, 1)
