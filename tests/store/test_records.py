"""Records as append-only files, and the index that finds them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from afterfit.core.digest import canonical_json, digest_of
from afterfit.core.metric import Metric
from afterfit.errors import ForbiddenError, IntegrityError, NotFoundError, UsageError
from afterfit.records.assess import AssessRecord
from afterfit.records.codec import Stored
from afterfit.records.predict import PredictRecord
from afterfit.records.record import Environment
from afterfit.store.records import RecordStore, make_envelope

WRITER = Path(__file__).with_name("record_writer.py")
ENV = Environment(afterfit="1")


def record(subject: str = "s", **fields: Any) -> AssessRecord:
    """An assess record about ``subject``."""
    return AssessRecord(subject=subject, env=ENV, **fields)


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    """An empty store."""
    return RecordStore(tmp_path)


def rows_on_disk(store: RecordStore) -> int:
    """How many records the index has in its file, not in memory."""
    with closing(sqlite3.connect(store.index.path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM records").fetchone()
    return int(count)


def start_writer(folder: Path, number: int, count: int) -> subprocess.Popen[str]:
    """Start a process that puts records."""
    return subprocess.Popen(
        [sys.executable, str(WRITER), str(folder), str(number), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_record_comes_back_with_its_envelope(store: RecordStore) -> None:
    """What was put is found by digest, by the first digits and by its reuse key."""
    started = time.monotonic() - 2.0
    stored = store.put(record(args={"seed": 1}), key="k", started=started)
    for found in (store.get(stored.digest), store.get(stored.digest[:8].upper()), store.find("k")):
        assert found == stored
    assert 2.0 <= stored.envelope.duration_s < 60
    assert stored.envelope.created.endswith("+00:00")
    assert stored.envelope.host
    assert store.find("other") is None
    assert store.find("") is None


@pytest.mark.parametrize("value", [1, 1.0, np.float64(1.0), float("nan"), np.int64(3), 1e300])
def test_any_number_a_step_measures_survives_the_file(store: RecordStore, value: Any) -> None:
    """An int in a float field, a numpy scalar and a NaN are kept as JSON has them, and verify."""
    stored = store.put(record(metrics=(Metric(name="m", value=value),)))
    assert store.verify() == ()
    assert store.get(stored.digest) == stored
    expected = None if np.isnan(value) else float(value)
    assert stored.body.metrics[0].value == expected


def test_the_same_record_twice_keeps_the_first_envelope(store: RecordStore) -> None:
    """A duplicate changes nothing on the disk."""
    first = store.put(record(), key="a")
    second = store.put(record(), key="b")
    assert second == first
    assert len(store.list()) == 1


def test_find_gives_the_newest_and_no_failed_record(store: RecordStore) -> None:
    """Of equal keys the newest is reused; a failed step is run again."""
    for index in range(3):
        newest = store.put(record(args={"i": index}), key="k")
    store.put(record(args={"i": 9}, status="failed"), key="k")
    assert store.find("k") == newest
    assert store.find("k", statuses=("failed",)) is not None


def test_list_is_by_step_and_subject_and_newest_first(store: RecordStore) -> None:
    """Each filter narrows; the order is that of creation, backwards."""
    one = store.put(record("a"))
    two = store.put(record("b"))
    three = store.put(PredictRecord(subject="a", env=ENV, source="", output="", rows=0))
    assert store.list() == (three, two, one)
    assert store.list("assess") == (two, one)
    assert store.list(subject="a") == (three, one)
    assert store.latest("assess", "a") == one
    assert store.latest("ship") is None


def test_get_explains_what_it_cannot_find(store: RecordStore) -> None:
    """Unknown, too short and ambiguous digits are errors of their own."""
    with pytest.raises(NotFoundError, match="no record abcdef"):
        store.get("abcdef")
    for bad in ("ab", "../x", "zzzz", ""):
        with pytest.raises(UsageError, match="not a record's digest"):
            store.get(bad)
    store.folder.mkdir(exist_ok=True)
    for tail in ("0" * 60, "1" * 60):
        (store.folder / f"abcd{tail}.json").write_bytes(b"{}")
    with pytest.raises(UsageError, match="2 records begin with abcd"):
        store.get("abcd")


def test_a_changed_record_is_named_and_never_believed(store: RecordStore) -> None:
    """One changed number, half a file, and a file under another's name are all found."""
    good, changed, cut, moved = (store.put(record(f"subject-{i}"), key="k") for i in range(4))
    path = store.folder / f"{changed.digest}.json"
    path.write_bytes(path.read_bytes().replace(b"subject-1", b"subject-9"))
    path = store.folder / f"{cut.digest}.json"
    path.write_bytes(path.read_bytes()[:100])
    (store.folder / f"{moved.digest}.json").rename(store.folder / f"{'0' * 64}.json")
    (store.folder / ".tmp-1234.json").write_bytes(b"{half")
    broken = {path.stem: error for path, error in store.verify()}
    assert broken.keys() == {changed.digest, cut.digest, "0" * 64}
    assert all(error.fix and error.where for error in broken.values())
    with pytest.raises(IntegrityError, match="changed after it was written"):
        store.get(changed.digest)
    assert store.list() == (good,)
    assert store.find("k") == good


def test_a_spoilt_record_is_mended_by_the_same_result(store: RecordStore) -> None:
    """The step that runs again writes the record anew."""
    stored = store.put(record(), key="k")
    (store.folder / f"{stored.digest}.json").write_bytes(b"")
    assert store.find("k") is None
    again = store.put(record(), key="k")
    assert store.verify() == ()
    assert store.find("k") == again


def test_a_record_from_elsewhere_is_checked_before_it_is_kept(store: RecordStore) -> None:
    """A digest that is not that of the body is refused, and no file appears."""
    body = record()
    envelope = msgspec.structs.replace(make_envelope(body), digest="0" * 64)
    with pytest.raises(IntegrityError):
        store.add(Stored(envelope=envelope, body=body))
    assert not store.folder.exists()


@pytest.mark.parametrize("harm", ["delete", "garbage", "truncate", "empty", "old", "flip"])
def test_the_index_is_made_again_from_the_files(store: RecordStore, harm: str) -> None:
    """Whatever happens to index.sqlite, everything is found again."""
    kept = [store.put(record(args={"i": i}), key=f"k{i % 3}") for i in range(30)]
    path = store.index.path
    data = path.read_bytes()
    if harm == "delete":
        path.unlink()
    elif harm == "old":
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM records WHERE key = 'k1'")
            connection.execute("INSERT INTO records VALUES ('gone', '', '', 'k2', '9', 'complete')")
        connection.close()
    else:
        flipped = data[:4096] + bytes(b ^ 255 for b in data[4096:])
        harmed = {"garbage": b"x" * 5000, "truncate": data[:5000], "empty": b"", "flip": flipped}
        path.write_bytes(harmed[harm])
    fresh = RecordStore(store.index.path.parent)
    assert {each.digest for each in fresh.list()} == {each.digest for each in kept}
    assert fresh.find("k2") == kept[29]
    assert rows_on_disk(fresh) == 30


def test_the_index_lives_in_memory_where_it_cannot_be_kept(tmp_path: Path) -> None:
    """A place where SQLite cannot write (here a folder has its name) loses nothing."""
    (tmp_path / "index.sqlite").mkdir()
    store = RecordStore(tmp_path)
    stored = store.put(record(), key="k")
    assert store.find("k") == stored
    assert store.index.path.is_dir()


def test_a_read_only_workspace_is_an_error_with_nothing_half_written(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused write says what and where; records put before are still read."""
    kept = store.put(record("before"))

    def refuse(_: int) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ForbiddenError, match="read-only"):
        store.put(record("after"))
    assert [path.stem for path in store.folder.iterdir()] == [kept.digest]
    assert store.list() == (kept,)


def test_eight_processes_lose_no_record(tmp_path: Path) -> None:
    """8 processes of 50 records each: 400 files, all sound, all found by key."""
    writers = [start_writer(tmp_path, number, 50) for number in range(8)]
    told = [line for writer in writers for line in writer.communicate(timeout=100)[0].split()]
    assert [writer.returncode for writer in writers] == [0] * 8
    store = RecordStore(tmp_path)
    assert store.verify() == ()
    assert len(set(told)) == 400
    assert {stored.digest for stored in store.list()} == set(told)
    for number in range(8):
        found = store.find(f"{number}-49")
        assert found is not None
        assert found.body.subject == str(number)


def test_a_killed_writer_leaves_only_whole_records(tmp_path: Path) -> None:
    """At any moment of a kill -9: what was told is there, and no part of a record is read."""
    told: set[str] = set()
    rng = np.random.default_rng(0)
    for number in range(6):
        with start_writer(tmp_path, number, 100_000) as writer:
            assert writer.stdout is not None
            for _ in range(int(rng.integers(1, 40))):
                told.add(writer.stdout.readline().strip())
            writer.kill()
            # A line that was under way when the process died is no promise.
            whole = writer.stdout.read().splitlines(keepends=True)
            told |= {line.strip() for line in whole if line.endswith("\n")}
    store = RecordStore(tmp_path)
    found = {stored.digest for stored in store.list()}
    assert store.verify() == ()
    assert told <= found
    assert rows_on_disk(store) == len(found)


def test_a_record_from_before_a_field_was_added_is_still_believed(store: RecordStore) -> None:
    """Its digest covers what was written then, without the fields that came later."""
    stored = store.put(record())
    body = msgspec.to_builtins(stored.body)
    del body["n_labelled"]
    digest = digest_of(body)
    envelope = msgspec.to_builtins(stored.envelope) | {"digest": digest}
    path = store.folder / f"{digest}.json"
    path.write_bytes(canonical_json({"envelope": envelope, "body": body}))
    assert store.get(digest).body == stored.body
    path.write_bytes(path.read_bytes().replace(b'"subject":"s"', b'"subject":"t"'))
    with pytest.raises(IntegrityError, match="changed after"):
        store.get(digest)
