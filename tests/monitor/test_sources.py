"""Logs from wherever they are: the same predictions in any division, and torn ends left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from afterfit.core.event import Event
from afterfit.core.signature import Column, Signature
from afterfit.errors import DependencyError, InputError, NotFoundError, UnavailableError
from afterfit.monitor.batches import Batch, Cursor, Labels, Source
from afterfit.monitor.gather import gather
from afterfit.monitor.sources import EventSource, LogColumns, QuerySource, TableSource
from afterfit.monitor.sources.times import microseconds
from afterfit.monitor.table import parse_mapping, reference_from_file
from afterfit.runtime.events import SegmentWriter, batches_of, segments

NOON = 1_795_435_200_000_000
SIGNATURE = Signature(
    task="binary",
    columns=(
        Column(name="age", kind="number"),
        Column(name="job", kind="category"),
        Column(name="member", kind="boolean"),
    ),
    classes=("no", "yes"),
    positive="yes",
)
MAPPING = parse_mapping("score=prob,y=truth,ts=time,event_id=id,version=model,slice=region")
COLUMNS = LogColumns(MAPPING, SIGNATURE)


def table(n: int, start: int = 0) -> pa.Table:
    """Predictions as teams have them, of two versions, some labels not yet known."""
    rows = np.arange(start, start + n)
    return pa.table(
        {
            "id": [f"p{row:06}" for row in rows],
            "time": pa.array(NOON + rows * 1_000_000, pa.timestamp("us", "UTC")),
            "model": np.where(rows % 3 == 0, "new", "old"),
            "prob": (rows % 100) / 100,
            "truth": pa.array([None if row % 4 == 0 else "yes" for row in rows], pa.string()),
            "age": pa.array([None if row % 10 == 0 else float(row % 60) for row in rows]),
            "job": np.where(rows % 2 == 0, "clerk", "cook"),
            "member": rows % 2 == 0,
            "region": np.where(rows % 5 == 0, "north", "south"),
        }
    )


def predictions(
    source: Source, cursor: Cursor | None = None
) -> Iterator[tuple[list[tuple[Any, ...]], Cursor]]:
    """The rows of each batch as plain tuples, and the cursor behind it."""
    for batch, after in source.read(cursor or {}):
        assert isinstance(batch, Batch)
        names = ("age", "job", "member", "region")
        frame = [batch.frame[name].tolist() for name in names]
        truth = [None] * len(batch) if batch.truth is None else batch.truth.tolist()
        marks = [] if batch.marks is None else batch.marks.tolist()
        parts = (batch.ids.tolist(), batch.ts.tolist(), batch.scores.tolist(), truth, marks)
        rows = [tuple(map(str, row)) for row in zip(*parts, *frame, strict=True)]
        yield [(batch.scope.digest, *row) for row in rows], after


def everything(source: Source, cursor: Cursor | None = None) -> list[tuple[Any, ...]]:
    """All rows, sorted by id."""
    return sorted(row for rows, _ in predictions(source, cursor) for row in rows)


def written(path: Path, content: pa.Table) -> Path:
    """The table in the format that the name says."""
    if path.suffix == ".parquet":
        pq.write_table(content, path, row_group_size=250)
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(content, path)
    else:
        with pyarrow.ipc.new_stream(str(path), content.schema) as writer:
            writer.write_table(content, max_chunksize=300)
    return path


@pytest.mark.parametrize("name", ["log.parquet", "log.csv", "log.arrows"])
def test_every_place_can_be_gone_on_from(tmp_path: Path, name: str) -> None:
    """Stopped behind any batch, also between two versions, the rest is what was not read."""
    source = TableSource(written(tmp_path / name, table(1000)), COLUMNS, batch_rows=128)
    whole = everything(source)
    assert len({row[1] for row in whole}) == 1000
    assert {row[0] for row in whole} == {"new", "old"}
    done: list[tuple[Any, ...]] = []
    for rows, cursor in predictions(source):
        done += rows
        kept = msgspec.json.decode(msgspec.json.encode(cursor))
        assert sorted(done + everything(source, kept)) == whole


def test_formats_hold_the_same_predictions(tmp_path: Path) -> None:
    """Parquet, CSV and Arrow differ in nothing but the numbers that mark their rows."""
    found = []
    for name in ("log.parquet", "log.csv", "log.arrows"):
        source = TableSource(written(tmp_path / name, table(600)), COLUMNS)
        found.append([(*row[:5], *row[6:]) for row in everything(source)])
    assert found[0] == found[1] == found[2]
    assert found[0][0][:4] == ("new", "p000000", str(NOON), "0.0")


def test_a_folder_takes_more_files_and_rows(tmp_path: Path) -> None:
    """What came since is read, once; an unfinished Parquet file is not read before it is whole."""
    written(tmp_path / "a.parquet", table(100))
    source = TableSource(tmp_path, COLUMNS, waiting=True)
    *_, (_, cursor) = predictions(source)
    whole = written(tmp_path / "b.parquet", table(100, 100)).read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-20])
    (tmp_path / "c.parquet").write_bytes(b"")
    assert everything(source, cursor) == []
    written(tmp_path / "d.csv", table(50, 200))
    *_, (rows, cursor) = predictions(source, cursor)
    assert rows[-1][1] == "p000248"
    (tmp_path / "b.parquet").write_bytes(whole)
    assert len(everything(source, cursor)) == 100


def test_a_half_written_file_is_an_error_of_a_report(tmp_path: Path) -> None:
    """A report on half a log would read like one on all of it."""
    path = written(tmp_path / "log.parquet", table(100))
    path.write_bytes(path.read_bytes()[:-30])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="damaged"):
        everything(TableSource(path, COLUMNS))
    with pytest.raises(NotFoundError, match="no table"):
        everything(TableSource(empty, COLUMNS))


def test_the_last_line_of_a_growing_csv_waits_for_its_end(tmp_path: Path) -> None:
    """``0.4`` may become ``0.45``: a line without an end is read when it has one."""
    path = written(tmp_path / "log.csv", table(100))
    text = path.read_bytes()
    cut = text[: text.rstrip().rfind(b"\n") + 8]
    path.write_bytes(cut)
    waiting = TableSource(path, COLUMNS, waiting=True)
    *_, (_, cursor) = predictions(waiting)
    assert len(everything(waiting)) == 99
    path.write_bytes(text)
    assert [row[1] for row in everything(waiting, cursor)] == ["p000099"]
    assert everything(waiting) == everything(TableSource(path, COLUMNS))


def test_lines_within_quotes_are_no_rows(tmp_path: Path) -> None:
    """A part of a CSV never ends inside of a field."""
    path = tmp_path / "log.csv"
    path.write_text('prob,job\n0.1,"a\nb"\n0.2,"c\nd')
    source = TableSource(path, LogColumns({"score": "prob"}, SIGNATURE), waiting=True)
    ((batch, _),) = source.read({})
    assert isinstance(batch, Batch)
    assert batch.frame["job"].tolist() == ["a\nb"]


def test_the_torn_end_of_a_stream_waits(tmp_path: Path) -> None:
    """The whole batches of an Arrow stream are read, the torn one is when it is whole."""
    path = written(tmp_path / "log.arrows", table(900))
    whole = path.read_bytes()
    path.write_bytes(whole[:-2000])
    waiting = TableSource(path, COLUMNS, waiting=True)
    *_, (_, cursor) = predictions(waiting)
    assert len(everything(waiting)) == 600
    with pytest.raises(InputError):
        everything(TableSource(path, COLUMNS))
    path.write_bytes(whole)
    assert len(everything(waiting, cursor)) == 300


def test_a_column_that_changed_its_type_is_read(tmp_path: Path) -> None:
    """Words among numbers are missing, digits among words are words: no row is refused."""
    path = tmp_path / "log.csv"
    path.write_text("prob,age,job,member\n0.1,41,7,1\n0.2,old,8,no\n")
    ((batch, _),) = TableSource(path, LogColumns({"score": "prob"}, SIGNATURE)).read({})
    assert isinstance(batch, Batch)
    assert batch.frame["age"].tolist() == pytest.approx([41.0, np.nan], nan_ok=True)
    assert batch.frame["job"].tolist() == ["7", "8"]
    assert batch.frame["member"].tolist() == [True, None]


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Also where the source waits: it would wait for ever."""
    path = written(tmp_path / "log.parquet", table(10).drop_columns(["prob"]))
    with pytest.raises(InputError, match="no column 'prob'"):
        everything(TableSource(path, COLUMNS, waiting=True))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["2026-11-23T12:00:00Z", None]), [NOON, 0]),
        (pa.array(["2026-11-23T13:00:00+01:00", "2026-11-23 12:00:00"]), [NOON, NOON]),
        (pa.array(["2026-11-23 12:00:00", "2026-11-24"]), [NOON, NOON + 43_200_000_000]),
        (pa.array([NOON // 1_000_000, None]), [NOON, 0]),
        (pa.array([NOON / 1000, float("nan")]), [NOON, 0]),
        (pa.array([NOON * 1000], pa.timestamp("ns")), [NOON]),
        (pa.array([None]), [0]),
    ],
)
def test_moments(values: pa.Array, expected: list[int]) -> None:
    """Text with and without a zone, numbers of any unit, timestamps."""
    assert microseconds(values).tolist() == expected


@pytest.mark.parametrize("values", [["2026-11-23", "soon"], [1e9, float("inf")], [True]])
def test_what_is_no_moment_names_its_row(values: list[Any]) -> None:
    """The row is counted over the log, not over the batch."""
    with pytest.raises(InputError) as caught:
        microseconds(pa.array(values), "log.csv", 100)
    assert "log.csv" in caught.value.where


def test_events_are_read_up_to_the_torn_batch_and_on_from_there(tmp_path: Path) -> None:
    """Predictions with inputs, failures and labels; what is torn comes when it is whole."""
    writer = SegmentWriter(tmp_path, "w")
    events = [
        Event(
            event_id=f"e{i}", kind="served", ts=NOON + i, model="m", version=2, digest="9b",
            probabilities=(0.25, 0.75), queue_us=5, infer_us=7, flags=("range",),
            inputs={"age": i, "job": "cook"} if i % 2 else None,
        )
        for i in range(5)
    ]  # fmt: skip
    failed = Event(event_id="f", kind="failed", ts=NOON, model="m", digest="9b", error="bad row")
    labels = [
        Event(event_id="e1", kind="label", ts=NOON + 9, true_label="yes"),
        Event(event_id="", entity="ana", kind="label", ts=NOON + 9, true_value=3.5),
    ]
    for batch in batches_of([*events, failed, *labels]):
        writer.write(batch)
    writer.close()
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    source = EventSource(tmp_path, lambda scope: SIGNATURE if scope.digest == "9b" else None)
    *_, (_, end) = source.read({})
    assert list(source.read(end)) == []
    path.write_bytes(whole[:-300])
    found = list(source.read({}))
    path.write_bytes(whole)
    found += source.read(found[-1][1])
    served, bad, truth = (item for item, _ in found)
    assert isinstance(served, Batch)
    assert isinstance(bad, Batch)
    assert isinstance(truth, Labels)
    assert served.scores.tolist() == [0.75] * 5
    assert served.codes.tolist() == [1] * 5
    assert served.flags.tolist() == [1] * 5
    assert served.frame["age"].tolist() == pytest.approx(
        [np.nan, 1, np.nan, 3, np.nan], nan_ok=True
    )
    assert (bad.kinds[0], bad.errors[0], bad.infer_us[0]) == ("failed", "bad row", -1)
    assert truth.values.tolist() == ["yes", 3.5]
    assert (truth.ids.tolist(), truth.entities.tolist()) == (["e1", ""], ["", "ana"])
    assert served.marks is not None
    assert bad.marks is not None
    assert len({*served.marks.tolist(), *bad.marks.tolist()}) == 6


def test_events_of_a_version_that_is_not_watched_are_passed_over(tmp_path: Path) -> None:
    """Their labels are not: they may be of another version."""
    writer = SegmentWriter(tmp_path, "w")
    events = [
        Event(event_id="a", kind="served", ts=NOON, digest="other", value=1.0),
        Event(event_id="a", kind="label", ts=NOON, true_label="yes"),
    ]
    for batch in batches_of(events):
        writer.write(batch)
    writer.close()
    ((only, _),) = EventSource(tmp_path, lambda _: None).read({})
    assert isinstance(only, Labels)


def test_a_label_may_come_in_a_later_row(tmp_path: Path) -> None:
    """A log to which the truth is appended: one prediction, with the label that came last."""
    rows = pa.table(
        {
            "id": ["a", "b", "a", "a", "c", "c"],
            "t": [NOON + i for i in (0, 1, 2, 9, 4, 5)],
            "p": [0.1, 0.2, 0.1, 0.1, 0.3, 0.3],
            "y": pa.array([None, "no", "no", "yes", "yes", None]),
        }
    )
    columns = LogColumns(parse_mapping("score=p,y=y,ts=t,event_id=id"), SIGNATURE)
    source = TableSource(written(tmp_path / "log.parquet", rows), columns, batch_rows=2)
    log = gather((batch for batch, _ in source.read({})), SIGNATURE)
    assert (log.counts["served"], log.counts["duplicate"], log.counts["label"]) == (3, 3, 3)
    assert log.truth.tolist() == ["yes", "no", "yes"]


def test_a_long_log_is_sampled_for_quality_alone(tmp_path: Path) -> None:
    """All rows are counted; which of them quality is measured on depends on the seed only."""
    path = written(tmp_path / "log.parquet", table(5000))
    reference = reference_from_file(path, MAPPING, positive="yes", seed=1)
    logs = []
    for size in (64, 1000):
        source = TableSource(path, COLUMNS, batch_rows=size)
        batches = (batch for batch, _ in source.read({}))
        logs.append(gather(batches, SIGNATURE, reference.fingerprint, seed=3, most=400))
    first, second = logs
    assert len(first) == first.counts["served"] == 5000
    assert first.counts["label"] == 3750
    assert len(first.scores) == len(second.scores) == 400
    assert sorted(first.rows.tolist()) == sorted(second.rows.tolist())
    assert first.live is not None
    assert {column.total for column in first.live.columns} == {5000}


def test_a_large_reference_is_counted_whole_on_the_bins_of_a_sample(tmp_path: Path) -> None:
    """No row is lost, rare categories are others, and no single row shows in the range."""
    path = written(tmp_path / "log.parquet", table(4000))
    mapping = parse_mapping("score=prob,ts=time,event_id=id,version=model")
    sampled = reference_from_file(path, mapping, most=1000).fingerprint
    whole = reference_from_file(path, mapping).fingerprint
    assert sampled is not None
    assert whole is not None
    assert sampled.n_ref == whole.n_ref == 4000
    for a, b in zip(sampled.columns, whole.columns, strict=True):
        assert a.name == b.name
        assert (a.total, a.missing + a.nan, a.new) == (4000, b.missing + b.nan, 0)
        assert a.categories == b.categories
        assert a.mean == pytest.approx(b.mean)
    assert sampled.output is not None
    assert sampled.output.total == 4000


def test_a_missing_package_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs DuckDB or PostgreSQL who does not ask for them."""
    import sys

    for module, address in (("duckdb", ""), ("psycopg", "postgresql://127.0.0.1/x")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(DependencyError) as caught:
            list(QuerySource(address, "SELECT 1", COLUMNS).read({}))
        assert caught.value.fix.startswith("pip install")


def test_a_database_that_is_not_there() -> None:
    """The error tells where it was looked for, and no password."""
    pytest.importorskip("psycopg")
    source = QuerySource("postgresql://ana:secret@127.0.0.1:1/x", "SELECT 1", COLUMNS)
    with pytest.raises(UnavailableError) as caught:
        list(source.read({}))
    assert "127.0.0.1:1" in caught.value.where
    assert "secret" not in str(caught.value)
