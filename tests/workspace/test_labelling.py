"""``afterfit labels add``: from a file to the report, each label once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from tests.runtime.bundles import people, people_bundle

import afterfit
from afterfit.cli.common import Common
from afterfit.cli.labels import add
from afterfit.errors import InputError, UsageError
from afterfit.monitor.config import MonitorConfig
from afterfit.records.monitor import MonitorRecord
from afterfit.runtime.events import read_segments
from afterfit.workspace import Workspace
from afterfit.workspace.labelling import Added, add_labels, parse_columns
from afterfit.workspace.watching import report_on_events

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with one version of churn."""
    monkeypatch.chdir(tmp_path)
    found = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    found.registry.register("churn", tmp_path / "draft", who="ana")
    return found


def predictions(count: int) -> list[str]:
    """The ids of some predictions of churn, made in this process."""
    with afterfit.load("churn@1") as model:
        return [answer["id"] for answer in model.predict(pd.DataFrame(people(count)))]


def added(space: Workspace, table: pd.DataFrame, **columns: str) -> Added:
    """What became of a table of labels."""
    path = space.folder.parent / "labels.parquet"
    table.to_parquet(path)
    return add_labels(space, "churn", path, columns)


def test_labels_of_a_file_are_joined_in_the_report(space: Workspace) -> None:
    """By prediction; rows without a label yet are passed over, unknown ids are kept."""
    ids = [*predictions(300), "nobody knows it"]
    table = pd.DataFrame({"event_id": ids, "label": ["yes", "no", None] * 100 + ["yes"]})
    found = added(space, table)
    assert found == Added(model="churn", accepted=201, duplicates=0, without_label=100)
    stored = report_on_events(space, "churn@1", MonitorConfig())
    assert isinstance(stored.body, MonitorRecord)
    counts = stored.body.counts
    assert (counts["label"], counts["label_joined"], counts["label_unknown"]) == (201, 200, 1)


def test_the_same_file_adds_nothing_the_second_time(space: Workspace) -> None:
    """Also where it gives no times, and where it has grown since with the same times."""
    table = pd.DataFrame({"event_id": ["a", "b", "b"], "label": ["yes", "no", "no"]})
    assert added(space, table).accepted == 2
    path = space.folder.parent / "labels.parquet"
    assert add_labels(space, "churn", path, {}).accepted == 0
    timed = pd.DataFrame({"entity": ["e", "f"], "label": ["yes", "no"], "ts": [10, 20]})
    assert added(space, timed).accepted == 2
    grown = pd.concat([timed, pd.DataFrame({"entity": ["e"], "label": ["no"], "ts": [30]})])
    assert added(space, grown) == Added(model="churn", accepted=1, duplicates=2, without_label=0)
    labels = [(e.entity, e.ts, e.true_label) for e in read_segments(space.events) if e.entity]
    assert sorted(labels) == [
        ("e", 10_000_000, "yes"),
        ("e", 30_000_000, "no"),
        ("f", 20_000_000, "no"),
    ]


def test_columns_of_other_names_and_types_are_understood(space: Workspace) -> None:
    """Order numbers become text, dates become times, the target is a label."""
    table = pd.DataFrame(
        {
            "order": [5, 6],
            "target": ["yes", "no"],
            "day": pd.to_datetime(["2026-11-23T00:00", "2026-11-24T06:00"]),
            "more": [1, 2],
        }
    )
    assert added(space, table, entity="order", ts="day").accepted == 2
    events = list(read_segments(space.events))
    assert [(e.entity, e.true_label) for e in events] == [("5", "yes"), ("6", "no")]
    assert events[1].ts - events[0].ts == 30 * 3_600_000_000
    both = pd.DataFrame({"event_id": ["a", None], "entity": ["x", "y"], "label": ["no", "no"]})
    assert added(space, both).accepted == 2
    names = {(e.event_id, e.entity) for e in read_segments(space.events)}
    assert names == {("", "5"), ("", "6"), ("a", ""), ("", "y")}


@pytest.mark.parametrize(
    ("columns", "where", "message"),
    [
        ({"event_id": ["a", "b"], "label": ["yes", "maybe"]}, "row 2, column 'label'", "no class"),
        ({"event_id": ["a"], "outcome": ["yes"]}, "labels.parquet", "neither label nor value"),
        ({"name": ["a"], "label": ["yes"]}, "labels.parquet", "neither event_id nor entity"),
        ({"event_id": ["a"], "label": ["yes"], "value": [1]}, "labels.parquet", "both"),
        ({"event_id": ["a"], "label": ["yes"], "ts": ["soon"]}, "row 1, column 'ts'", "no time"),
    ],
)
def test_a_wrong_file_is_refused_with_row_and_column_and_nothing_is_written(
    space: Workspace, columns: dict[str, Any], where: str, message: str
) -> None:
    """Rows are numbered from 1."""
    with pytest.raises(InputError) as caught:
        added(space, pd.DataFrame(columns))
    assert where in str(caught.value.where)
    assert message in caught.value.message
    assert not space.events.exists()


def test_the_command_says_what_became_of_the_rows(space: Workspace, tmp_path: Path) -> None:
    """In words, and for machines."""
    (tmp_path / "labels.csv").write_text("id,outcome\na,yes\nb,\na,yes\n")
    common = Common(workspace=str(space.folder), quiet=True)
    answer = add("churn", tmp_path / "labels.csv", map="event_id=id,label=outcome", common=common)
    assert answer.text == "1 labels added to churn, 1 were there already; 1 rows have none yet"
    assert answer.result == {
        "model": "churn",
        "accepted": 1,
        "duplicates": 1,
        "without_label": 1,
    }
    with pytest.raises(InputError, match="no column 'gone'"):
        add("churn", tmp_path / "labels.csv", map="event_id=gone", common=common)


@pytest.mark.parametrize("text", ["event_id", "id=a", "ts="])
def test_a_map_that_is_none_is_refused(text: str) -> None:
    """With the fields that there are."""
    with pytest.raises(UsageError, match="not a column of labels"):
        parse_columns(text)
