"""Models that are too busy, too late, broken or hung: who answers then, and who is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.runtime.traffic import DIES, HANGS, SLEEPS, divide, moody_bundle
from tests.runtime.waiting import until

from afterfit.core.bundle import Bundle, write_manifest
from afterfit.core.event import FLAG_STAND_IN
from afterfit.errors import UnavailableError, UsageError
from afterfit.runtime.batch import BatchSettings
from afterfit.runtime.client import Client, HttpReply
from afterfit.runtime.endpoint import StandIn
from afterfit.runtime.events import read_segments
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.slots import Slot, SlotKey
from afterfit.runtime.traffic import Constant
from afterfit.runtime.watchdog import descendants, end_tree, hung_seconds
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROW = {"age": 40.0, "hours": 40}
MARK = "x-afterfit-stand-in"


@pytest.fixture(scope="module")
def moody(tmp_path_factory: pytest.TempPathFactory) -> ServedBundle:
    """A model that hangs, dies or sleeps when it is told."""
    return moody_bundle(tmp_path_factory.mktemp("moody") / "bundle")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> ServedBundle:
    """Version 2 of it: the same contract, without the moods."""
    folder = tmp_path_factory.mktemp("calm") / "bundle"
    moody_bundle(folder)
    (folder / "code" / "moody.py").write_text(
        "import numpy as np\n\n\ndef predict(table):\n"
        "    second = 1 / (1 + np.exp(-(0.05 * table['age'] + 0.01 * table['hours'])))\n"
        "    return np.column_stack([1 - second, second])\n"
    )
    return ServedBundle(2, write_manifest(folder).digest, folder)


@pytest.fixture
def server(tmp_path: Path, moody: ServedBundle) -> Iterator[ServerHandle]:
    """The moody model on one worker; one row may wait, and every call runs in a thread."""
    batching = BatchSettings(queue_rows=1, inline_ms=0.0)
    events = str(tmp_path / "events")
    config = ServeConfig(port=0, events=events, batching=batching, hang_seconds=2, grace_seconds=3)
    with start_server({"churn": moody}, config, tmp_path / "state") as handle:
        yield handle


def asked(server: ServerHandle, row: dict[str, Any], **headers: str) -> HttpReply:
    """The answer to one row, on a connection of its own."""
    with server.client() as client:
        body = msgspec.json.encode({"rows": [row]})
        return client.request("POST", "/predict", body, **headers)


class Asking(threading.Thread):
    """A client that waits for its answer beside the test."""

    def __init__(self, server: ServerHandle, row: dict[str, Any]) -> None:
        super().__init__()
        self.server, self.row = server, row
        self.reply: HttpReply | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Ask."""
        try:
            self.reply = asked(self.server, self.row)
        except UnavailableError as error:
            self.error = error


def busy(server: ServerHandle) -> bool:
    """Whether a worker is in a call of the model."""
    return any(worker.busy_seconds > 0 for worker in server.admin.status().workers)


def totals(server: ServerHandle) -> dict[str, Any]:
    """What was counted of the primary."""
    (primary, *_) = server.admin.status().models["churn"].roles
    return msgspec.structs.asdict(primary.total)


def test_a_constant_answers_for_a_model_that_is_busy_late_or_broken(
    server: ServerHandle, moody: ServedBundle, tmp_path: Path
) -> None:
    """Each answer is marked, counted by its reason, and an event with a flag."""
    divide(server, [moody], stand_in=StandIn(constant="no"))
    plain = asked(server, ROW)
    assert (plain.status, MARK in plain.headers) == (200, False)
    broken = asked(server, {**ROW, "age": DIES})
    first = Asking(server, {**ROW, "age": SLEEPS + 1.0})
    until(lambda: busy(server))
    waiting = Asking(server, ROW)
    with server.client() as client:
        body = msgspec.json.encode({"rows": [ROW]})
        until(lambda: "afterfit_connections 3" in client.get("/metrics").body.decode())
        overloaded = client.request("POST", "/predict", body)
        while MARK not in overloaded.headers:
            overloaded = client.request("POST", "/predict", body)
    first.join()
    waiting.join()
    for reply in (broken, overloaded):
        assert reply.status == 200
        assert reply.headers[MARK] == "constant"
        (prediction,) = reply.json()["predictions"]
        assert (prediction["label"], prediction["probabilities"]) == ("no", {"no": 1.0, "yes": 0.0})
        assert (reply.json()["version"], reply.json()["digest"]) == (0, "")
    totals_before = totals(server)
    assert totals_before["defect"] == 1
    assert totals_before["busy"] >= 1
    with server.client() as client:
        text = client.get("/metrics").body.decode()
    assert (
        'afterfit_stand_in_total{model="churn",version="1",role="primary",reason="defect"} 1'
        in text
    )
    server.stop()
    written = list(read_segments(tmp_path / "events"))
    stood = [event for event in written if FLAG_STAND_IN in event.flags]
    marked = 1 + sum(totals_before[reason] for reason in ("busy", "late"))
    assert len(stood) == marked
    assert {(event.digest, event.label, event.role) for event in stood} == {("", "no", "primary")}
    assert [event.kind for event in written if event.kind != "served"] == ["failed"]


def test_a_late_request_is_answered_by_the_constant_in_place_of_504(
    server: ServerHandle, moody: ServedBundle
) -> None:
    """Its deadline passed while the model was busy; without a stand-in it is a 504."""
    for stand_in, status in ((None, 504), (StandIn(constant="yes"), 200)):
        divide(server, [moody], stand_in=stand_in)
        first = Asking(server, {**ROW, "age": SLEEPS + 0.5})
        until(lambda: busy(server))
        reply = asked(server, ROW, x_request_timeout_ms="50")
        first.join()
        assert reply.status == status
    assert reply.headers[MARK] == "constant"
    assert reply.json()["predictions"][0]["label"] == "yes"
    assert totals(server)["late"] == 1


def test_another_version_stands_in_under_its_own_number(
    server: ServerHandle, moody: ServedBundle, calm: ServedBundle
) -> None:
    """What the client did wrong is still the client's; a request for the version gets no other."""
    divide(server, [moody, calm], stand_in=StandIn(digest=calm.digest))
    reply = asked(server, {**ROW, "age": DIES})
    assert (reply.status, reply.headers[MARK], reply.json()["version"]) == (200, "2", 2)
    assert reply.json()["digest"] == calm.digest
    assert asked(server, {"age": "old", "hours": 1}).status == 422
    body = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [DIES, 40]}]}
    with server.client() as client:
        pinned = client.post("/v2/models/churn/versions/1/infer", body)
        free = client.post("/v2/models/churn/infer", body)
    assert (pinned.status, MARK in pinned.headers) == (500, False)
    assert (free.status, free.headers[MARK], free.json()["model_version"]) == (200, "2", "2")


def test_a_constant_fits_the_signature(moody: ServedBundle) -> None:
    """A class in the user's words, or a finite number; anything else is refused."""
    bundle = Bundle(moody.folder)
    frame = {"age": [1.0, 2.0], "hours": [1, 2]}
    rows = {name: np.array(values) for name, values in frame.items()}
    answer = Constant("yes", bundle.signature, bundle.fingerprint).predict(rows)
    assert answer.main.tolist() == [[0.0, 1.0], [0.0, 1.0]]
    regression = msgspec.structs.replace(
        bundle.signature, task="regression", classes=(), positive=None
    )
    value = Constant("2.5", regression, bundle.fingerprint).predict(rows)
    assert value.main.tolist() == [2.5, 2.5]
    labels = msgspec.structs.replace(bundle.signature, probabilities=False)
    assert Constant("no", labels, bundle.fingerprint).predict(rows).main.tolist() == [0, 0]
    for constant, signature in (
        ("perhaps", bundle.signature),
        ("nan", regression),
        ("x", regression),
    ):
        with pytest.raises(UsageError):
            Constant(constant, signature, bundle.fingerprint)


def test_a_worker_whose_model_hangs_is_replaced_while_the_other_answers(
    tmp_path: Path, moody: ServedBundle
) -> None:
    """The hung request fails, the model's own process ends with the worker, and all goes on."""
    config = ServeConfig(port=0, workers=2, hang_seconds=2, grace_seconds=3)
    log = tmp_path / "log"
    with (
        log.open("wb") as stream,
        start_server({"churn": moody}, config, tmp_path / "state", log=stream) as server,
    ):
        before = {worker.pid for worker in server.admin.status().workers}
        children = [child for pid in before for child in descendants(pid)]
        assert len(children) == 2
        hung = Asking(server, {**ROW, "age": HANGS})
        until(lambda: busy(server))
        (stuck,) = [w.pid for w in server.admin.status().workers if w.busy_seconds]
        below = descendants(stuck)
        answered = 0
        while server.admin.status().hangs == 0:
            try:
                with server.client(timeout=1) as client:
                    answered += client.predict([ROW])["version"] == 1
            except UnavailableError:
                continue  # the hung worker had taken this connection
        hung.join()
        assert hung.error is not None
        assert answered
        until(lambda: sum(w.ready for w in server.admin.status().workers) == 2)
        after = {worker.pid for worker in server.admin.status().workers}
        assert before - after == {stuck}
        until(lambda: not any(alive(pid) for pid in below))
        status = server.admin.status()
        assert (status.hangs, status.restarts) == (1, 1)
        with server.client() as client:
            assert client.predict([ROW])["version"] == 1
    assert '"event":"worker_hung"' in log.read_text()


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_hung_worker_ends_even_where_its_supervisor_is_gone(
    tmp_path: Path, moody: ServedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks after it any more: the kernel's timer ends it, and the model's process too."""
    config = ServeConfig(port=0, hang_seconds=0.2, grace_seconds=1)
    # Python imports this by itself when it starts, so the timer of these processes is short.
    hurry = "from afterfit.runtime import watchdog\nwatchdog.LAST_SECONDS = 2.0\n"
    (tmp_path / "sitecustomize.py").write_text(hurry)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with start_server({"churn": moody}, config, tmp_path / "state") as server:
        (worker,) = server.admin.status().workers
        (model,) = descendants(worker.pid)
        hung = Asking(server, {**ROW, "age": HANGS})
        until(lambda: busy(server))
        server.process.kill()
        server.process.wait()
        started = time.monotonic()
        until(lambda: not alive(worker.pid), 40)
        assert time.monotonic() - started < 30
        until(lambda: not alive(model))
        hung.join()


def test_a_tree_of_processes_is_ended_the_deepest_first() -> None:
    """Also those that are in a session of their own."""
    script = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(60)'], start_new_session=True); print(1, flush=True); "
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        (child,) = descendants(parent.pid)
        assert end_tree(parent.pid) == [child, parent.pid]
        until(lambda: not alive(child))
        assert parent.wait(10) == -signal.SIGKILL
    assert end_tree(parent.pid) == []
    assert os.getpid() not in descendants(os.getpid())


def test_the_oldest_call_of_a_worker_counts() -> None:
    """Calls of two models run beside each other; one that has ended is none."""
    metrics = Metrics(worker=1)
    keys = [SlotKey(model=name, role="primary", digest="d") for name in "ab"]
    first, second = (metrics.model(Slot(index=i, key=key)) for i, key in enumerate(keys))
    assert hung_seconds(metrics, 1, now=100.0) == 0.0
    first.enter(90.0)
    second.enter(60.0)
    assert hung_seconds(metrics, 1, now=100.0) == 40.0
    assert hung_seconds(metrics, 0, now=100.0) == 0.0
    second.leave()
    assert hung_seconds(metrics, 1, now=100.0) == 10.0
    metrics.ended(1)
    assert hung_seconds(metrics, 1, now=100.0) == 0.0


def test_a_client_of_the_standard_library_sees_the_mark(server: ServerHandle) -> None:
    """A header that is there only when somebody stood in."""
    with Client(server.url) as client:
        assert MARK not in client.post("/predict", {"rows": [ROW]}).headers
