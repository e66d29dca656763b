"""Real processes: workers that die, models that change, signals, and the admin API."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pytest
from tests.runtime.bundles import store_bundle
from tests.runtime.waiting import until

from afterfit.errors import (
    AfterfitError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from afterfit.runtime.client import AdminClient, Client
from afterfit.runtime.endpoint import Canary, Endpoint, ModelRoute
from afterfit.runtime.events import read_segments
from afterfit.runtime.settings import check_bind
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYWHERE = "0.0.0.0"  # noqa: S104 - refused, which is what the tests show
ROW = {"age": 39.5, "hours": 40, "job": "nurse"}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[ServedBundle]:
    """Two versions of one model."""
    folder = tmp_path_factory.mktemp("bundles")
    made = [store_bundle(folder, bias=bias) for bias in (-3.0, -1.0)]
    return [ServedBundle(n, digest, path) for n, (digest, path) in enumerate(made, start=1)]


@pytest.fixture
def server(tmp_path: Path, bundles: list[ServedBundle]) -> Iterator[ServerHandle]:
    """Version 1 on two workers, with events."""
    config = ServeConfig(port=0, workers=2, events=str(tmp_path / "events"), grace_seconds=5)
    with start_server({"churn": bundles[0]}, config, tmp_path / "state") as handle:
        yield handle


class Load:
    """Keeps some clients asking; ``failures`` has every answer that was not 200."""

    def __init__(self, url: str, clients: int = 3) -> None:
        self.url = url
        self.failures: list[Any] = []
        self.versions: set[int] = set()
        self.count = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with Client(self.url) as client:
            while not self._stop.is_set():
                try:
                    reply = client.post("/predict", {"rows": [ROW]})
                    if reply.status != 200:
                        self.failures.append(reply)
                    self.versions.add(reply.json()["version"])
                except AfterfitError as error:
                    self.failures.append(error)
                self.count += 1


def test_a_change_under_load_fails_no_request(
    server: ServerHandle, bundles: list[ServedBundle]
) -> None:
    """Version 2 is loaded beside version 1 and takes over between two requests; and back."""
    with Load(server.url) as load:
        until(lambda: load.count > 50)
        changed = server.replace("churn", bundles[1])
        assert changed.generation == 2
        with server.client() as client:
            assert client.get("/version").json()["digest"] == bundles[1].digest
        server.replace("churn", bundles[0])
        seen = load.count
        until(lambda: load.count > seen + 50)
    assert load.failures == []
    assert load.versions == {1, 2}


def test_a_killed_worker_is_replaced_and_the_other_answers_meanwhile(
    server: ServerHandle, bundles: list[ServedBundle]
) -> None:
    """The replacement serves the generation of now, not of the start; counters do not fall."""
    server.replace("churn", bundles[1])
    with server.client() as client:
        client.predict([ROW])
        # An answer is counted after it is on its way, and a killed process counts no more.
        until(lambda: "afterfit_rows_total 1" in client.get("/metrics").body.decode())
    killed = server.admin.workers()["workers"][0]["pid"]
    os.kill(killed, signal.SIGKILL)
    with server.client() as client:
        assert client.predict([ROW])["version"] == 2

    def replaced() -> bool:
        workers = server.admin.workers()
        pids = {worker["pid"] for worker in workers["workers"] if worker["ready"]}
        return len(pids) == 2 and killed not in pids and workers["restarts"] == 1

    until(replaced)
    versions = set()
    for _ in range(20):
        with server.client() as client:
            versions.add(client.predict([ROW])["version"])
    assert versions == {2}
    with server.client() as client:
        until(lambda: "afterfit_rows_total 22" in client.get("/metrics").body.decode())


def test_all_workers_killed_at_once_come_back(server: ServerHandle) -> None:
    """A client that connects meanwhile waits for its answer."""
    for worker in server.admin.workers()["workers"]:
        os.kill(worker["pid"], signal.SIGKILL)
    with server.client(timeout=30) as client:
        assert client.predict([ROW])["version"] == 1


def test_a_bundle_that_fails_leaves_the_old_one_serving(
    server: ServerHandle, bundles: list[ServedBundle], tmp_path: Path
) -> None:
    """A changed byte is found before the change; the generation stays."""
    digest, folder = store_bundle(tmp_path / "other", bias=-2.0)
    path = folder / "model" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(IntegrityError, match=r"model\.onnx"):
        server.replace("churn", ServedBundle(9, digest, folder))
    assert server.admin.get().generation == 1
    with server.client() as client:
        assert client.predict([ROW])["digest"] == bundles[0].digest


def changed(endpoint: Endpoint, **route: Any) -> Endpoint:
    """The document with another route for churn."""
    old = endpoint.models["churn"]
    models = {"churn": msgspec.structs.replace(old, **route)}
    return msgspec.structs.replace(endpoint, models=models)


def test_the_admin_api_refuses_what_it_cannot_do(server: ServerHandle) -> None:
    """A stale generation, an unknown digest, a new name: nothing is changed."""
    now = server.admin.get()
    with pytest.raises(ConflictError, match="generation 1, not 7"):
        server.admin.put(now, 7)
    with pytest.raises(NotFoundError, match="no bundle"):
        server.admin.put(changed(now, primary="0" * 64))
    with pytest.raises(NotFoundError, match="no bundle"):
        server.admin.put(changed(now, canary=Canary(digest="0" * 64, share_ppm=1)))
    with pytest.raises(UsageError, match="digest"):
        server.admin.put(changed(now, primary="../../etc"))
    with pytest.raises(UsageError, match="name"):
        server.admin.put(msgspec.structs.replace(now, name="other"))
    assert server.admin.get() == now
    with Client(server.admin.address) as raw:
        body = msgspec.json.encode(now)
        assert raw.request("PUT", "/admin/v1/endpoint", body).status == 428
        assert raw.request("PUT", "/admin/v1/endpoint", b"{", if_match="1").status == 400
        assert raw.request("DELETE", "/admin/v1/endpoint").status == 405


def test_the_admin_socket_is_for_its_owner_alone(server: ServerHandle) -> None:
    """Mode 0600, and not on the public port."""
    path = Path(server.admin.address.removeprefix("unix:"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with server.client() as client:
        assert client.get("/admin/v1/endpoint").status == 404


def test_an_admin_port_wants_its_token(tmp_path: Path, bundles: list[ServedBundle]) -> None:
    """No token, a wrong one, and the right one."""
    config = ServeConfig(port=0, admin_port=0)
    with start_server({"churn": bundles[0]}, config, tmp_path / "state") as handle:
        assert handle.admin.address.startswith("http://127.0.0.1:")
        for token in ("", "wrong"):
            with pytest.raises(AfterfitError, match="token"):
                AdminClient(handle.admin.address, token).get()
        assert handle.admin.get().generation == 1
        assert handle.replace("churn", bundles[1]).generation == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_code_0_and_its_events_are_written(
    tmp_path: Path, bundles: list[ServedBundle], number: int
) -> None:
    """Workers finish, sync and end with it; the port is free again."""
    config = ServeConfig(port=0, events=str(tmp_path / "events"), grace_seconds=5)
    with start_server({"churn": bundles[0]}, config, tmp_path / "state") as handle:
        with handle.client() as client:
            client.predict([ROW])
        pids = [worker["pid"] for worker in handle.admin.workers()["workers"]]
        handle.process.send_signal(number)
        assert handle.process.wait(30) == 0
        assert len(list(read_segments(tmp_path / "events"))) == 1
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        with pytest.raises(UnavailableError), handle.client() as client:
            client.get("/v2/health/live")


def test_a_supervisor_that_is_killed_takes_its_workers_along(
    tmp_path: Path, bundles: list[ServedBundle]
) -> None:
    """Workers notice that their channel has ended, and end in order."""
    config = ServeConfig(port=0, grace_seconds=2)
    with start_server({"churn": bundles[0]}, config, tmp_path / "state") as handle:
        (worker,) = handle.admin.workers()["workers"]
        handle.process.kill()
        handle.process.wait()

        def gone() -> bool:
            try:
                os.kill(worker["pid"], 0)
            except ProcessLookupError:
                return True
            return False

        until(gone)


def test_the_generation_goes_on_after_a_restart(
    tmp_path: Path, bundles: list[ServedBundle]
) -> None:
    """The document is kept, so that a generation never means two things."""
    for expected in (1, 3):
        with start_server({"churn": bundles[0]}, ServeConfig(port=0), tmp_path / "s") as handle:
            assert handle.admin.get().generation == expected
            handle.replace("churn", bundles[1])
            kept = json.loads((tmp_path / "s" / "endpoint.json").read_text())
            assert kept["models"]["churn"]["primary"] == bundles[1].digest


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What ``python -m afterfit.runtime`` says and with which code it ends."""
    return subprocess.run(
        [sys.executable, "-m", "afterfit.runtime", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_another_machine_is_served_only_on_purpose(bundles: list[ServedBundle]) -> None:
    """Beyond loopback without keys is a usage error that names the way out."""
    done = run_module("--bundle", f"churn={bundles[0].folder}", "--host", EVERYWHERE, "--port", "0")
    assert done.returncode == 2
    assert "--allow-unauthenticated" in done.stderr
    assert "Traceback" not in done.stderr
    for host in ("127.0.0.1", "::1", "localhost"):
        check_bind(host, allow_unauthenticated=False)
    check_bind(EVERYWHERE, allow_unauthenticated=True)


@pytest.mark.parametrize(
    "arguments", [(), ("--bundle", "churn"), ("--bundle", "churn=/nowhere"), ("--config", "/no")]
)
def test_a_mistake_of_the_user_is_one_line_and_code_2(arguments: tuple[str, ...]) -> None:
    """No traceback."""
    done = run_module(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert json.loads(done.stderr)["event"] == "failed"


def test_a_server_without_any_folder_of_its_own_serves(bundles: list[ServedBundle]) -> None:
    """As on a read-only root: events as JSON lines on standard output, no state, no admin API."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "afterfit.runtime", "--port", "0", "--events", "-"),
            *("--bundle", f"churn@7={bundles[0].folder}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HOME": "/nonexistent"},
    )
    assert process.stderr is not None
    try:
        ready = json.loads(process.stderr.readline())
        with Client(ready["url"]) as client:
            answer = client.predict([ROW])
    finally:
        process.terminate()
        output = process.communicate(timeout=30)[0]
    assert answer["version"] == 7
    assert json.loads(output)["event_id"] == answer["predictions"][0]["id"]
    assert process.returncode == 0


def test_the_document_round_trips_through_the_route() -> None:
    """The number of a version is that of its primary; 0 where nobody gave one."""
    assert ModelRoute(primary="d", versions={"d": 4}).version == 4
    assert ModelRoute(primary="d").version == 0
