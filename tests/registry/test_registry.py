"""Registering, finding and moving versions."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afterfit.core.gate import GateResult
from afterfit.errors import (
    AfterfitError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from afterfit.registry.audit import Entry
from afterfit.registry.history import move_of, rollback_target
from afterfit.registry.registry import Registry
from afterfit.registry.version import GateRefusal, Promotion
from afterfit.store.blobs import BlobStore

MakeBundle = Callable[..., Path]
PASS = GateResult(gate="f1 >= 0.8", outcome="pass", value=0.9, limit=0.8)
FAIL = GateResult(gate="f1 >= 0.8", outcome="fail", value=0.7, limit=0.8)
MISSING = GateResult(gate="p99 <= 20", outcome="missing", limit=20, why="no record has 'p99'")


def three(registry: Registry, make_bundle: MakeBundle) -> None:
    """Register churn 1, 2 and 3."""
    for model in (b"one", b"two", b"three"):
        registry.register("churn", make_bundle(model), who="ana")


def test_numbers_count_up_and_equal_bytes_are_one_version(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """Other bytes get the next number; the same bytes again return theirs, evidence added."""
    first = registry.register(
        "churn", make_bundle(b"one"), who="ana", evidence={"assess": "a" * 64}
    )
    second = registry.register("churn", make_bundle(b"two"), who="ana")
    again = registry.register(
        "churn", make_bundle(b"one"), who="bo", evidence={"loadtest": "b" * 64}
    )
    assert (first.number, second.number, again.number) == (1, 2, 1)
    assert again.digest == first.digest != second.digest
    assert again.evidence == {"assess": "a" * 64, "loadtest": "b" * 64}
    assert again.who == "ana"
    assert [entry.action for entry in registry.log()] == ["register", "register", "evidence"]


def test_a_name_has_numbers_of_its_own(registry: Registry, make_bundle: MakeBundle) -> None:
    """The same bundle under two names is number 1 of each."""
    bundle = make_bundle(b"one")
    assert registry.register("churn", bundle, who="ana").number == 1
    assert registry.register("fraud", bundle, who="ana").number == 1
    assert registry.names() == ("churn", "fraud")
    assert [str(v) for v in registry.list()] == [
        f"{name}@1 (sha256:{registry.resolve(name).digest[:12]})" for name in ("churn", "fraud")
    ]


def test_the_version_file_is_never_written_again(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """It is read-only, and stays as it was through evidence and promotions."""
    registry.register("churn", make_bundle(b"one"), who="ana")
    path = registry.folder / "registry/churn/versions/000001.json"
    before = path.read_bytes(), path.stat().st_mtime_ns
    registry.register("churn", make_bundle(b"one"), who="ana", evidence={"assess": "a" * 64})
    registry.promote("churn", 1, who="ana")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0


def test_a_damaged_bundle_is_not_registered(registry: Registry, make_bundle: MakeBundle) -> None:
    """Bytes that are not what the manifest says are refused, and nothing is logged."""
    bundle = make_bundle(b"one")
    (bundle / "model" / "model.onnx").write_bytes(b"One")
    with pytest.raises(IntegrityError, match=r"model\.onnx"):
        registry.register("churn", bundle, who="ana")
    assert registry.log() == ()


@pytest.mark.parametrize("name", ["head", "lock"])
def test_a_name_of_the_registrys_own_files_is_refused(
    name: str, registry: Registry, make_bundle: MakeBundle
) -> None:
    """Its folder could never be made, and the line that announced it never be done."""
    with pytest.raises(UsageError, match="cannot be called") as caught:
        registry.register(name, make_bundle(b"one"), who="ana")
    assert caught.value.fix.endswith(f"{name}-model")
    assert registry.log() == ()
    assert registry.register("churn", make_bundle(b"one"), who="ana").number == 1


@pytest.mark.parametrize(
    "name", ["", "Churn", "a/b", "../x", ".hidden", "-x", "a b", "é", "a" * 101]
)
def test_a_bad_name_is_refused_with_a_better_one(
    name: str, registry: Registry, make_bundle: MakeBundle
) -> None:
    """Names that would not do as a folder or in a URL are refused, and the fix is a good one."""
    with pytest.raises(UsageError) as caught:
        registry.register(name, make_bundle(b"one"), who="ana")
    suggestion = caught.value.fix.rpartition(" ")[2]
    assert registry.register(suggestion, make_bundle(b"one"), who="ana").name == suggestion


@pytest.mark.parametrize("alias", ["", "3", "Champion", "../x", "abcdef", "a b", "0day"])
def test_a_bad_alias_is_refused(alias: str, registry: Registry, make_bundle: MakeBundle) -> None:
    """An alias that reads like a number or a digest, or is no plain word, is refused."""
    registry.register("churn", make_bundle(b"one"), who="ana")
    with pytest.raises(UsageError):
        registry.promote("churn", 1, alias, who="ana")


def test_a_version_is_found_by_alias_number_and_digest(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """Every way to write a version finds the same one."""
    three(registry, make_bundle)
    registry.promote("churn", 2, who="ana")
    registry.promote("churn", 3, "challenger", who="ana")
    second = registry.resolve("churn@2")
    assert second.aliases == ("champion",)
    for text in ("churn", "churn@champion", f"churn@sha256:{second.digest}"):
        assert registry.resolve(text) == second
    assert registry.resolve(f"churn@{second.digest[:8]}") == second
    assert registry.resolve("churn@challenger").number == 3


def test_what_is_not_there_is_answered_with_what_is(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """NotFoundError lists names, numbers and aliases; a bare name with a choice asks for one."""
    with pytest.raises(NotFoundError, match="nothing is registered yet"):
        registry.resolve("churn")
    three(registry, make_bundle)
    with pytest.raises(NotFoundError, match="registered are: churn"):
        registry.resolve("fraud@1")
    with pytest.raises(NotFoundError, match=r"no champion and 3 versions[\s\S]*1 \(sha256:"):
        registry.resolve("churn")
    registry.promote("churn", 2, who="ana")
    for text in ("churn@9", "churn@challenger", "churn@abcdef0123"):
        with pytest.raises(NotFoundError, match="champion → 2"):
            registry.resolve(text)
    for text in ("churn@", "churn@../fraud", "churn@A b", "churn@@"):
        with pytest.raises(UsageError, match="@"):
            registry.resolve(text)
    with pytest.raises(NotFoundError, match="fraud"):
        registry.list("fraud")


def test_a_bare_name_with_one_version_is_that_version(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """Nobody has to name the only version."""
    registry.register("churn", make_bundle(b"one"), who="ana")
    assert registry.resolve("churn").number == 1


@pytest.mark.parametrize("gate", [FAIL, MISSING], ids=["failed", "missing"])
def test_a_gate_that_did_not_pass_stops_the_promotion(
    gate: GateResult, registry: Registry, make_bundle: MakeBundle
) -> None:
    """The alias stays, the refusal says why, and the log keeps it."""
    registry.register("churn", make_bundle(b"one"), who="ana")
    refusal = registry.promote("churn", 1, who="ana", gates=[PASS, gate])
    assert isinstance(refusal, GateRefusal)
    assert refusal.blocking == (gate,)
    assert gate.gate in refusal.why
    assert registry.resolve("churn@1").aliases == ()
    assert registry.log()[-1].action == "refuse"


def test_an_override_needs_a_reason_and_the_log_keeps_it(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """A blank reason is refused; a reason promotes, and stands in the log beside the gates."""
    registry.register("churn", make_bundle(b"one"), who="ana")
    with pytest.raises(UsageError, match="needs a reason"):
        registry.promote("churn", 1, who="ana", gates=[FAIL], override=" ")
    promotion = registry.promote("churn", 1, who="ana", gates=[FAIL], override="hotfix")
    assert isinstance(promotion, Promotion)
    assert promotion.version.aliases == ("champion",)
    details = registry.log()[-1].details
    assert details["override"] == "hotfix"
    assert details["gates"] == [{"gate": "f1 >= 0.8", "outcome": "fail", "value": 0.7}]
    assert registry.moves("churn")[-1].override == "hotfix"


def test_promoting_what_is_champion_already_moves_nothing(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """The answer says so, and the log gets no line."""
    registry.register("churn", make_bundle(b"one"), who="ana")
    registry.promote("churn", 1, who="ana")
    lines = len(registry.log())
    again = registry.promote("churn", 1, who="bo")
    assert isinstance(again, Promotion)
    assert (again.move, again.previous, len(registry.log())) == (None, 1, lines)


def test_an_alias_that_moved_meanwhile_is_a_conflict(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """Who decided against an older champion has to look again."""
    three(registry, make_bundle)
    registry.promote("churn", 1, who="ana", expected=0)
    registry.promote("churn", 2, who="bo", expected=1)
    with pytest.raises(ConflictError, match="it pointed to 1, now it points to 2"):
        registry.promote("churn", 3, who="ana", expected=1)
    assert registry.resolve("churn").number == 2


def test_a_move_between_reading_and_writing_is_a_conflict(
    registry: Registry, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one process hashes the bytes another one promotes: the slower one is refused."""
    three(registry, make_bundle)
    other = Registry(registry.folder, BlobStore(registry.folder))
    original = BlobStore.manifest

    def slow(self: BlobStore, digest: str) -> object:
        monkeypatch.setattr(BlobStore, "manifest", original)
        other.promote("churn", 2, who="bo")
        return original(self, digest)

    monkeypatch.setattr(BlobStore, "manifest", slow)
    with pytest.raises(ConflictError):
        registry.promote("churn", 3, who="ana")
    assert registry.resolve("churn").number == 2


def test_rollback_goes_back_twice_and_history_goes_on(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """3 → 2 → 1; after promoting 3 again the way back leads to 1, as 2 was rolled back from."""
    three(registry, make_bundle)
    for number in (1, 2, 3):
        registry.promote("churn", number, who="ana")
    assert registry.rollback("churn", who="ana", why="errors").version.number == 2
    assert registry.rollback("churn", who="ana", why="more errors").version.number == 1
    with pytest.raises(NotFoundError, match="every other one was rolled back from"):
        registry.rollback("churn", who="ana", why="?")
    registry.promote("churn", 3, who="ana")
    back = registry.rollback("churn", who="ana", why="again")
    assert (back.previous, back.version.number) == (3, 1)
    assert back.move is not None
    assert back.move.why == "again"


def test_nothing_to_roll_back_to_says_what_to_do(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """No champion, or only one ever: the error says which, with a command."""
    three(registry, make_bundle)
    with pytest.raises(NotFoundError, match="churn never had a champion"):
        registry.rollback("churn", who="ana", why="?")
    registry.promote("churn", 1, who="ana")
    with pytest.raises(
        NotFoundError, match="1 is the only version that was ever champion"
    ) as caught:
        registry.rollback("churn", who="ana", why="?")
    assert "afterfit version promote" in caught.value.fix


class Stack:
    """Another way to say what a rollback does: a stack of champions and a set of bad ones."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self.bad: set[int] = set()

    def promote(self, number: int) -> None:
        """Put the version on top; being chosen on purpose makes it good."""
        if self.held[-1:] != [number]:
            self.bad.discard(number)
            self.held.append(number)

    def target(self) -> int | None:
        """The nearest version below the top that is not bad."""
        below = [n for n in self.held[:-1] if n not in self.bad | {self.held[-1]}]
        return below[-1] if below else None

    def rollback(self) -> None:
        """Take versions off until a good one is on top."""
        self.bad.add(self.held[-1])
        while self.held[-1] in self.bad:
            self.held.pop()


@given(st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=40))
def test_rollback_agrees_with_a_stack_of_champions(actions: list[int | None]) -> None:
    """For any history of promotions (a number) and rollbacks (None) the target is the model's."""
    stack, lines = Stack(), list[Entry]()

    def log(action: str, to: int) -> None:
        source = lines[-1].to if lines else ""
        details = {"alias": "champion", "digest": "d"}
        lines.append(
            Entry(
                seq=len(lines) + 1,
                time="",
                who="",
                action=action,
                name="churn",
                source=source,
                to=str(to),
                details=details,
            )
        )

    for number in actions:
        target = rollback_target(m for m in map(move_of, lines) if m is not None)
        assert target == (stack.target() if stack.held else None)
        if number is not None:
            if stack.held[-1:] != [number]:
                log("promote", number)
            stack.promote(number)
        elif target is not None:
            stack.rollback()
            log("rollback", target)
            assert stack.held[-1] == target


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(st.one_of(st.none(), st.integers(1, 3)), min_size=1, max_size=8))
def test_alias_and_log_agree_after_any_history(
    actions: list[int | None], make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On disk, after every action, the alias stands where the last move of the log put it."""
    folder = tmp_path_factory.mktemp("history")
    registry = Registry(folder, BlobStore(folder))
    three(registry, make_bundle)
    for number in actions:
        try:
            if number is None:
                registry.rollback("churn", who="ana", why="test")
            else:
                registry.promote("churn", number, who="ana")
        except NotFoundError as error:
            assert "nothing to roll" in error.message  # noqa: PT017 - only a rollback may fail
        moved = registry.moves("churn")
        champion = [v.number for v in registry.list("churn") if "champion" in v.aliases]
        assert champion == ([moved[-1].to] if moved else [])
    registry.verify()


def flip_one_bit(path: Path, position: int = -1) -> None:
    """Change one bit of a file, read-only or not."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


def test_one_flipped_bit_anywhere_is_found_and_named(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    """Every blob, version, evidence, alias and head file in turn: verify names that file."""
    registry.register("churn", make_bundle(b"one"), who="ana", evidence={"assess": "a" * 64})
    registry.promote("churn", 1, who="ana")
    assert registry.verify().files == 4
    files = [p for p in registry.folder.rglob("*") if p.is_file() and p.name != "lock"]
    assert len(files) == 10
    for path in files:
        whole = path.read_bytes()
        for position in (0, len(whole) // 2, len(whole) - 3):
            flip_one_bit(path, position)
            with pytest.raises(AfterfitError) as caught:
                registry.verify()
            assert isinstance(caught.value, IntegrityError), (path, position)
            assert path.name in str(caught.value) or path.parent.parent.name == "blobs"
            path.write_bytes(whole)
    registry.verify()


@pytest.mark.parametrize("verb", ["promote", "rollback", "checkout"])
def test_a_damaged_version_is_neither_promoted_nor_served(
    verb: str, registry: Registry, make_bundle: MakeBundle
) -> None:
    """One bit of the model's file: each way to use the version refuses, and the alias stays."""
    three(registry, make_bundle)
    registry.promote("churn", 1, who="ana")
    registry.promote("churn", 2, who="ana")
    target = registry.resolve("churn@1")
    manifest = registry.blobs.manifest(target.digest)
    blob = registry.blobs.path(manifest.files["model/model.onnx"].sha256)
    flip_one_bit(blob)
    verbs: dict[str, Callable[[], object]] = {
        "promote": lambda: registry.promote("churn", 1, who="ana"),
        "rollback": lambda: registry.rollback("churn", who="ana", why="?"),
        "checkout": lambda: registry.checkout(target),
    }
    with pytest.raises(IntegrityError, match=blob.name[:12]):
        verbs[verb]()
    assert registry.resolve("churn").number == 2
    assert registry.log()[-1].to == "2"


def test_a_checkout_is_the_bundle(registry: Registry, make_bundle: MakeBundle) -> None:
    """The folder holds the same bytes under the digest's name, and is kept the second time."""
    bundle = make_bundle(b"one")
    version = registry.register("churn", bundle, who="ana")
    folder = registry.checkout(version)
    assert folder == registry.folder / "bundles" / version.digest
    names = sorted(p.relative_to(bundle) for p in bundle.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert all((folder / n).read_bytes() == (bundle / n).read_bytes() for n in names)
    assert registry.checkout(version) == folder


def test_opening_changes_nothing(tmp_path: Path) -> None:
    """A registry that was never written to leaves no file."""
    folder = tmp_path / ".afterfit"
    registry = Registry(folder, BlobStore(folder))
    assert registry.list() == ()
    assert registry.log() == ()
    assert registry.verify_log().lines == 0
    assert not folder.exists()


def test_show_tells_what_happened_to_a_version(registry: Registry, make_bundle: MakeBundle) -> None:
    """The lines of the log that name the version, and no other."""
    three(registry, make_bundle)
    registry.promote("churn", 1, who="ana")
    registry.promote("churn", 2, who="bo", why="better")
    version, lines = registry.show("churn@1")
    assert version.number == 1
    assert [line.action for line in lines] == ["register", "promote", "promote"]


def test_the_registrys_own_words_cannot_be_noted(registry: Registry) -> None:
    """A note may not pass for a move; anything else becomes a line."""
    with pytest.raises(UsageError):
        registry.note("promote", who="eve", to="1")
    assert registry.note("trust", who="ana", to="mypkg.Encoder").seq == 1
