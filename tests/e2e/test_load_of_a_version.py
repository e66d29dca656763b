"""A version under load, through the command line: rates, gates, faults, ctrl-C and bad input."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.runtime.bundles import people_bundle

from afterfit.cli.app import run
from afterfit.loadtest import endpoint, soak
from afterfit.loadtest.arrivals import Poisson
from afterfit.workspace import Workspace, load_faults, loading

MOST_SECONDS = 60.0
CHAMPION = "m@champion"
AT_THE_FRONT = """
import signal
# A job in the background of a shell inherits an ignored SIGINT; this one is at the front.
signal.signal(signal.SIGINT, signal.default_int_handler)
from afterfit.cli import main
main()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions of a model, the second of which is the champion."""
    folder = tmp_path_factory.mktemp("load")
    space = Workspace(folder / ".afterfit")
    for number, bias in enumerate((-3.0, -2.0), 1):
        people_bundle(folder / str(number), bias=bias)
        space.registry.register("m", folder / str(number), who="ada")
    space.promote("m", 2, override="a test")
    return folder


@pytest.fixture(autouse=True)
def _here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


@pytest.fixture(autouse=True)
def _in_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm-up, the calm after a fault and slow clients are short: no test asks how short."""
    monkeypatch.setattr(endpoint, "WARMUP_S", 0.1)
    monkeypatch.setattr(loading, "PROBE_S", 0.3)
    monkeypatch.setattr(soak, "CALM_S", 1.0)
    monkeypatch.setattr(load_faults, "SLOW_S", 2.0)


def asked(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code of a load test and the body of its record."""
    capfd.readouterr()
    code = run(["loadtest", *words, "--json"])
    found = json.loads(capfd.readouterr().out)
    assert found["error"] is None, found["error"]
    body: dict[str, Any] = found["result"]["body"]
    return code, body


def outcomes(body: dict[str, Any]) -> dict[str, str]:
    """Return code to outcome of the findings."""
    return {finding["code"]: finding["outcome"] for finding in body["findings"]}


def told(capfd: pytest.CaptureFixture[str], words: list[str]) -> str:
    """Return what a load test that is refused says."""
    capfd.readouterr()
    code = run(["loadtest", *words])
    said = capfd.readouterr()
    assert code == 2, said.out
    assert "Traceback" not in said.err
    assert "fix:" in said.err
    return said.err


@pytest.mark.slow
def test_a_rate_is_searched_certified_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """Its half second is kept by half of the requests: a few certify that."""
    words = ["--slo", "p50<500ms", "--seconds", "0.2", "--budget", "8s", "--certify", "0.4s"]
    code, body = asked(capfd, CHAMPION, *words)
    assert code == 0
    found = outcomes(body)
    assert found["L001"] == "passed"
    # A machine that others use may leave no time for it; then that is said.
    assert found.get("L004") == "passed" or found["L007"] == "issue"
    assert all(step["wrong"] == 0 for step in body["steps"])
    assert "double" in {step["kind"] for step in body["steps"]}


@pytest.mark.slow
def test_a_gate_holds_or_fails_and_writes_for_ci(capfd: pytest.CaptureFixture[str]) -> None:
    """A rate far below is certified; what no server holds is not, and the command exits with 1."""
    junit = ["--junit", "ci.xml", "--at", "60"]
    code, body = asked(capfd, CHAMPION, *junit, "--slo", "p50<200ms", "--certify", "0.8s")
    assert (code, body["certificate"]["rate"]) == (0, 60.0)
    assert ET.parse("ci.xml").getroot()[0].get("failures") == "0"  # noqa: S314 - ours
    # In ten microseconds nobody answers, whatever the machine: a rate may be too low one day.
    code, body = asked(capfd, CHAMPION, *junit, "--slo", "p50<0.01ms", "--certify", "0.8s")
    assert (code, body["certificate"]) == (1, None)
    assert ET.parse("ci.xml").getroot()[0].get("failures") == "1"  # noqa: S314 - ours
    assert run(["version", "show", CHAMPION]) == 0
    assert "At least 60.0 requests/s at p50" in capfd.readouterr().out


@pytest.mark.slow
def test_twice_what_it_carries_ends_and_loses_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    """Every request that was due is in the record, answered or not."""
    schedule = Poisson(15_000.0)
    code, body = asked(
        capfd, CHAMPION, "--schedule", schedule.name, "--seconds", "1.5", "--timeout", "3"
    )
    assert code == 0
    assert body["requests"] == len(schedule.times(1.5, 0))
    (step,) = body["steps"]
    good = round(step["achieved_rps"] * step["seconds"])
    assert good + step["errors"] + step["wrong"] == body["requests"]
    assert step["wrong"] == 0


@pytest.mark.slow
def test_it_is_compared_with_the_last_one(capfd: pytest.CaptureFixture[str]) -> None:
    """Two runs of a second: there are too few seconds to call anything worse, and that is told."""
    words = [CHAMPION, "--schedule", "poisson:40", "--seconds", "1"]
    _, first = asked(capfd, *words)
    code, body = asked(capfd, *words, "--baseline", "last", "--fail-on-slower")
    assert code == 0
    assert body["baseline"]
    assert set(body["verdicts"].values()) == {"cannot tell"}
    names = [{metric["name"] for metric in each["metrics"]} for each in (first, body)]
    assert names[1] == names[0] | set(body["verdicts"])


@pytest.mark.slow
def test_a_worker_dies_a_version_is_swapped_clients_are_slow_and_nothing_is_wrong(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each fault is made, its cost and the recovery are told, and no answer is another's."""
    words = ["--schedule", "poisson:50", "--seconds", "1", "--soak", "6s"]
    code, body = asked(capfd, "m@1", *words, "--faults", "kill", "swap", "slow")
    assert code == 0
    assert [fault["name"] for fault in body["faults"]] == ["kill", "swap", "slow"]
    assert all(fault["why"] == "" for fault in body["faults"]), body["faults"]
    assert all(fault["wrong"] == 0 for fault in body["faults"])
    assert all(fault["recovery_s"] is not None for fault in body["faults"])


def fires(pid: int) -> bool:
    """Return whether a process has started the generator of load."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with suppress(OSError):
        for child in children.read_text().split():
            if b"afterfit.loadtest.engine" in Path(f"/proc/{child}/cmdline").read_bytes():
                return True
    return False


@pytest.mark.slow
def test_ctrl_c_leaves_a_record_that_is_marked_as_partial(place: Path) -> None:
    """In the middle of a run: what was sent until then is told, and the exit code is 130."""
    words = ["loadtest", CHAMPION, "--schedule", "poisson:50", "--seconds", "50"]
    with (place / "said.txt").open("w") as errors, (place / "out.txt").open("w") as out:
        command = subprocess.Popen(
            [sys.executable, "-c", AT_THE_FRONT, *words],
            cwd=place,
            stdout=out,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        until = time.monotonic() + MOST_SECONDS
        while not fires(command.pid) and command.poll() is None:
            assert time.monotonic() < until, (place / "said.txt").read_text()
            time.sleep(0.1)
        time.sleep(2.0)
        command.send_signal(signal.SIGINT)
        assert command.wait(MOST_SECONDS) == 130, (place / "said.txt").read_text()
    shown = (place / "out.txt").read_text()
    assert "It was interrupted; what was measured until then is record" in shown
    digest = shown.rpartition("is record ")[2].strip()
    record = Workspace(place / ".afterfit").records.get(digest).body
    assert record.status == "partial"
    assert not Workspace(place / ".afterfit").records.verify()


@pytest.fixture(scope="module")
def free() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["http://127.0.0.1:{free}", "--users", "2"], "does not answer"),
        (["http://example.com", "--users", "2"], "--allow-remote"),
        (["http://", "--users", "2"], "http://"),
        ([CHAMPION, "--users", "2", "--data", "empty.csv"], "no rows"),
        ([CHAMPION, "--traffic", "back.csv"], "the times of the trace go back"),
        ([CHAMPION, "--traffic", "negative.csv"], "a time of the trace is negative"),
        ([CHAMPION, "--traffic", "words.csv"], "a time of the trace cannot be read"),
        ([CHAMPION, "--traffic", "absent.csv"], "absent.csv"),
        ([CHAMPION, "--users", "2", "--soak", "5s"], "a soak needs a rate"),
        ([CHAMPION, "--schedule", "poisson:1", "--users", "2"], "only one can be followed"),
        ([CHAMPION, "--schedule", "poisson:-1"], "a rate is more than 0"),
        ([CHAMPION, "--slo", "fast"], "no service-level objective"),
        ([CHAMPION, "--slo", "p99<50ms", "--budget", "soon"], "not a time"),
        ([CHAMPION, "--times", "3"], "says nothing without --traffic"),
        ([CHAMPION, "--at", "9"], "without an objective"),
        ([CHAMPION, "--users", "2", "--anyway"], "says nothing without --baseline"),
        ([CHAMPION, "--users", "2", "--baseline", "0123abcd"], "no record"),
        ([CHAMPION, "--slo", "p99<50ms", "--export", "k6"], "needs a rate"),
        ([CHAMPION, "--users", "2", "-o", "here"], "says nothing without --export"),
        (["m@9", "--users", "2"], "m"),
    ],
)
def test_what_cannot_be_tested_is_refused_with_a_fix(
    words: list[str], text: str, free: int, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, what and where and why, and what to do."""
    (place / "empty.csv").write_text("age,hours,job\n")
    (place / "back.csv").write_text("time\n0\n2\n1\n")
    (place / "negative.csv").write_text("time\n-3\n1\n")
    (place / "words.csv").write_text("time\nsoon\nlater\n")
    assert text in told(capfd, [word.format(free=free) for word in words])


@pytest.mark.slow
def test_an_objective_that_nothing_holds_ends_early_and_says_so(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of a microsecond: down to one request a second, and a finding of high severity."""
    # It begins at a quarter of that, near the end: each run of so low a rate takes two seconds.
    monkeypatch.setattr("afterfit.workspace.loading._Aim.usual_rps", lambda *_: 8.0)
    words = ["--slo", "p50<0.1us", "--seconds", "0.5", "--budget", "60s"]
    code, body = asked(capfd, CHAMPION, *words)
    assert code == 0
    assert outcomes(body)["L005"] == "issue"
    assert body["certificate"] is None
    assert sorted({step["rate"] for step in body["steps"]}) == [1.0, 2.0]


def test_requests_that_the_server_refuses_are_told_before_any_load(
    capfd: pytest.CaptureFixture[str], place: Path
) -> None:
    """A table with other columns: the first refusal is shown, and nothing is fired."""
    (place / "other.csv").write_text("age\n41\n")
    said = told(capfd, [CHAMPION, "--users", "2", "--data", "other.csv"])
    assert "the data lacks what the model has: hours, job" in said
