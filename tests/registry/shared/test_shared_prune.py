"""Old bytes leave a shared store while others push: what anything stands on is never among them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from afterfit.config import Config
from afterfit.core.progress import Silent
from afterfit.errors import ConflictError, ForbiddenError, NotFoundError
from afterfit.registry.retention import Policy
from afterfit.registry.shared.opening import Stores
from afterfit.registry.shared.postgres import PostgresStorage
from afterfit.registry.shared.presence import PRESENT_S, announce, present
from afterfit.runtime.endpoint import Canary, Endpoint, ModelRoute, StandIn
from afterfit.workspace import Workspace, presence, pruning_shared
from afterfit.workspace.presence import announcing
from afterfit.workspace.pruning import prune

MakeBundle = Callable[..., Path]
Machine = Callable[..., Stores]
ALL = Policy(keep=1, older=0, grace=3600)


@pytest.fixture
def space(machine: Machine, tmp_path: Path) -> Callable[[str], Workspace]:
    """A function from the name of a machine to the team's workspace as it opens it."""

    def opened(name: str) -> Workspace:
        machine(name)
        return Workspace(tmp_path / f"{name}.toml", config=Config())

    return opened


Space = Callable[[str], Workspace]


def aged(tmp_path: Path) -> None:
    """Make all that the store holds a day old."""
    for path in (tmp_path / "bucket").rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - 86_400,) * 2)


def many(team: Workspace, make_bundle: MakeBundle, n: int = 5) -> list[Path]:
    """Versions 1 to n of churn, the last one champion after the first."""
    bundles = [make_bundle(f"model {number}".encode()) for number in range(1, n + 1)]
    for bundle in bundles:
        team.registry.register("churn", bundle, who="ana")
    for number in (1, n):
        team.registry.promote("churn", number, who="ana")
    return bundles


def endpoints_of(team: Workspace) -> PostgresStorage:
    """The storage of a workspace, to say what its servers stand on."""
    assert isinstance(team.registry.storage, PostgresStorage)
    return team.registry.storage


def test_what_nothing_stands_on_goes_from_the_store_and_comes_back(
    space: Space, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """A champion, its rollback and a server elsewhere keep theirs; a dead push's bytes go."""
    ana, bo = space("ana"), space("bo")
    bundles = many(ana, make_bundle)
    third = ana.registry.resolve("churn@3").digest
    announce(endpoints_of(bo).database, "bo", "churn", [third])
    left = ana.blobs.put_bytes(b"of a push that died")
    aged(tmp_path)
    young = ana.blobs.put_bytes(b"of a push that runs")
    dry = prune(ana, ALL)
    reasons = {fate.version.number: fate.why for fate in dry.fates}
    assert reasons[3] == "the endpoint churn on bo stands on it"
    assert [number for number, why in reasons.items() if not why] == [2, 4]
    assert bo.registry.verify().files == 2 * 5 + 3 - 5  # three files are the same in all
    found = prune(ana, ALL, really=True)
    assert [fate.version.number for fate in found.going] == [2, 4]
    assert found.freed == dry.freed + len(b"of a push that died")
    assert not bo.blobs.has(left, kept=True)
    assert bo.blobs.has(young, kept=True)
    for team in (ana, bo):
        with pytest.raises(NotFoundError, match="were pruned"):
            team.registry.promote("churn", 2, who="bo")
    assert bo.registry.verify().versions == 5
    assert prune(bo, ALL, really=True).going == ()
    for number in (1, 3, 5):
        space(f"new{number}").version(f"churn@{number}")
    assert bo.registry.register("churn", bundles[1], who="bo").number == 2
    bo.registry.promote("churn", 2, who="bo")
    space("cy").version("churn@2")
    actions = [entry.action for entry in bo.registry.log()]
    assert (actions.count("prune"), actions.count("restore")) == (2, 1)


def test_a_server_that_was_not_heard_of_for_a_week_stands_on_nothing(
    space: Space,
) -> None:
    """Until then it does, and what it says last counts."""
    storage = endpoints_of(space("ana"))
    announce(storage.database, "bo", "churn", ["1"])
    announce(storage.database, "bo", "churn", ["2"])
    (moment,) = storage.database.rows("SELECT seen FROM afterfit_registry_endpoints")[0]
    assert set(present(storage.database, moment + PRESENT_S - 1)) == {"2"}
    assert present(storage.database, moment + PRESENT_S + 1) == {}


def test_a_push_that_began_before_a_prune_finds_its_bytes_afterwards(
    space: Space, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sent nothing, as the store held all; then somebody pruned; then it registers."""
    ana, bo = space("ana"), space("bo")
    bundles = many(ana, make_bundle)
    aged(tmp_path)
    real = bo.blobs.put_bundle
    pushed: list[Path] = []

    def put(folder: Path) -> str:
        digest = real(folder)
        if not pushed:
            pushed.append(folder)
            aged(tmp_path)
            assert prune(ana, ALL, really=True).going
        return digest

    monkeypatch.setattr(bo.blobs, "put_bundle", put)
    assert bo.registry.register("other", bundles[1], who="bo").number == 1
    assert pushed
    space("cy").version("other@1")
    assert space("cy").registry.verify().versions == 6


def test_what_is_registered_between_the_lines_and_the_removal_stays(
    space: Space, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 2 is announced to go; before its bytes do, it is shipped again under two names."""
    ana, bo = space("ana"), space("bo")
    bundles = many(ana, make_bundle)
    aged(tmp_path)
    real = pruning_shared._old

    def listed(*arguments: Any) -> Any:
        found = real(*arguments)
        bo.registry.register("other", bundles[3], who="bo")
        return found

    class Late(pruning_shared._Needs):
        def __init__(self, team: Workspace) -> None:
            super().__init__(team)
            with pytest.raises(NotFoundError, match="were pruned"):
                bo.registry.promote("churn", 2, who="bo")
            bo.registry.register("churn", bundles[1], who="bo")

    monkeypatch.setattr(pruning_shared, "_old", listed)
    monkeypatch.setattr(pruning_shared, "_Needs", Late)
    sizes = {fate.version.number: fate.size_bytes for fate in prune(ana, ALL).going}
    found = prune(ana, ALL, really=True)
    assert [fate.version.number for fate in found.going] == [2, 3, 4]
    assert found.freed == sizes[3]
    space("cy").version("other@1")
    bo.registry.promote("churn", 2, who="bo")
    assert bo.registry.verify().versions == 6


def test_a_second_prune_ends_the_first(
    space: Space, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one takes bytes away at a time; as long as one may, a push looks again."""
    ana, bo = space("ana"), space("bo")
    many(ana, make_bundle)
    aged(tmp_path)
    real = pruning_shared._old

    def listed(*arguments: Any) -> Any:
        monkeypatch.setattr(pruning_shared, "_old", real)
        assert endpoints_of(bo).pruning().owner
        found = real(*arguments)
        prune(bo, ALL, really=True)
        bo.blobs.put_bytes(b"left")
        return found

    monkeypatch.setattr(pruning_shared, "_old", listed)
    put = ana.blobs.put_bytes(b"left")
    aged(tmp_path)
    assert not endpoints_of(bo).pruning().owner
    with pytest.raises(ConflictError, match="somebody else prunes"):
        prune(ana, ALL, really=True)
    assert bo.blobs.has(put, kept=True)
    assert bo.registry.verify().versions == 5


def test_pushes_and_prunes_at_once_lose_nothing(space: Space, make_bundle: MakeBundle) -> None:
    """Old bundles are shipped again and again while another machine prunes without a grace."""
    ana, bo = space("ana"), space("bo")
    bundles = many(ana, make_bundle, 4)
    stop, failed = threading.Event(), []

    def push() -> None:
        try:
            while not stop.is_set():
                for bundle in bundles[1:3]:
                    bo.registry.register("churn", bundle, who="bo")
        except BaseException as error:  # noqa: BLE001 - it is shown by the assertion
            failed.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        for _ in range(6):
            prune(ana, Policy(keep=1, older=0, grace=0), really=True)
    finally:
        stop.set()
        thread.join()
    assert failed == []
    gone = {number for _, number in ana.registry.storage.catalog.pruned()}
    fresh = space("cy")
    for number in {1, 2, 3, 4} - gone:
        fresh.version(f"churn@{number}")
    assert fresh.registry.verify().versions == 4
    actions = [entry.action for entry in fresh.registry.log()]
    assert actions.count("restore") > 0


class Admin:
    """The admin API of a server with a canary, a shadow and a stand-in."""

    def get(self) -> Endpoint:
        """Return its document."""
        route = ModelRoute(primary="1" * 64, canary=Canary(digest="2" * 64, share_ppm=1),
                           shadow=("3" * 64,), stand_in=StandIn(digest="4" * 64))  # fmt: skip
        return Endpoint(name="churn", models={"churn": route})


def test_a_server_says_what_it_stands_on_and_tells_once_where_it_may_not(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever may answer counts; a user of the database that only reads is no reason to end."""
    ana = space("ana")
    stop = threading.Event()
    stop.set()
    announcing(ana, Admin(), "churn", stop)  # type: ignore[arg-type]
    found = present(endpoints_of(ana).database, time.time())
    assert sorted(found) == ["1" * 64, "2" * 64, "3" * 64, "4" * 64]
    assert set(found.values()) == {f"the endpoint churn on {socket.gethostname()} stands on it"}
    said: list[str] = []

    class Saying(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    looks = iter([False, False, True])
    ana.progress = Saying()
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", lambda _: next(looks))
    monkeypatch.setattr(presence, "announce", refusing)
    announcing(ana, Admin(), "churn", stop)  # type: ignore[arg-type]
    assert len(said) == 1
    assert "(permission denied): version prune elsewhere" in said[0]


def refusing(*_: object) -> None:
    """Refuse, as a database does."""
    raise ForbiddenError("the database does not let you", why="permission denied", fix="ask")
