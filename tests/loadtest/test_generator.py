"""The generator against a real server in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.runtime.certificates import issue, make_authority

from afterfit.core.dataset import Dataset
from afterfit.core.signature import Column, Signature
from afterfit.errors import UnavailableError, UsageError
from afterfit.loadtest.arrivals import Closed, Constant, Offline, Poisson
from afterfit.loadtest.generator import Generator, Live, Means
from afterfit.loadtest.target import Ask, target_of, target_of_bodies

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE = Signature(task="regression", columns=(Column(name="x", kind="number"),))
DATA = Dataset(frame={"x": np.arange(40.0)})
BODIES = [b'{"rows": [{"x": %d}]}' % x for x in range(5)]


@contextmanager
def echo(*words: str) -> Iterator[tuple[str, int]]:
    """Yield the URL and the process of a server."""
    command = [sys.executable, str(Path(__file__).parent / "echo_server.py"), "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """A server that is right."""
    with echo() as running:
        yield running


def counted(url: str) -> int:
    """Return how many predictions the server was asked for."""
    with urllib.request.urlopen(f"{url}/count") as answer:  # noqa: S310 - our own server
        return int(json.load(answer)["count"])


def test_every_request_of_a_schedule_is_sent_once_and_told(server: tuple[str, int]) -> None:
    """Two processes share some 440 requests; the server counts as many, and each has its clocks."""
    url, pid = server
    seen: list[Live] = []
    before = counted(url)
    target = target_of_bodies(url, "/predict", BODIES)
    means = Means(processes=2, timeout_s=5.0)
    with Generator(target, means, pid=pid, on_second=seen.append) as generator:
        shot = generator.fire(Poisson(400), 1.1, 3)
        again = generator.fire(Constant(200), 0.5, 3)
    assert np.array_equal(shot.due, Poisson(400).times(1.1, 3))
    assert (shot.schedule, shot.rate, shot.seconds, shot.cut) == ("poisson:400", 400.0, 1.1, False)
    assert shot.good.all(), shot.first_error
    assert again.good.all(), again.first_error
    assert counted(url) - before == len(shot) + len(again)
    assert (shot.due <= shot.written).all()
    assert (shot.written <= shot.answered).all()
    # A record holds the lag in single precision.
    assert (shot.lag <= shot.written - shot.due + 1e-6).all()
    assert shot.seen["server_memory_bytes"] > 1 << 20
    assert 0 < shot.seen["generator_cpu"] < 2
    assert (seen[0].second, seen[0].errors) == (1, 0)
    assert seen[0].due_rps == np.count_nonzero(shot.due < 1)
    assert seen[0].p99_ms is not None


def test_a_frozen_server_is_seen_by_the_open_loop_and_hidden_by_the_closed() -> None:
    """It stands still for 1 s: every request that was due meanwhile waited, not only one."""
    with echo() as (url, pid):
        target = target_of_bodies(url, "/predict", BODIES)

        def freeze() -> None:
            time.sleep(0.2)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(1.0)
            os.kill(pid, signal.SIGCONT)

        found = {}
        with Generator(target, Means(timeout_s=5.0)) as generator:
            generator.fire(Constant(100), 0.05, 0)
            for arrivals in (Poisson(200), Closed(2, think_ms=1.0)):
                freezing = threading.Thread(target=freeze)
                freezing.start()
                shot = generator.fire(arrivals, 1.8, 1)
                freezing.join()
                assert shot.good.all(), shot.first_error
                found[arrivals.name] = np.quantile(shot.latency_ms, 0.99)
    assert found["poisson:200"] >= 900
    assert found["closed:2:1"] < 450


def test_mixed_up_answers_are_found_and_right_ones_are_not_blamed() -> None:
    """Each answer has an id of its own; every 20th is the answer to somebody else's row."""
    with echo() as (right, _), echo("mix") as (mixed, _):
        ask = Ask(distinct=30, seed=1)
        for url, expected in ((right, 0.0), (mixed, 0.05)):
            target = target_of(url, ask, data=DATA, signature=SIGNATURE)
            if url == mixed:
                # The quiet pass of a server that mixes up is wrong itself: ask the right one.
                target = target_of(right, ask, data=DATA, signature=SIGNATURE)
                target = type(target)(
                    address=target_of_bodies(mixed, "/predict", BODIES).address,
                    route=target.route,
                    requests=target.requests,
                    expected=target.expected,
                    volatile=target.volatile,
                    wrong=target.wrong,
                )
            with Generator(target) as generator:
                shot = generator.fire(Constant(400), 0.5, 1)
            assert shot.seen["unchecked"] == 0
            assert np.mean(shot.wrong) == pytest.approx(expected, abs=0.01)
            assert shot.good.sum() == len(shot) - shot.wrong.sum()


def test_a_server_with_tls_is_asked_if_its_certificate_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its authority is trusted as everywhere, by SSL_CERT_FILE; without that nothing is sent."""
    authority = make_authority(tmp_path, "authority")
    pair = issue(authority, tmp_path, "server")
    with echo("tls", str(pair.cert), str(pair.key)) as (url, _):
        secure = url.replace("http:", "https:")
        with pytest.raises(UnavailableError, match="does not answer") as caught:
            target_of(secure, Ask(distinct=5), data=DATA, signature=SIGNATURE)
        assert "certificate" in caught.value.why.lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
        target = target_of(secure, Ask(distinct=5), data=DATA, signature=SIGNATURE)
        with Generator(target) as generator:
            shot = generator.fire(Poisson(200), 0.5, 1)
        # Its processes know the authority by the variable as well: without it none is opened.
        monkeypatch.delenv("SSL_CERT_FILE")
        with Generator(target) as generator, pytest.raises(UnavailableError) as refused:
            generator.fire(Poisson(200), 0.5, 1)
    assert shot.good.all(), shot.first_error
    assert "certificate" in refused.value.why.lower()


def test_where_nothing_listens_is_told_before_any_load() -> None:
    """A port that was just given back, and settings that cannot be."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    target = target_of_bodies(f"http://127.0.0.1:{port}", "/predict", BODIES)
    with Generator(target) as generator:
        with pytest.raises(UnavailableError, match="no server answers"):
            generator.fire(Poisson(10), 1.0, 0)
        with pytest.raises(UsageError, match="no such run"):
            generator.fire(Poisson(10), 0.0, 0)
    wrongs: list[dict[str, Any]] = [{"processes": 0}, {"connections": 0}, {"timeout_s": 0.0}]
    for wrong in wrongs:
        with pytest.raises(UsageError):
            Means(**wrong)


def test_a_server_that_dies_fails_its_requests_and_ends_the_run() -> None:
    """Killed in the middle: what came before is good, what comes after has no answer."""
    with echo() as (url, pid):
        target = target_of_bodies(url, "/predict", BODIES)
        with Generator(target, Means(timeout_s=1.0)) as generator:
            generator.fire(Constant(100), 0.1, 0)
            killing = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
            killing.start()
            shot = generator.fire(Constant(100), 1.2, 0)
            killing.join()
    assert len(shot) == 120
    assert shot.good[:30].all()
    assert set(shot.status[-30:]) == {0}
    assert shot.first_error


def test_all_at_once_and_one_at_a_time(server: tuple[str, int]) -> None:
    """MLPerf's Offline and SingleStream: both send as many as they say."""
    url, _ = server
    target = target_of_bodies(url, "/predict", BODIES)
    with Generator(target, Means(connections=8)) as generator:
        offline = generator.fire(Offline(500), 1.0, 0)
        stream = generator.fire(Closed(1, requests=50), 5.0, 0)
    assert offline.good.all()
    assert (len(offline), offline.rate) == (500, 500.0)
    assert stream.good.all()
    assert len(stream) == 50
    assert (stream.due[1:] >= stream.answered[:-1]).all()
    assert stream.seen["seconds"] < 3


@pytest.fixture
def at_the_front() -> Iterator[None]:
    """A job in the background of a shell inherits an ignored SIGINT; this one is at the front."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("at_the_front")
def test_ctrl_c_gives_back_what_was_sent(server: tuple[str, int]) -> None:
    """Half a second into a minute: the run is cut, and its requests have ended."""
    url, _ = server
    target = target_of_bodies(url, "/predict", BODIES)
    with Generator(target) as generator:
        pressed = threading.Timer(0.8, os.kill, (os.getpid(), signal.SIGINT))
        pressed.start()
        started = time.monotonic()
        shot = generator.fire(Constant(100), 60.0, 0)
        assert time.monotonic() - started < 5
        interrupted = [generator.interrupted]
        # It is of use again.
        assert generator.fire(Constant(100), 0.2, 0).good.all()
        interrupted.append(generator.interrupted)
    assert interrupted == [True, False]
    assert shot.cut
    assert shot.good.all(), shot.first_error
    assert 10 < len(shot) < 200


def test_a_generator_that_dies_makes_the_run_invalid(server: tuple[str, int]) -> None:
    """Its process is killed: requests without a word of it are no fault of the server."""
    url, _ = server
    target = target_of_bodies(url, "/predict", BODIES)
    with Generator(target) as generator:
        generator.fire(Constant(100), 0.1, 0)
        killing = threading.Timer(0.3, os.kill, (generator._processes[0].pid, signal.SIGKILL))
        killing.start()
        shot = generator.fire(Constant(100), 1.0, 0)
        killing.join()
        assert len(shot) == 100
        assert "a process of the generator ended with code -9" in shot.invalid
        assert generator.fire(Constant(100), 0.1, 0).good.all()
