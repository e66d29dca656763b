"""The arithmetic and the safeguards of the side-by-side serving benchmark."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MODULES = ("load", "machine", "measure", "peers", "process", "subject", "summary")


@pytest.fixture(name="bench")
def _bench(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The benchmark's modules by name; they import each other as scripts of one folder do."""
    monkeypatch.syspath_prepend(project_root / "bench" / "serving")
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name)


def measurement(peer: str, number: int, rate: float, cpu: float = 10.0) -> dict[str, Any]:
    """One measurement with the numbers that do not matter here set to 1."""
    rest = dict.fromkeys(("single_p50_us", "server_core_share", "ready_s", "memory_mb"), 1.0)
    numbers = {"requests_per_second": rate, "cpu_us_per_request": cpu}
    return {"peer": peer, "round": number, **numbers, **rest}


def test_ratios_are_taken_within_a_round(bench: dict[str, Any]) -> None:
    """The median of the ratios of pairs (3), which is not the ratio of the medians (2)."""
    rates = {"afterfit": (100.0, 200.0, 300.0), "other": (100.0, 50.0, 100.0)}
    seen = [
        measurement(peer, number, rate)
        for peer, values in rates.items()
        for number, rate in enumerate(values)
    ]
    times = bench["summary"].summarise(seen)["other"]["times"]
    assert times == {"median": 3.0, "low": 1.0, "high": 4.0}


def test_a_round_without_its_pair_makes_no_ratio(bench: dict[str, Any]) -> None:
    """Two measurements of a peer, one of the base: one ratio, and both rates count."""
    seen = [
        measurement("afterfit", 1, 100.0, cpu=20.0),
        measurement("other", 1, 50.0, cpu=60.0),
        measurement("other", 2, 10.0),
    ]
    other = bench["summary"].summarise(seen)["other"]
    assert other["n"] == 2
    assert other["requests_per_second"] == {"median": 30.0, "low": 10.0, "high": 50.0}
    assert other["times"]["median"] == 2.0
    assert other["times_cpu"]["median"] == 3.0


def test_without_the_base_the_table_says_so(bench: dict[str, Any]) -> None:
    """The fastest comes first; a ratio that does not exist is not invented."""
    seen = [measurement("slow", 1, 1234.5), measurement("fast", 1, 45678.9)]
    summary = bench["summary"].summarise(seen)
    lines = bench["summary"].table(summary, {"slow": "Slow", "fast": "Fast"}).splitlines()
    assert lines[2].startswith("| Fast | 45,679 (45,679 to 45,679) | not measured | not measured |")
    assert lines[3].startswith("| Slow | 1,234 (")


def test_an_answer_is_right_within_the_tolerance_only(bench: dict[str, Any]) -> None:
    """Too far, not a number and of another shape are all wrong."""
    expected = np.array([[0.25, 0.75]] * 4)
    answers = expected + np.array([[0.0], [9e-6], [1.1e-5], [np.nan]])
    wrong = bench["subject"].wrong_answers
    assert wrong(answers, expected) == 2
    assert wrong(answers[:, :1], expected) == 4
    assert wrong(np.empty((0,)), expected) == 4


def test_requests_a_second_are_of_the_time_that_wrk_ran(bench: dict[str, Any]) -> None:
    """Requests over wrk's own duration, which is longer than asked for."""
    output = (
        'Running 5s test\nRESULT {"requests":5020,"duration_us":5020000,"p50_us":31,"p99_us":90,'
        '"errors":{"connect":0,"read":0,"write":0,"status":0,"timeout":0}}\n'
    )
    seen = bench["load"].parse(output, wrk_cpu_s=2.51)
    assert (seen.requests_per_second, seen.p50_us) == (pytest.approx(1000.0), 31)
    assert seen.wrk_cpu_s == 2.51


@pytest.mark.parametrize(
    ("others", "kept", "attempts"), [((0.05, 0.0), 0.05, 1), ((0.5, 0.2, 0.4, 0.0), 0.2, 3)]
)
def test_a_disturbed_measurement_is_taken_again(
    bench: dict[str, Any], others: tuple[float, ...], kept: float, attempts: int
) -> None:
    """The first quiet one counts, whatever it measured; after three the least disturbed one."""
    plan = bench["measure"].Plan(5, 5.0, 2.0, 2.0, 32, 0, 1, 0, quiet=0.1, attempts=3)
    coming = iter(others)
    one = bench["measure"]._undisturbed(plan, lambda: {"disturbed_share": next(coming)})
    assert one == {"disturbed_share": kept, "attempts": attempts}


@pytest.mark.parametrize(
    ("busy", "own", "share"),
    [
        ((10.0, 10.0), (9.0, 2.0), 0.1),  # work beside wrk that holds nobody up
        ((7.0, 10.0), (7.0, 5.0), 0.3),  # the server waits for a wrk that shares its core
        ((7.0, 5.0), (7.0, 5.0), 0.0),  # the server waits by itself
        ((8.0, 6.0), (7.0, 5.0), 0.2),
    ],
)
def test_disturbed_is_what_the_server_could_not_have(
    bench: dict[str, Any], busy: tuple[float, ...], own: tuple[float, ...], share: float
) -> None:
    """In ten seconds: others on the server's core, and its idle time while others kept wrk."""
    assert bench["measure"].disturbed(10.0, busy, own) == pytest.approx(share)


@pytest.mark.parametrize("kind", ["connect", "read", "write", "status", "timeout"])
def test_one_error_of_any_kind_fails_the_measurement(bench: dict[str, Any], kind: str) -> None:
    """A rate with errors in it is no result."""
    errors = dict.fromkeys(("connect", "read", "write", "status", "timeout"), 0) | {kind: 1}
    told = f'{{"requests":9,"duration_us":1,"p50_us":1,"p99_us":1,"errors":{errors}}}'
    with pytest.raises(bench["process"].BenchError, match=kind):
        bench["load"].parse(f"RESULT {told}".replace("'", '"'), 0.0)


def test_a_missing_tool_is_named_with_its_package(
    bench: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without wrk and taskset the way to install them is told."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bench["process"].BenchError, match="apt-get install wrk util-linux"):
        bench["load"].require_tools()


def test_every_peer_is_pinned_and_asked_with_its_own_body(
    bench: dict[str, Any], project_root: Path
) -> None:
    """Each environment names exact versions; each body holds the 30 values of the row."""
    row = [float(value) for value in range(30)]
    for peer in bench["peers"].CATALOGUE:
        assert all(str(value) in str(peer.body(row)) for value in row), peer.name
        if peer.environment:
            folder = project_root / "bench" / "serving" / "peers" / peer.environment
            lines = (folder / "requirements.txt").read_text().splitlines()
            pins = [line for line in lines if line and not line.startswith("#")]
            assert pins, peer.name
            assert all("==" in pin for pin in pins), peer.name


needs_taskset = pytest.mark.skipif(not shutil.which("taskset"), reason="taskset is missing")
needs_wrk = pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing")


def lives(pid: int) -> bool:
    """Whether the process runs or sleeps; one that is dead and not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@needs_taskset
def test_a_server_is_ended_with_all_that_it_started(bench: dict[str, Any], tmp_path: Path) -> None:
    """Also a grandchild that made a session of its own and takes no SIGTERM."""
    process = bench["process"]
    deaf = "trap '' TERM; echo $$ > grandchild; while true; do sleep 0.1; done"
    (tmp_path / "deaf.sh").write_text(deaf)
    launch = process.Launch(["sh", "-c", "setsid sh deaf.sh & wait"], tmp_path, {})
    told = tmp_path / "grandchild"
    core = min(os.sched_getaffinity(0))
    process.GRACE_S = 0.3
    with process.Server(launch, core, 0, tmp_path / "log") as server:
        while not (told.exists() and told.read_text().strip()):
            assert not server.ended()
        pid = int(told.read_text())
        assert server.memory_mb() > 0
        assert lives(pid)
    assert not lives(pid)


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server on this machine that answers every POST with that status."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_arguments: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/predict"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@needs_taskset
@needs_wrk
def test_wrk_posts_the_bodies_and_sees_statuses(bench: dict[str, Any], tmp_path: Path) -> None:
    """With the real tool: 200 counts, 503 fails the measurement."""
    load = bench["load"]
    wrk = load.Wrk(tmp_path, core=min(os.sched_getaffinity(0)), niceness=0)
    load.write_bodies(tmp_path / "bodies", [{"row": 1}, {"row": 2}])
    with answering(200) as url:
        assert wrk.run(url, tmp_path / "bodies", connections=2, seconds=1).requests > 0
    with answering(503) as url, pytest.raises(bench["process"].BenchError, match="status"):
        wrk.run(url, tmp_path / "bodies", connections=2, seconds=1)
