"""The join of predictions and labels: whatever order they come in, and whatever is killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from afterfit.core.cuts import Cut
from afterfit.errors import IntegrityError
from afterfit.monitor.batches import Batch, Labels
from afterfit.monitor.labels import HOUR_US, LabelJoin, Series
from afterfit.records.signals import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCOPE = Scope(model="loans", version=1)
SERIES = Series(SCOPE)


def texts(values: list[Any]) -> Any:
    """An array of objects."""
    found = np.empty(len(values), object)
    found[:] = values
    return found


def batch(rows: list[tuple[str, str, int]], **more: Any) -> Batch:
    """Served predictions of (id, entity, ts), each scored 0.5 and decided for class 1."""
    n = len(rows)
    ids, entities, ts = zip(*rows, strict=True)
    given: dict[str, Any] = {
        "scope": SCOPE,
        "role": "primary",
        "ts": np.array(ts, np.int64),
        "kinds": texts(["served"] * n),
        "scores": np.full(n, 0.5),
        "probabilities": None,
        "codes": np.ones(n, np.int64),
        "ids": texts(list(ids)),
        "entities": texts(list(entities)),
        "queue_us": np.full(n, -1),
        "infer_us": np.full(n, -1),
        "flags": np.full(n, -1),
        "errors": texts([""] * n),
        "frame": {},
    }
    return Batch(**(given | more))


def labels(rows: list[tuple[str, str, int, Any]], model: str = "") -> Labels:
    """Labels of (id, entity, ts, value)."""
    ids, entities, ts, values = zip(*rows, strict=True)
    return Labels(model, np.array(ts, np.int64), texts(list(ids)), texts(list(entities)),
                  texts(list(values)))  # fmt: skip


@pytest.fixture
def join(tmp_path: Path) -> Iterator[LabelJoin]:
    """An empty join."""
    made = LabelJoin(tmp_path / "join.sqlite")
    yield made
    made.close()


def add(join: LabelJoin, *parts: Batch | Labels) -> None:
    """Add parts, each in a transaction."""
    for place, part in enumerate(parts):
        with join.transaction("log", {"place": place}):
            join.add(part)


def truths(join: LabelJoin, series: Series = SERIES) -> list[Any]:
    """The label of every prediction in the order of time."""
    return [value for part in join.read(series, 0, 2**62) for value in part.truth.tolist()]


def test_every_order_of_the_same_parts_gives_the_same_join(tmp_path: Path) -> None:
    """Early, late, corrected and repeated labels, by id and by entity: order changes nothing."""
    parts: list[Batch | Labels] = [
        batch([("a", "anna", 10), ("b", "anna", 20), ("c", "", 30)]),
        labels([("a", "", 100, "no"), ("c", "", 90, "yes")]),
        labels([("a", "", 200, "yes"), ("zz", "anna", 150, "perhaps")]),
        labels([("", "anna", 120, "no"), ("a", "", 100, "no")]),
    ]
    for number, order in enumerate(itertools.permutations(parts)):
        join = LabelJoin(tmp_path / f"{number}.sqlite")
        add(join, *order)
        # zz is no prediction, so its label is anna's, and later than the one by entity alone.
        assert truths(join) == ["yes", "perhaps", "yes"]
        tallies = join.tallies()
        assert (tallies["labels"], tallies["labelled"], tallies["unknown_labels"]) == (4, 3, 0)
        join.close()


def test_adding_again_changes_nothing(join: LabelJoin) -> None:
    """The same batch and labels twice are one of each, and counted as duplicates."""
    rows, told = batch([("a", "", 10), ("b", "", 20)]), labels([("a", "", 50, 1)])
    add(join, rows, told, rows, told)
    assert truths(join) == [1, None]
    tallies = join.tallies()
    assert (tallies["duplicate_predictions"], tallies["duplicate_labels"]) == (2, 1)
    assert (tallies["predictions"], tallies["labelled"]) == (2, 1)


def test_a_label_of_an_unknown_id_waits_for_its_prediction(join: LabelJoin) -> None:
    """It is counted as unknown until the prediction comes, and then joins."""
    add(join, labels([("late", "", 50, "yes")]))
    assert join.tallies()["unknown_labels"] == 1
    add(join, batch([("late", "", 10)]))
    assert join.tallies()["unknown_labels"] == 0
    assert truths(join) == ["yes"]


def test_a_prediction_that_comes_late_takes_its_label_back(join: LabelJoin) -> None:
    """A label that went by entity while its id was unknown goes to the prediction it names."""
    add(join, batch([("a", "anna", 10)]), labels([("b", "anna", 50, "no")]))
    assert truths(join) == ["no"]
    add(join, batch([("b", "anna", 20)]))
    assert truths(join) == [None, "no"]


def test_two_clocks_that_differ_are_counted_and_do_no_harm(join: LabelJoin) -> None:
    """A label older than its prediction joins, and is counted as early."""
    add(join, batch([("a", "", 1000)]), labels([("a", "", 900, 0)]))
    assert truths(join) == [0]
    assert join.tallies()["early"] == 1


def test_labels_of_another_model_do_not_join(join: LabelJoin) -> None:
    """A label that names a model joins that model's predictions alone."""
    add(join, batch([("", "anna", 10)]), labels([("", "anna", 50, "no")], model="other"))
    assert truths(join) == [None]
    add(join, labels([("", "anna", 40, "yes")], model="loans"))
    assert truths(join) == ["yes"]


def test_refused_rows_have_no_label_and_make_no_label_unknown(join: LabelJoin) -> None:
    """A label for a request without an answer is nobody's, but its id is known."""
    add(join, batch([("a", "", 10)], kinds=texts(["refused"])), labels([("a", "", 50, "no")]))
    assert truths(join) == []
    assert join.tallies()["unknown_labels"] == 0


def test_labels_beside_predictions_need_no_id(join: LabelJoin) -> None:
    """The log's own label counts unless one comes later; rows that can never have one are left."""
    rows = batch([("", "", 10), ("", "", 20), ("a", "", 30)], truth=texts([True, None, 0.5]))
    add(join, rows, labels([("a", "", 40, 0.75)]))
    assert truths(join) == [True, 0.75]


def test_groups_and_probabilities_come_back(tmp_path: Path) -> None:
    """Named columns are kept as groups, and three or more probabilities as they were."""
    join = LabelJoin(tmp_path / "join.sqlite", cuts=[Cut("age", ordered=True, edges=(30.0,))])
    shown = np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    frame = {"age": np.array([20.0, np.nan])}
    add(join, batch([("a", "", 1), ("b", "", 2)], probabilities=shown, frame=frame))
    (found,) = join.read(SERIES, 0, 10)
    assert found.groups["age"].tolist() == ["age < 30", "age is missing"]
    assert found.probabilities is not None
    assert np.array_equal(found.probabilities, shown)
    join.close()


def test_what_changed_is_told_by_hour_until_it_is_forgotten(join: LabelJoin) -> None:
    """A late label touches the hour of its prediction, not its own."""
    add(join, batch([("a", "", 5 * HOUR_US + 7), ("b", "", 9 * HOUR_US)]))
    join.forget_touched(join.touched())
    add(join, labels([("a", "", 30 * HOUR_US, 1)]))
    assert join.touched() == [(SERIES, 5 * HOUR_US)]


def test_old_rows_are_forgotten(join: LabelJoin) -> None:
    """Pruning takes predictions and labels from before a moment."""
    add(join, batch([("a", "", 10), ("b", "", 100)]), labels([("a", "", 20, 1), ("b", "", 120, 0)]))
    assert join.prune(50) == 1
    assert truths(join) == [0]
    assert join.tallies()["labels"] == 1


def test_what_fails_in_the_middle_leaves_neither_rows_nor_cursor(join: LabelJoin) -> None:
    """Rows and cursor are one: an exception takes back both."""
    broken = batch([("a", "", 10), ("b", "", 11)], codes=np.array([1]))
    with pytest.raises(ValueError, match="shorter"):
        add(join, broken)
    assert join.cursor("log") == {}
    assert join.tallies()["predictions"] == 0


WRITER = """
import sys, numpy as np
from pathlib import Path
from tests.monitor.test_labels import batch, labels
from afterfit.monitor.labels import LabelJoin
join = LabelJoin(Path(sys.argv[1]))
at = join.cursor("log").get("place", 0)
while True:
    with join.transaction("log", {"place": at + 1}):
        join.add(batch([(f"{at}-{i}", "", at * 100 + i) for i in range(20)]))
        join.add(labels([(f"{at}-{i}", "", at * 100 + 50 + i, i % 2) for i in range(20)]))
    at += 1
    print(at, flush=True)
"""


def test_a_killed_writer_loses_nothing_and_repeats_nothing(
    tmp_path: Path, project_root: Path
) -> None:
    """A kill -9 in the middle, twice: rows are exactly those up to the cursor, all labelled."""
    path = tmp_path / "join.sqlite"
    for round_ in (1, 2):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=project_root
        )
        assert writer.stdout is not None
        for _ in range(15):
            assert writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        join = LabelJoin(path)
        place = join.cursor("log")["place"]
        assert place >= 15 * round_
        tallies = join.tallies()
        assert tallies["predictions"] == tallies["labelled"] == 20 * place
        assert "duplicate_predictions" not in tallies
        join.close()


def test_a_file_that_is_no_join_says_what_to_do(tmp_path: Path) -> None:
    """Other bytes, or a join of another version: what, where and the command that mends it."""
    path = tmp_path / "join.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(IntegrityError, match="cannot be read") as found:
        LabelJoin(path)
    assert f"mv {path}" in str(found.value.fix)
