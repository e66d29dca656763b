"""A disk that fills, a sink that stalls, a model that hangs: the server goes on and says so."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.runtime.bundles import people_bundle
from tests.runtime.hostile.hosting import Hosted, hosted
from tests.runtime.traffic import DIES, HANGS, moody_bundle
from tests.runtime.waiting import until

from afterfit.runtime.client import Client
from afterfit.runtime.counts import read_counts
from afterfit.runtime.events import read_segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from afterfit.runtime.settings import WorkerSettings

ROW = {"age": 41.5, "hours": 38, "job": "nurse"}
DISK_KB = 64


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB; mounting one needs rights that not every user has."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT RUN: a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def ask(client: Client, rows: int = 20) -> None:
    """A prediction that has to be answered."""
    reply = client.post("/predict", {"rows": [ROW] * rows})
    assert reply.status == 200, reply
    assert len(reply.json()["predictions"]) == rows


def total(server: Hosted, client: Client, name: str) -> int:
    """A counter of the server's metrics."""
    return int(server.gauge(f"afterfit_{name}_total", client))


@pytest.mark.slow
def test_a_full_disk_costs_events_and_no_answer(small_disk: Path, tmp_path: Path) -> None:
    """It is said once in the log and counted; with room again, events are written again."""
    events = small_disk / "events"
    events.mkdir()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1024 * (DISK_KB - 24)))
    with (
        hosted(tmp_path, {"churn": people_bundle}, events=str(events)) as server,
        server.handle.client() as client,
    ):
        asked = 0

        def fails() -> bool:
            nonlocal asked
            ask(client)
            asked += 20
            return total(server, client, "events_failed") > 0

        until(fails, 20)
        (trouble,) = _wait_for(server, "events_trouble")
        assert "space" in trouble["why"]
        ballast.unlink()
        written = total(server, client, "events_written")

        def recovers() -> bool:
            nonlocal asked
            ask(client, rows=1)
            asked += 1
            time.sleep(0.3)
            return bool(server.lines("events_recovered"))

        until(recovers, 25)
        assert total(server, client, "events_written") > written
        assert total(server, client, "rows") == asked
        told = [line["event"] for line in server.lines()]
        assert told.count("events_trouble") == 1
        assert not {"error", "worker_ended"} & set(told)
        assert server.handle.admin.workers()["restarts"] == 0
    kept = [event for event in read_segments(events) if event.kind == "served"]
    assert len(kept) > written
    # Counts of all rows, those without an event too, once there was room for them.
    assert sum(window.fingerprint.n_ref for window in read_counts(events)) == asked


def test_counts_and_events_of_a_folder_that_goes_away_cost_no_answer(tmp_path: Path) -> None:
    """Somebody clears up while the server runs: it begins anew."""
    with (
        hosted(tmp_path, {"churn": people_bundle}) as server,
        server.handle.client() as client,
    ):
        ask(client)
        until(lambda: total(server, client, "events_written") == 20, 10)
        subprocess.run(["rm", "-rf", str(server.events)], check=True)
        for _ in range(10):
            ask(client)
        until(lambda: total(server, client, "events_written") == 220, 10)
        assert {line["event"] for line in server.lines()} <= {"ready", "events_trouble"}


@contextmanager
def stdout_to(descriptor: int) -> Iterator[None]:
    """What is started inside has this standard output."""
    kept = os.dup(1)
    os.dup2(descriptor, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@pytest.mark.slow
def test_a_sink_that_stalls_costs_events_and_no_answer(tmp_path: Path) -> None:
    """Standard output into a pipe that nobody reads, until somebody does."""

    def change(worker: WorkerSettings) -> WorkerSettings:
        return msgspec.structs.replace(worker, event_queue=500, events="-", counts="")

    reading, writing = os.pipe()
    with stdout_to(writing):
        context = hosted(tmp_path, {"churn": people_bundle}, change=change)
        server = context.__enter__()
    os.close(writing)
    try:
        with server.handle.client() as client:
            spent = []

            def drops() -> bool:
                for _ in range(10):
                    began = time.perf_counter()
                    ask(client)
                    spent.append(time.perf_counter() - began)
                return total(server, client, "events_dropped") > 1000

            until(drops, 20)
            assert sorted(spent)[len(spent) // 2] < 0.05
            (trouble,) = _wait_for(server, "events_trouble")
            assert trouble["why"]
            lines = _read_all(reading)
            until(lambda: _recovered(server, client), 25)
            written = total(server, client, "events_written")
            assert written >= 500
            until(lambda: len(lines) >= written - 50, 10)
        kinds = {msgspec.json.decode(line)["kind"] for line in lines}
        assert kinds == {"served"}
    finally:
        context.__exit__(None, None, None)


def _wait_for(server: Hosted, event: str) -> list[dict[str, Any]]:
    until(lambda: bool(server.lines(event)), 15)
    return server.lines(event)


def _recovered(server: Hosted, client: Client) -> bool:
    ask(client, rows=1)
    return bool(server.lines("events_recovered"))


def _read_all(descriptor: int) -> list[bytes]:
    """Lines that a thread reads until the other end is closed."""
    found: list[bytes] = []

    # A list grows line by line only where it is appended to.
    def append() -> None:
        with os.fdopen(descriptor, "rb") as file:
            for line in file:
                found.append(line)  # noqa: PERF402 - as said

    threading.Thread(target=append, daemon=True).start()
    return found


@pytest.mark.slow
def test_a_model_that_hangs_is_given_up_while_others_are_served(tmp_path: Path) -> None:
    """Its worker is replaced within seconds, with the process that hangs; it is said and told."""

    def make(folder: Path) -> str:
        return moody_bundle(folder).digest

    with hosted(tmp_path, {"moody": make}, workers=2, hang_seconds=2.5) as server:
        before = set(server.workers())
        hanging = threading.Thread(target=_hang, args=(server,), daemon=True)
        began = time.monotonic()
        with _asking(server, connections=12) as spent:
            hanging.start()
            until(lambda: bool(server.lines("worker_hung")), 15)
            assert time.monotonic() - began < 10
        answered = [seconds for each in spent for seconds in each]
        stuck = [seconds for seconds in answered if seconds > 1.25]
        assert any(each and max(each) < 1.25 for each in spent)
        hanging.join(5)
        assert not hanging.is_alive()
        until(lambda: len(set(server.workers())) == 2 and set(server.workers()) != before, 20)
        until(lambda: _ready(server) == 2, 20)
        assert len(answered) - len(stuck) > 20
        assert len(stuck) <= len(answered) - len(stuck)
        (told,) = server.lines("worker_hung")
        assert told["pid"] in before
        with server.handle.client() as client:
            assert total(server, client, "worker_hangs") == 1
            assert total(server, client, "worker_restarts") == 1
            assert client.post("/predict", {"rows": [{"age": 30, "hours": 40}]}).status == 200


@pytest.mark.slow
def test_a_model_that_dies_fails_its_request_and_the_next_is_served(tmp_path: Path) -> None:
    """A 5xx that tells no more than that, and a line in the log."""

    def make(folder: Path) -> str:
        return moody_bundle(folder).digest

    with (
        hosted(tmp_path, {"moody": make}) as server,
        server.handle.client() as client,
    ):
        good = {"rows": [{"age": 30, "hours": 40}]}
        before = client.post("/predict", good).json()["predictions"][0]["probabilities"]
        reply = client.post("/predict", {"rows": [{"age": DIES, "hours": 40}]})
        assert reply.status in {500, 503}
        assert b"Traceback" not in reply.body
        assert b"moody" not in reply.body
        until(lambda: client.post("/predict", good).status == 200, 15)
        after = client.post("/predict", good).json()["predictions"][0]["probabilities"]
        assert after == before


def _hang(server: Hosted) -> None:
    try:
        with server.handle.client(timeout=30) as client:
            client.post("/predict", {"rows": [{"age": HANGS, "hours": 40}]})
    except Exception:  # noqa: BLE001 - the connection ends with its worker
        return


@contextmanager
def _asking(server: Hosted, connections: int) -> Iterator[list[list[float]]]:
    """Ask over so many connections meanwhile; yields what each request of each took, in s.

    A connection stays with its worker, so those of one that hangs wait and the others do not.
    """
    spent: list[list[float]] = [[] for _ in range(connections)]
    over = threading.Event()
    replies: set[int] = set()

    def go_on(times: list[float]) -> None:
        with Client(server.handle.url, timeout=20) as client:
            while not over.is_set():
                began = time.monotonic()
                reply = client.post("/predict", {"rows": [{"age": 30, "hours": 40}]})
                replies.add(reply.status)
                times.append(time.monotonic() - began)
                time.sleep(0.02)

    asking = [threading.Thread(target=go_on, args=(each,), daemon=True) for each in spent]
    for each in asking:
        each.start()
    until(lambda: all(spent), 10)
    yield spent
    over.set()
    for each in asking:
        each.join(25)
    assert replies == {200}


def _ready(server: Hosted) -> int:
    return sum(worker["ready"] for worker in server.handle.admin.workers()["workers"])
