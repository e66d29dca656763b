"""Ray as the engine, without Ray: what is refused, what its processes are told, what is ended."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.runtime.test_asgi import ROW, exchanged, scope

from afterfit.cli.app import run
from afterfit.errors import DependencyError, IntegrityError, ModelError, ResourceError, UsageError
from afterfit.runtime.tls import TlsSettings
from afterfit.serve.config import ServeConfig
from afterfit.serve.ray.environment import check_address, variables
from afterfit.serve.ray.leftover import end_marked, marked
from afterfit.serve.ray.replica import Replica, packed
from afterfit.serve.ray.settings import FAST, MARK, Model, Plan, RaySettings
from afterfit.serve.ray.start import start_ray
from afterfit.serve.run import ServedBundle, worker_settings

Two = tuple[ServedBundle, ServedBundle]
DRIVER = Path(__file__).with_name("driver.sh")
SETTINGS = RaySettings(name="churn", plan=Plan(models={}), scratch="/tmp/x")  # noqa: S108 - a name


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder where a stand-in of the process that drives Ray tells what it was told."""
    monkeypatch.setenv("AFTERFIT_RAY", str(DRIVER))
    monkeypatch.setenv("AFTERFIT_TEST_FOLDER", str(tmp_path))
    monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108 - pytest's own is too long for Ray
    return tmp_path


def test_without_ray_the_command_says_what_to_install(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bundles: Two,
) -> None:
    """Exit 2 from the command line; a dependency is missing, and nothing has been started."""
    monkeypatch.delenv("AFTERFIT_RAY", raising=False)
    monkeypatch.setattr("afterfit.serve.ray.environment.find_spec", lambda _: None)
    with pytest.raises(DependencyError, match="Ray is not installed") as caught:
        start_ray({"churn": bundles[0]}, ServeConfig(), tmp_path / "state")
    assert "pip install 'afterfit[ray]'" in caught.value.fix
    assert not (tmp_path / "state").exists()
    monkeypatch.chdir(tmp_path)
    assert run(["serve", "churn@1", "--ray-address", "10.0.0.1:6379"]) == 2
    assert "add --engine ray" in capsys.readouterr().err


def test_an_interpreter_that_cannot_be_started_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: Two
) -> None:
    """The variable that names it, too."""
    monkeypatch.setenv("AFTERFIT_RAY", str(tmp_path / "python"))
    monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108 - as above
    with pytest.raises(DependencyError, match="cannot be started") as caught:
        start_ray({"churn": bundles[0]}, ServeConfig(port=0), tmp_path / "state")
    assert "$AFTERFIT_RAY" in caught.value.fix


@pytest.mark.parametrize(
    "address", ["auto", "local", "ray://host:10001", "host", "host:port", "a b:1"]
)
def test_a_cluster_is_named_and_never_met_by_accident(address: str) -> None:
    """Only HOST:PORT says which one is meant."""
    with pytest.raises(UsageError, match="no address of a cluster"):
        check_address(address)
    for good in ("", "10.0.0.1:6379", "head.example.com:6379", "[::1]:6379"):
        check_address(good)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"tls": TlsSettings(cert="c")}, "--tls-cert"),
        ({"repository_control": True}, "--repository-control"),
        ({"host": "0.0.0.0"}, "other machines"),  # noqa: S104 - refused, which is what this shows
    ],
)
def test_what_ray_cannot_do_is_refused(
    changed: dict[str, Any], word: str, tmp_path: Path, bundles: Two
) -> None:
    """Before anything starts, with the option's name."""
    with pytest.raises(UsageError, match=word):
        start_ray({"churn": bundles[0]}, ServeConfig(**changed), tmp_path / "state")


def test_a_cluster_of_its_own_runs_under_its_own_variables() -> None:
    """Both flags, no telemetry, a token, ports and files of this run; no setting is inherited."""
    outer = {
        "RAY_ADDRESS": "auto",
        "RAY_SERVE_ENABLE_HA_PROXY": "0",
        "RAY_SERVE_X": "1",
        "HOME": "/h",
    }
    one, two = (variables(outer, SETTINGS, "m") for _ in range(2))
    assert FAST.items() <= one.items()
    assert {"RAY_ADDRESS", "RAY_SERVE_X"} & one.keys() == set()
    assert (one["HOME"], one[MARK], one["RAY_USAGE_STATS_ENABLED"]) == ("/h", "m", "0")
    assert one["RAY_AUTH_MODE"] == "token"
    assert len(one["RAY_AUTH_TOKEN"]) == 64
    assert one["RAY_AUTH_TOKEN"] != two["RAY_AUTH_TOKEN"]
    ports = {value for name, value in one.items() if name.endswith("_PORT")}
    assert len(ports) == 3
    assert one["RAY_SERVE_HAPROXY_SOCKET_PATH"] == "/tmp/x/h/a"  # noqa: S108 - as above
    slow = variables(outer, SETTINGS, "m", fast=False)
    assert FAST.keys() & slow.keys() == set()
    theirs = variables(outer, msgspec.structs.replace(SETTINGS, address="h:1"), "m")
    assert theirs.keys() & {"RAY_ADDRESS", "RAY_AUTH_TOKEN"} == set()
    assert theirs["RAY_SERVE_ENABLE_HA_PROXY"] == "0", "a cluster of others has its own"


def test_a_server_is_told_changed_and_ended_whole(driver: Path, bundles: Two) -> None:
    """What it left behind is ended by its mark; a change that fails raises, and it serves on."""
    config = ServeConfig(port=0, workers=3, threads=2, events=str(driver / "events"))
    with start_ray({"churn": bundles[0]}, config, driver / "state") as server:
        told = msgspec.json.decode((driver / "settings.json").read_bytes(), type=RaySettings)
        assert (told.replicas, told.cpus, told.address, told.host) == (3, 2.0, "", "127.0.0.1")
        assert told.port > 0
        assert told.plan.worker.routes["/health"] == "health"
        assert told.plan.worker.key_share == 1 / 3
        assert told.plan.models["churn"].digest == bundles[0].digest
        assert (server.cluster, server.nodes) == ("10.0.0.1:6379", 1)
        assert len(server.notes) == 2
        assert "40 to 170 times" in server.notes[0]
        assert "one machine" in server.notes[1]
        environment = (driver / "environment").read_text()
        assert f"{MARK}={server.mark}" in environment
        changed = server.replace("churn", bundles[1])
        assert changed.models["churn"].version == 2
        with pytest.raises(ModelError, match="no"):
            server.replace("churn", bundles[1]._replace(version=9))
        with pytest.raises(UsageError, match="no admin API"):
            server.admin.get()
        left = int((driver / "left").read_text())
        assert left in marked(server.mark)
        scratch = Path(told.scratch)
        assert scratch.is_dir()
    assert not Path(f"/proc/{left}/environ").exists() or left not in marked(server.mark)
    assert marked(server.mark) == []
    assert not scratch.exists()


def test_events_of_other_nodes_do_not_go_to_a_folder_of_this_one(
    driver: Path, bundles: Two
) -> None:
    """It is said, and an object store is left as it is."""
    config = ServeConfig(port=0, events=str(driver / "events"))
    with start_ray({"churn": bundles[0]}, config, driver / "s", address="h:6379") as server:
        told = msgspec.json.decode((driver / "settings.json").read_bytes(), type=RaySettings)
        assert (told.address, told.plan.worker.events) == ("h:6379", "")
        assert "events are not kept" in server.notes[0]


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [("failed", ResourceError, "too few processors"), ("silent", Exception, "did not get ready")],
)
def test_what_kept_it_from_starting_is_told(
    mode: str, kind: type[Exception], words: str, driver: Path, bundles: Two,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As the error that the driver met, or that of its silence."""
    monkeypatch.setenv("AFTERFIT_TEST_MODE", mode)
    with pytest.raises(kind, match=words):
        start_ray({"churn": bundles[0]}, ServeConfig(port=0), driver / "state")


def test_only_marked_processes_are_ended() -> None:
    """One with the mark goes, though it would not; one with another mark and one without stay."""
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(1, flush=True); time.sleep(60)"
    )
    made = []
    for mark in ("one", "one-and-more", ""):
        environ = {**os.environ, MARK: mark} if mark else dict(os.environ)
        command = [sys.executable, "-c", stubborn]
        made.append(subprocess.Popen(command, env=environ, stdout=subprocess.PIPE))
    try:
        for each in made:
            assert each.stdout is not None
            each.stdout.readline()
        assert marked("one") == [made[0].pid]
        assert end_marked("one", grace=0.2) == [made[0].pid]
        assert made[0].wait(5) == -9
        assert [each.poll() for each in made[1:]] == [None, None]
    finally:
        for each in made:
            each.kill()
            each.communicate()


def test_a_replica_on_another_machine_answers_from_the_files_that_were_sent(
    bundles: Two,
) -> None:
    """Verified there: neither a file that was changed on its way nor a strange path is taken."""
    one = bundles[0]
    model = Model(digest=one.digest, version=one.version, folder="/nowhere")
    plan = msgspec.json.encode(Plan(models={"churn": model}, worker=worker_settings(ServeConfig())))
    files = packed(one.folder)
    replica = Replica(plan, {one.digest: files})
    body = json.dumps({"rows": [ROW]}).encode()
    told = exchanged(replica.__serve_build_asgi_app__(), scope("POST", "/predict"), (body,))
    status, _, answer = asyncio.run(told)
    assert (status, json.loads(answer)["digest"]) == (200, one.digest)
    replica.__del__()
    for changed in ({"signature.json": b"{}"}, {"../out": b"x"}):
        with pytest.raises(IntegrityError):
            Replica(plan, {one.digest: {**files, **changed}})
