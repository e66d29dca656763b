"""Rollouts on a real server: a worse canary goes back by itself, an equal one is promoted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from tests.runtime.bundles import people_bundle
from tests.runtime.traffic import moody_bundle, rows
from tests.runtime.waiting import until

from afterfit.cli.app import run
from afterfit.config import Config
from afterfit.core.bundle import write_manifest
from afterfit.core.sections import ServeSection
from afterfit.errors import AfterfitError
from afterfit.records.rollout import RolloutRecord
from afterfit.report.pipeline import Pipeline, pipeline
from afterfit.runtime.client import AdminClient
from afterfit.runtime.lease import Lease
from afterfit.serve.config import ServeConfig
from afterfit.serve.rollout import Plan, divided
from afterfit.serve.rollouts import state as state_module
from afterfit.serve.rollouts.config import RolloutConfig
from afterfit.serve.rollouts.state import (
    RolloutState,
    lock_of,
    path_of,
    read_state,
    unwatched,
    write_state,
)
from afterfit.serve.run import ServerHandle, start_server
from afterfit.store.files import file_lock
from afterfit.web.pages.rollouts import rollouts
from afterfit.web.site import Site
from afterfit.workspace import Workspace, rolling
from afterfit.workspace.rolling import (
    abort_rollout,
    known_rollout,
    resume_rollout,
    start_rollout,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = RolloutConfig(
    steps=(300_000, 600_000),
    watch=("error_rate",),
    min_requests=60,
    margin=0.1,
    poll_s=0.1,
    give_up_s=30,
)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with two versions of churn that differ by little, and no gates."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afterfit.toml").write_text("gates = []\n")
    space = Workspace(tmp_path / ".afterfit", config=Config(gates=()))
    for number, bias in enumerate((-3.0, -2.99)):
        people_bundle(tmp_path / f"draft{number}", bias=bias)
        space.registry.register("churn", tmp_path / f"draft{number}", who="ana")
    space.promote("churn", 1)
    return space


@pytest.fixture
def server(space: Workspace) -> Iterator[ServerHandle]:
    """Version 1, as ``afterfit serve churn@champion --no-follow``."""
    state = space.folder / "endpoints" / "churn"
    with start_server({"churn": space.version("churn@1")}, ServeConfig(port=0), state) as handle:
        yield handle


@contextmanager
def asked(server: ServerHandle, bodies: list[dict[str, Any]]) -> Iterator[list[int]]:
    """A client that sends all the time; yields the versions that answered, 0 for an error."""
    stop, answered = threading.Event(), []

    def send() -> None:
        place = 0
        with server.client() as client:
            while not stop.is_set():
                try:
                    answered.append(int(client.predict([bodies[place % len(bodies)]])["version"]))
                except AfterfitError:
                    answered.append(0)
                place += 1

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _canary_of_a_pipeline(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The shell of a pipeline's step, and its environment: a shim makes the rollout a short one."""
    about = Pipeline(model="m.joblib", data="rows.csv", target="y", name="churn", image="r/churn",
                     effort="quick", version="1")  # fmt: skip
    job = yaml.safe_load(pipeline("github", about))["jobs"]["release"]
    (step,) = [each for each in job["steps"] if each.get("id") == "canary"]
    options = "--steps 30%,60% --watch error_rate --min-requests 60 --margin 10% --poll 100ms"
    shim = folder / "bin" / "afterfit"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/bash\nexec "{sys.executable}" -m afterfit "$@" {options}\n')
    shim.chmod(0o755)
    (folder / "afterfit.env").write_text("VERSION=2\n")
    env = {**os.environ, "NAME": "churn", "PATH": f"{shim.parent}:{os.environ['PATH']}"}
    return ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], env


def test_an_equal_version_is_promoted_and_every_step_is_told(
    space: Workspace, server: ServerHandle, tmp_path: Path
) -> None:
    """It takes over through its steps; the log and the record say what was compared.

    A pipeline's canary started it, which does nothing where no server is named.
    """
    command, env = _canary_of_a_pipeline(tmp_path)
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    assert (done.returncode, "no canary" in done.stdout) == (0, True)
    with asked(server, rows(50)) as answered:
        named = {**env, "AFTERFIT_ADMIN": server.admin.address}
        done = subprocess.run(command, env=named, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        seen = len(answered)
        time.sleep(0.3)
        assert set(answered[seen + 4 :]) == {2}
    (stored,) = space.records.list(step="rollout")
    record = stored.body
    assert isinstance(record, RolloutRecord)
    assert (record.verdict, record.candidate, record.primary) == ("promoted", 2, 1)
    assert [step.share_ppm for step in record.steps] == [300_000, 600_000]
    assert all(step.canary >= 60 for step in record.steps)
    (compared,) = record.comparisons
    assert compared.shown
    assert not compared.worse
    assert compared.excess.high is not None
    assert compared.excess.high <= 0.1
    assert space.registry.resolve("churn@champion").number == 2
    route = server.admin.get().models["churn"]
    assert (route.version, route.canary, route.shadow) == (2, None, ())
    lines = [e.details["event"] for e in space.registry.log("churn") if e.action == "rollout"]
    assert lines == ["start", "step", "promoted"]
    assert 0 not in answered


def _broken(space: Workspace, folder: Path) -> None:
    """Register versions 1 and 2 of moody: the second fails at the ages that a third of rows has."""
    moody_bundle(folder / "good")
    moody_bundle(folder / "bad")
    code = folder / "bad" / "code" / "moody.py"
    broken = "    if (ages > 60).any():\n        raise RuntimeError('no')\n    if (ages >= 9000)"
    code.write_text(code.read_text().replace("    if (ages >= 9000)", broken))
    golden = folder / "bad" / "golden.json"
    told = json.loads(golden.read_text())
    keep = [i for i, age in enumerate(told["columns"]["age"]) if age < 60]
    told["columns"] = {name: [v[i] for i in keep] for name, v in told["columns"].items()}
    told["probabilities"] = [told["probabilities"][i] for i in keep]
    golden.write_text(json.dumps(told))
    write_manifest(folder / "bad")
    for draft in ("good", "bad"):
        space.registry.register("moody", folder / draft, who="ana")
    space.promote("moody", 1)


def test_a_worse_version_goes_back_by_itself(space: Workspace, tmp_path: Path) -> None:
    """It fails at a third of the rows: confirmed, and the version before answers alone."""
    _broken(space, tmp_path)
    state = space.folder / "endpoints" / "moody"
    bodies = [{"age": row["age"], "hours": row["hours"]} for row in rows(50)]
    config = msgspec.structs.replace(QUICK, watch=("p99", "error_rate"), slow_ms=1000.0)
    with (
        start_server({"moody": space.version("moody@1")}, ServeConfig(port=0), state) as server,
        asked(server, bodies) as answered,
    ):
        stored = start_rollout(space, "moody", "2", config)
        seen = len(answered)
        time.sleep(0.3)
        assert set(answered[seen + 4 :]) == {1}
        route = server.admin.get().models["moody"]
        assert (route.version, route.canary) == (1, None)
    record = stored.body  # type: ignore[union-attr]
    assert isinstance(record, RolloutRecord)
    assert record.verdict == "rolled_back"
    assert "error rate" in record.why
    assert record.back_s is not None
    worse = {each.watch for each in record.comparisons if each.worse}
    assert worse == {"error_rate"}
    assert space.registry.resolve("moody@champion").number == 1
    assert space.registry.log("moody")[-1].details["event"] == "rolled_back"


def stop_after(space: Workspace, pairs: float) -> threading.Event:
    """An event that is set when so many rows were compared."""
    stop, path = threading.Event(), path_of(space.folder, "churn")

    def compared() -> bool:
        state = read_state(path)
        counts = state.judge.watches.get("disagreement") if state is not None else None
        return counts is not None and counts.canary[1] >= pairs

    def wait() -> None:
        try:
            until(compared)
        finally:
            stop.set()

    threading.Thread(target=wait).start()
    return stop


def _as_if_killed(space: Workspace, server: ServerHandle, paused: RolloutState) -> None:
    """Leave a rollout as a kill -9 of process 7 a minute ago would have."""
    state = msgspec.structs.replace(paused, status="running", pid=7, seen=time.time() - 60)
    write_state(path_of(space.folder, "churn"), state)
    canary = (state.candidate, state.share_ppm, "")
    numbers = {state.candidate: state.candidate_number}
    divided(server.admin, "churn", Plan(canary=canary, numbers=numbers))


def test_a_pause_leaves_the_primary_alone_and_a_resume_goes_on(
    space: Workspace,
    server: ServerHandle,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was counted stays; aborting ends it, and nothing is left to go on with.

    One that nobody watches any more is told of by status; its server steps back by itself when the
    lease runs out that each look renews, and start steps back from it.
    """
    slow = msgspec.structs.replace(QUICK, min_requests=10**9, watch=("disagreement",))
    held: list[Lease] = []
    hold = AdminClient.hold

    def holding(admin: AdminClient, lease: Lease) -> bool:
        held.append(lease)
        return hold(admin, lease)

    monkeypatch.setattr(AdminClient, "hold", holding)
    with asked(server, rows(50)):
        paused = start_rollout(space, "churn", "2", slow, stop=stop_after(space, 1))
        assert isinstance(paused, RolloutState)
        assert (paused.status, paused.share_ppm) == ("paused", 300_000)
        route = server.admin.get().models["churn"]
        assert route.canary is not None
        assert (route.canary.share_ppm, route.shadow) == (0, ())
        with pytest.raises(AfterfitError, match="is not finished"):
            start_rollout(space, "churn", "2", slow)
        _as_if_killed(space, server, paused)
        assert run(["rollout", "status", "churn", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["result"]["status"] == "running"
        assert "process 7 last looked" in told["result"]["unwatched"]
        assert "may still get 30 % of the requests" in told["warnings"][0]
        assert [lease.seconds for lease in (held[0], held[1], held[-1])] == [30.0, 30.0, 0.0]
        assert {(lease.model, lease.digest) for lease in held} == {("churn", paused.candidate)}
        assert server.admin.hold(msgspec.structs.replace(held[0], seconds=0.05))
        until(lambda: _share(server) == 0)
        _as_if_killed(space, server, paused)
        with pytest.raises(AfterfitError, match="is not finished") as caught:
            start_rollout(space, "churn", "2", slow)
        assert "paused: process 7 watched it and has ended" in caught.value.why
        route = server.admin.get().models["churn"]
        assert route.canary is not None
        assert (route.canary.share_ppm, route.shadow) == (0, ())
        before = paused.judge.watches["disagreement"].canary[1]
        resumed = resume_rollout(space, "churn", stop=stop_after(space, before + 1))
        assert isinstance(resumed, RolloutState)
        assert resumed.judge.watches["disagreement"].canary[1] > before > 0
        stored = abort_rollout(space, "churn", why="enough")
    assert stored is not None
    assert (stored.body.verdict, stored.body.why) == ("aborted", "enough")  # type: ignore[union-attr]
    assert server.admin.get().models["churn"].canary is None
    with pytest.raises(AfterfitError, match="no rollout of churn is under way"):
        abort_rollout(space, "churn")


def _share(server: ServerHandle) -> int | None:
    canary = server.admin.get().models["churn"].canary
    return canary.share_ppm if canary else None


def test_a_server_steps_back_from_a_rollout_whose_process_was_killed(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill -9 of the command that watches: seconds later the canary gets nothing more."""
    monkeypatch.setattr(state_module, "SILENT_S", 0.5)
    monkeypatch.setattr(rolling, "WATCH_S", 0.1)
    space.config = Config(gates=(), serve=ServeSection(port=0, workers=1))
    options = ["--to", "2", "--poll", "100ms", "--min-requests", "1000000", "-q"]
    command = [sys.executable, "-m", "afterfit", "rollout", "start", "churn", *options]

    with space.serve("churn@1", follow=False) as served:
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until(lambda: _share(served.server) == 50_000)
        finally:
            driver.kill()
            driver.wait()
        until(lambda: _share(served.server) == 0)
        until(lambda: known_rollout(space, "churn")[0].status == "paused")
        assert f"nobody watches it: process {driver.pid}" in known_rollout(space, "churn")[0].why
        last = space.registry.log("churn")[-1]
        assert (last.details["event"], last.why) == ("pause", known_rollout(space, "churn")[0].why)
        abort_rollout(space, "churn")
        assert _share(served.server) is None


@pytest.mark.parametrize(
    ("silent", "held", "alone"),
    [(1.0, False, False), (10.0, False, True), (10.0, True, False), (400.0, True, True)],
)
def test_nobody_watches_where_the_lock_is_free_or_looks_have_long_ended(
    silent: float, tmp_path: Path, *, held: bool, alone: bool
) -> None:
    """A process that hangs holds its lock for ever; one between two looks is there."""
    path = path_of(tmp_path, "churn")
    state = RolloutState(name="churn", candidate="2", candidate_number=2, primary="1",
                         primary_number=1, config=QUICK, pid=7, seen=1000.0)  # fmt: skip
    with ExitStack() as stack:
        if held:
            stack.enter_context(file_lock(lock_of(path)))
        found = unwatched(path, state, 1000.0 + silent)
        assert bool(found) is alone
        assert unwatched(path, msgspec.structs.replace(state, status="paused"), 9e9) == ""


def test_somebody_else_who_changes_the_canary_ends_it(
    space: Workspace, server: ServerHandle, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line: the rollout lets go, exit 1; and mistakes change nothing."""
    options = ["--watch", "error_rate", "--poll", "100ms", "--min-requests", "1000000", "--json"]

    def meddle() -> None:
        while server.admin.get().models["churn"].canary is None:
            time.sleep(0.05)
        assert run(["endpoint", "set", "churn", "--canary", "2=1%", "-q"]) == 0

    threading.Thread(target=meddle).start()
    assert run(["rollout", "start", "churn", "--to", "2", *options]) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["result"]
    assert told["verdict"] == "overtaken"
    state = read_state(path_of(space.folder, "churn"))
    assert state is not None
    assert state.record == told["envelope"]["digest"]
    assert server.admin.get().models["churn"].canary is None
    page = rollouts(Site(space.folder))
    (driven,) = page.driven
    assert (driven.model, driven.primary, driven.candidate) == ("churn", 1, 2)
    assert (driven.state, driven.record) == ("overtaken", state.record)
    assert page.changes[0].what == "version 1 to 2: overtaken at 5 %"
    assert "driven" in [part.anchor for part in page.parts]
    generation = server.admin.get().generation
    for wrong, word in (
        (("--steps", "25%,5%"), "do not rise"),
        (("--watch", "p98"), "nothing to watch"),
        (("--to", "1"), "has already"),
        (("--false-alarms", "0%"), "not above 0"),
        (("--steps", "100%"), "nobody to compare with"),
    ):
        arguments = ["rollout", "start", "churn", *wrong]
        assert run(arguments if "--to" in wrong else [*arguments, "--to", "2"]) == 2
        assert word in capsys.readouterr().err
    assert server.admin.get().generation == generation
