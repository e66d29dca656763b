"""What is let go and what never is, at random and by name; and what is broken, with its cure."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afterfit.cli.app import run
from afterfit.core.bundle import Variant, write_manifest
from afterfit.core.digest import canonical_json
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.signature import Column, Signature
from afterfit.errors import NotFoundError, UsageError
from afterfit.registry.history import rollback_target
from afterfit.registry.registry import Registry
from afterfit.registry.retention import Policy
from afterfit.registry.version import Promotion
from afterfit.workspace import Workspace
from afterfit.workspace.pruning import broken, prune

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = Signature(task="regression", columns=(Column(name="a", kind="number"),))
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400.0
ALIASES = ("champion", "challenger")


def bundle(folder: Path, model: str) -> Path:
    """A small bundle; all of them share every file but the model's."""
    if not folder.is_dir():
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "model.onnx").write_text(model)
        variant = Variant(name="o", runtime="onnx", framework="sklearn", file="model/model.onnx")
        parts = {"signature": SIGNATURE, "variant": variant,
                 "fingerprint": Fingerprint(n_ref=0, seed=0, columns=[])}  # fmt: skip
        for name, part in parts.items():
            (folder / f"{name}.json").write_bytes(canonical_json(part))
        write_manifest(folder)
    return folder


class Days:
    """A clock that is a day later each time it is asked."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """Return the next day."""
        self.now += timedelta(days=1)
        return self.now


def opened(folder: Path) -> tuple[Workspace, Days]:
    """A workspace whose registry has days between its lines."""
    space, clock = Workspace(folder / ".afterfit"), Days()
    space.registry = Registry(space.folder, space.blobs, clock=clock)
    return space, clock


OPERATIONS = st.one_of(
    st.tuples(st.just("register"), st.sampled_from("xy"), st.integers(0, 7)),
    st.tuples(st.just("promote"), st.sampled_from("xy"), st.integers(1, 8)),
    st.tuples(st.just("challenge"), st.sampled_from("xy"), st.integers(1, 8)),
    st.tuples(st.just("rollback"), st.sampled_from("xy"), st.just(0)),
    st.tuples(st.just("serve"), st.sampled_from("xy"), st.integers(1, 8)),
)


def do(space: Workspace, folder: Path, operation: tuple[str, str, int]) -> None:
    """Do one operation, where it can be done."""
    what, name, number = operation
    registry = space.registry
    if what == "register":
        registry.register(name, bundle(folder / f"b{number}", f"model {number}"), who="ana")
        return
    if name not in registry.names() or number > len(registry.list(name)):
        return
    if what == "rollback":
        if rollback_target(registry.moves(name)) is not None:
            registry.rollback(name, who="ana", why="bad")
    elif what == "serve":
        digest = registry.resolve(f"{name}@{number}").digest
        place = space.folder / "endpoints" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "endpoint.json").write_text(json.dumps({"models": {name: {"primary": digest}}}))
    else:
        alias = "champion" if what == "promote" else "challenger"
        registry.promote(name, number, alias, who="ana")


@settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    operations=st.lists(OPERATIONS, min_size=4, max_size=12),
    keep=st.integers(1, 3),
    older=st.integers(0, 6),
)
def test_nothing_goes_that_anything_stands_on(
    tmp_path_factory: pytest.TempPathFactory,
    operations: list[tuple[str, str, int]],
    keep: int,
    older: int,
) -> None:
    """Aliases, their next two rollbacks, endpoints, the newest and the young find every byte."""
    folder = tmp_path_factory.mktemp("prune")
    space, clock = opened(folder)
    begun = [("register", name, number) for name in "xy" for number in range(5)]
    for operation in (*begun, *operations):
        do(space, folder, operation)
    registry = space.registry
    before = [version for name in registry.names() for version in registry.list(name)]
    served = {
        json.loads(path.read_text())["models"][path.parent.name]["primary"]
        for path in (space.folder / "endpoints").glob("*/endpoint.json")
    }
    now = clock.now
    policy = Policy(keep=keep, older=older * DAY)
    dry = prune(space, policy, now=now)
    assert all(not v.aliases or registry.checkout(v) for v in before)
    found = prune(space, policy, really=True, now=now)
    assert [fate.goes for fate in found.fates] == [fate.goes for fate in dry.fates]
    assert found.freed == dry.freed
    gone = {fate.version.digest for fate in found.going}
    for version in before:
        newest = sorted(v.number for v in before if v.name == version.name)[-keep:]
        young = now - datetime.fromisoformat(version.created) < timedelta(days=older)
        if version.aliases or version.digest in served or version.number in newest or young:
            assert version.digest not in gone
            registry.checkout(version)
    assert broken(space) == []
    for name in registry.names():
        for _ in range(2):
            if rollback_target(registry.moves(name)) is not None:
                assert isinstance(registry.rollback(name, who="ana", why="drill"), Promotion)
    assert prune(space, Policy(keep=99), really=True, now=now).going == ()
    assert len(registry.list("x") if "x" in registry.names() else ()) == sum(
        v.name == "x" for v in before
    )


def many(space: Workspace, folder: Path, n: int = 5) -> None:
    """Versions 1 to n of x, the last one champion after the first."""
    for number in range(1, n + 1):
        space.registry.register("x", bundle(folder / f"b{number}", f"m{number}"), who="ana")
    for number in (1, n):
        space.registry.promote("x", number, who="ana")


def test_what_went_is_told_and_comes_back(tmp_path: Path) -> None:
    """Files go once, shared ones stay; the log says why; an equal bundle gets its number back."""
    space, clock = opened(tmp_path)
    many(space, tmp_path)
    registry = space.registry
    second = registry.resolve("x@2")
    registry.checkout(second)
    references = space.folder / "monitor" / "references"
    references.mkdir(parents=True)
    (references / f"{second.digest}.rows").write_bytes(b"rows")
    policy = Policy(keep=1, older=DAY)
    later = clock.now + timedelta(days=30)
    found = prune(space, policy, really=True, now=later)
    assert [fate.version.number for fate in found.going] == [2, 3, 4]
    assert not space.blobs.has(second.digest)
    assert not (space.folder / "bundles" / second.digest).exists()
    assert list(references.iterdir()) == []
    line = registry.show("x@2")[1][-1]
    assert (line.action, line.details["digest"]) == ("prune", second.digest)
    assert registry.verify("x").versions == 5
    with pytest.raises(NotFoundError, match="were pruned"):
        registry.promote("x", 2, who="ana")
    assert prune(space, policy, really=True, now=later).going == ()
    again = registry.register("x", tmp_path / "b2", who="ana")
    assert again.number == 2
    registry.promote("x", 2, who="ana")
    assert broken(space) == []


def test_what_a_crash_cut_short_is_seen_and_finished(tmp_path: Path) -> None:
    """With the line written and one file gone, verify tells it, and the next prune ends it."""
    space, clock = opened(tmp_path)
    many(space, tmp_path)
    version = space.registry.resolve("x@2")
    own = space.blobs.manifest(version.digest).files["model/model.onnx"].sha256
    with space.registry.storage.changing():
        space.registry.audit.append("prune", who="ana", name="x", to="2",
                                    details={"digest": version.digest})  # fmt: skip
    space.blobs.path(own).unlink()
    assert any(own in each.where for each in broken(space))
    later = clock.now + timedelta(days=30)
    assert prune(space, Policy(keep=1, older=DAY), really=True, now=later).going
    assert broken(space) == []


def test_each_broken_thing_has_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A blob with an intact checkout, one without, an alias file, a cut log: each has its own."""
    monkeypatch.chdir(tmp_path)
    space, _ = opened(tmp_path)
    many(space, tmp_path, 2)
    assert run(["version", "verify"]) == 0
    one, two = (space.registry.resolve(f"x@{n}") for n in (1, 2))
    for version in (one, two):
        digest = space.blobs.manifest(version.digest).files["model/model.onnx"].sha256
        blob = space.blobs.path(digest)
        if version is two:
            checkout = space.registry.checkout(version)
        blob.unlink()
        blob.write_bytes(b"spoilt")
    alias = space.folder / "registry" / "x" / "aliases" / "champion.json"
    alias.write_bytes(alias.read_bytes().replace(b'"number":2', b'"number":1'))
    capsys.readouterr()
    assert run(["version", "verify"]) == 2
    told = capsys.readouterr().err
    assert "3 things" in told
    assert f"cp --remove-destination {checkout.relative_to(tmp_path)}/model/model.onnx" in told
    assert "ship the same model again (x@1 needs it)" in told
    assert "the audit log says what it should hold" in told
    log = space.folder / "audit.jsonl"
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    assert run(["version", "verify"]) == 2
    assert "restore audit.jsonl and registry/ together" in capsys.readouterr().err
    assert run(["version", "prune", "--yes", "--keep", "1"]) == 2


def test_the_command_only_tells_unless_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --yes nothing is touched; with it the bytes go; 0 to keep is refused."""
    monkeypatch.chdir(tmp_path)
    space, _ = opened(tmp_path)
    many(space, tmp_path)
    command = ["version", "prune", "--keep", "1", "--older", "1d"]
    log, files = len(space.registry.log()), sorted(space.blobs.folder.rglob("*"))
    assert run(command) == 0
    assert "would go" in capsys.readouterr().out
    assert sorted(space.blobs.folder.rglob("*")) == files
    assert len(space.registry.log()) == log
    assert run([*command, "--yes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["result"]
    assert told["done"]
    states = {each["version"]: each["fate"] for each in told["versions"]}
    assert states == {1: "stays", 2: "goes", 3: "goes", 4: "goes", 5: "stays"}
    assert told["freed_bytes"] > 0
    assert run(["version", "prune", "--keep", "0"]) == 2
    with pytest.raises(UsageError):
        Policy(keep=0)
