"""A workspace that a team shares: one order of changes, whole or not at all, told clearly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.registry.test_registry import FAIL

from afterfit.errors import (
    ConflictError,
    ForbiddenError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
)
from afterfit.registry.registry import Registry
from afterfit.registry.shared import database as database_module
from afterfit.registry.shared.opening import Stores
from afterfit.registry.shared.postgres import PostgresStorage
from afterfit.registry.version import Promotion
from afterfit.store.remote.objects import Objects

MakeBundle = Callable[..., Path]
Machine = Callable[..., Stores]


def stored_in(tmp_path: Path) -> list[Path]:
    """The objects of the store."""
    return sorted(path for path in (tmp_path / "bucket").rglob("*") if path.is_file())


def altered(address: str, *statements: str) -> None:
    """Change the tables by hand, as somebody with every right can."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement.encode())


def test_what_one_machine_ships_another_has_byte_for_byte(
    machine: Machine, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """Versions, evidence, aliases, log and bytes; the second machine had nothing of it."""
    ana, bo = machine("ana"), machine("bo")
    bundle = make_bundle(b"one")
    ana.registry.register("churn", bundle, who="ana", evidence={"assess": "a" * 64})
    ana.registry.promote("churn", 1, who="ana", why="first")
    found = bo.registry.resolve("churn@champion")
    assert (found.number, found.evidence, found.who) == (1, {"assess": "a" * 64}, "ana")
    assert bo.registry.list() == (found,) == bo.registry.list("churn")
    folder = bo.registry.checkout(found)
    assert folder.is_relative_to(tmp_path / "bo")
    assert (folder / "model/model.onnx").read_bytes() == b"one"
    again = bo.registry.register("churn", bundle, who="bo", evidence={"loadtest": "b" * 64})
    assert (again.number, set(again.evidence)) == (1, {"assess", "loadtest"})
    bo.registry.register("churn", make_bundle(b"two"), who="bo")
    bo.registry.promote("churn", 2, who="bo")
    moved = ana.registry.rollback("churn", who="ana", why="errors")
    assert (moved.version.number, moved.previous) == (1, 2)
    actions = [entry.action for entry in bo.registry.log()]
    assert actions == ["register", "promote", "evidence", "register", "promote", "rollback"]
    checked = bo.registry.verify()
    assert (checked.versions, checked.log_lines) == (2, 6)
    assert bo.registry.verify_log().head == ana.registry.log()[-1].hash


def test_two_who_promote_at_once_one_wins_and_the_other_is_told(
    machine: Machine, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw no champion; the second finds one when its turn comes."""
    ana, bo = machine("ana").registry, machine("bo").registry
    for model in (b"one", b"two"):
        ana.register("churn", make_bundle(model), who="ana")
    real = bo.blobs.trouble

    def slow(digest: str, size: int, *, kept: bool = False) -> Any:
        ana.promote("churn", 1, who="ana")
        monkeypatch.setattr(bo.blobs, "trouble", real)
        return real(digest, size, kept=kept)

    monkeypatch.setattr(bo.blobs, "trouble", slow)
    with pytest.raises(ConflictError, match="moved by somebody else"):
        bo.promote("churn", 2, who="bo")
    assert bo.resolve("churn").number == 1
    assert bo.promote("churn", 2, who="bo", gates=[FAIL]).version.aliases == ()
    assert isinstance(bo.promote("churn", 2, who="bo"), Promotion)


def test_twenty_at_once_make_one_order_and_a_whole_log(
    machine: Machine, make_bundle: MakeBundle
) -> None:
    """Twenty connections promote what they registered until they are through."""
    bundles = [make_bundle(f"model {index}".encode()) for index in range(20)]
    machines = [machine(f"m{index}") for index in range(20)]
    failed: list[BaseException] = []
    gate = threading.Barrier(20)

    def work(stores: Stores, bundle: Path) -> None:
        gate.wait()
        try:
            number = stores.registry.register("churn", bundle, who="me").number
            while True:
                try:
                    stores.registry.promote("churn", number, who="me")
                except ConflictError:
                    continue
                return
        except BaseException as error:  # noqa: BLE001 - it is shown by the assertion
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=each) for each in zip(machines, bundles, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    registry = machines[0].registry
    moved = registry.moves("churn")
    assert sorted(move.to for move in moved) == list(range(1, 21))
    assert [move.source for move in moved] == [None, *(move.to for move in moved[:-1])]
    assert registry.verify_log().lines == 40
    assert registry.verify().versions == 20


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE afterfit_registry_log SET line = replace(line, 'ana', 'eve') WHERE seq = 2", "2"),
        ("DELETE FROM afterfit_registry_log WHERE seq = 2", "2"),
        ("DELETE FROM afterfit_registry_log WHERE seq = 3", "ends after line 2"),
        ("UPDATE afterfit_registry_log SET action = 'note' WHERE seq = 3", "3"),
        ("UPDATE afterfit_registry_head SET seq = 2", "2"),
        ("UPDATE afterfit_registry_versions SET who = 'eve' WHERE number = 1", "not say what"),
        ("UPDATE afterfit_registry_aliases SET number = 2", "not say what"),
        ("UPDATE afterfit_registry_evidence SET records = '{}'", "not say what"),
    ],
)
def test_a_table_changed_by_hand_is_noticed(
    change: str, says: str, machine: Machine, make_bundle: MakeBundle, postgres: str
) -> None:
    """Each table is held against the log, and the log against itself and its head."""
    registry = machine("ana").registry
    registry.register("churn", make_bundle(b"one"), who="ana", evidence={"assess": "a" * 64})
    registry.register("churn", make_bundle(b"two"), who="ana")
    registry.promote("churn", 1, who="ana")
    altered(postgres, change)
    with pytest.raises(IntegrityError) as caught:
        registry.verify()
    assert says in f"{caught.value.message} {caught.value.why}"


def test_lines_and_versions_cannot_be_changed_by_a_statement(
    machine: Machine, make_bundle: MakeBundle, postgres: str
) -> None:
    """The database itself refuses what is not an addition."""
    machine("ana").registry.register("churn", make_bundle(b"one"), who="ana")
    with psycopg.connect(postgres, autocommit=True) as connection:
        for statement in (
            "UPDATE afterfit_registry_versions SET digest = 'x'",
            "DELETE FROM afterfit_registry_log",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
                connection.execute(statement.encode())


def test_bytes_that_changed_in_the_store_are_neither_served_nor_promoted(
    machine: Machine, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """Whoever has no copy is told; a copy that was spoilt is fetched again."""
    ana, bo = machine("ana"), machine("bo")
    version = ana.registry.register("churn", make_bundle(b"one"), who="ana")
    blob = next(path for path in stored_in(tmp_path) if path.read_bytes() == b"one")
    copy = ana.blobs.path(blob.name)
    copy.chmod(0o644)
    copy.write_bytes(b"0ne")
    assert ana.blobs.read(blob.name) == b"one"
    blob.chmod(0o644)
    blob.write_bytes(b"0ne")
    with pytest.raises(IntegrityError, match="not what its digest says") as caught:
        bo.registry.checkout(version)
    assert caught.value.where.endswith(blob.name)
    assert not (tmp_path / "bo" / "bundles" / version.digest).exists()
    for stores in (ana, bo):
        with pytest.raises(IntegrityError, match="damaged: 1 file"):
            stores.registry.verify()
    with pytest.raises(IntegrityError):
        bo.registry.promote("churn", 1, who="bo")
    blob.unlink()
    with pytest.raises(IntegrityError, match="damaged") as caught:
        ana.registry.promote("churn", 1, who="ana")
    assert "is gone" in caught.value.why
    # To put it again mends it.
    machine("cy").registry.register("churn", make_bundle(b"one"), who="cy")
    ana.registry.promote("churn", 1, who="ana")


def test_a_push_that_dies_half_way_registers_nothing_and_goes_on_where_it_was(
    machine: Machine, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails at the third blob; what is there is not sent again."""
    ana = machine("ana")
    sent: list[str] = []
    real, stop = Objects.put, [True]

    def failing(self: Objects, key: str, path: Path) -> None:
        if stop and len(sent) == 2:
            raise UnavailableError("the shared store does not answer", fix="again")
        real(self, key, path)
        sent.append(key)

    monkeypatch.setattr(Objects, "put", failing)
    bundle = make_bundle(b"one")
    with pytest.raises(UnavailableError):
        ana.registry.register("churn", bundle, who="ana")
    assert ana.registry.log() == ()
    stop.clear()
    version = machine("ana").registry.register("churn", bundle, who="ana")
    assert len(sent) == len(set(sent)) == len(stored_in(tmp_path))
    assert machine("bo").registry.checkout(version).is_dir()


def test_the_database_may_restart_and_may_go_away(
    machine: Machine, make_bundle: MakeBundle, postgres: str
) -> None:
    """A lost connection is made again between changes; in the middle of one nothing is done."""
    registry = machine("ana").registry
    registry.register("churn", make_bundle(b"one"), who="ana")
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'afterfit-registry'"
    )
    altered(postgres, kill)
    assert registry.resolve("churn@1").number == 1
    altered(postgres, kill)
    registry.promote("churn", 1, who="ana")
    registry.register("churn", make_bundle(b"two"), who="ana")
    shelf = registry.storage.shelf
    real = shelf.apply

    def cut(entry: Any) -> None:
        altered(postgres, kill)
        real(entry)

    shelf.apply = cut  # type: ignore[method-assign]
    told: list[tuple[str, str]] = []
    registry.listener = lambda entry: told.append((entry.action, entry.to))
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        registry.promote("churn", 2, who="ana")
    assert "nothing is half done" in caught.value.fix
    shelf.apply = real  # type: ignore[method-assign]
    changing = registry.storage.changing

    @contextmanager
    def lost() -> Iterator[None]:
        with changing():
            yield
            raise UnavailableError("the database does not answer", fix="again")

    registry.storage.changing = lost  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        registry.promote("churn", 2, who="ana")
    registry.storage.changing = changing  # type: ignore[method-assign]
    assert registry.resolve("churn").number == 1
    assert registry.verify().log_lines == 3
    assert told == []  # of what was not done nobody is told
    registry.promote("churn", 2, who="ana")
    assert told == [("promote", "2")]


def test_a_connection_lost_while_it_commits_is_looked_into(
    machine: Machine, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit went through and its answer was lost: the change is done, and once."""
    registry = machine("ana").registry
    registry.register("churn", make_bundle(b"one"), who="ana")
    real = database_module.Database.transaction
    broken: list[int] = []

    def losing(self: database_module.Database, begin: str = "") -> Any:
        from contextlib import contextmanager

        @contextmanager
        def lost() -> Any:
            with real(self, begin):
                yield
            if not broken:
                broken.append(1)
                self.close()
                raise database_module.Away("gone", fix="again")

        return lost()

    monkeypatch.setattr(database_module.Database, "transaction", losing)
    moved = registry.promote("churn", 1, who="ana")
    assert isinstance(moved, Promotion)
    assert broken
    assert [entry.action for entry in registry.log()] == ["register", "promote"]


def test_who_may_only_read_serves_and_is_told_when_changing(
    machine: Machine, make_bundle: MakeBundle, postgres: str, tmp_path: Path
) -> None:
    """A server's user of the database needs SELECT alone."""
    ana = machine("ana")
    ana.registry.register("churn", make_bundle(b"one"), who="ana")
    altered(
        postgres,
        "DROP ROLE IF EXISTS afterfit_reader",
        "CREATE ROLE afterfit_reader LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO afterfit_reader",
    )
    storage = PostgresStorage(postgres.replace("postgres:@", "afterfit_reader:hunter2@"))
    reader = Registry(tmp_path / "reader", ana.blobs, storage=storage)
    try:
        assert reader.resolve("churn").number == 1
        with pytest.raises(ForbiddenError, match="does not let you") as caught:
            reader.promote("churn", 1, who="bo")
        assert "hunter2" not in str(caught.value)
    finally:
        storage.database.close()
        altered(postgres, "DROP OWNED BY afterfit_reader", "DROP ROLE afterfit_reader")


def test_a_clock_that_was_set_back_loses_nothing_and_is_told(
    machine: Machine, make_bundle: MakeBundle, tmp_path: Path, postgres: str
) -> None:
    """The order of the log is that of its numbers; verify names the lines."""
    ana = machine("ana")
    for model in (b"one", b"two"):
        ana.registry.register("churn", make_bundle(model), who="ana")
    ana.registry.promote("churn", 1, who="ana")
    early = datetime.now(UTC) - timedelta(days=1)
    storages = [PostgresStorage(postgres, clock=lambda: early)]
    wrong = Registry(tmp_path / "wrong", ana.blobs, storage=storages[0])
    wrong.promote("churn", 2, who="bo")
    assert ana.registry.verify_log().set_back == (4,)
    assert ana.registry.rollback("churn", who="ana", why="?").version.number == 1


def test_a_database_without_a_workspace_says_so(machine: Machine) -> None:
    """Looking makes no tables."""
    with pytest.raises(NotFoundError, match="no workspace in this database"):
        machine("ana", create=False)
