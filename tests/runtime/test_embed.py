"""A bundle inside of the caller's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from tests.runtime.bundles import people_bundle

from afterfit.runtime.columns import FieldError
from afterfit.runtime.embed import EmbeddedModel
from afterfit.runtime.events import read_segments

if TYPE_CHECKING:
    from pathlib import Path

ROWS: list[dict[str, Any]] = [
    {"age": 39.5, "hours": 40, "job": "nurse"},
    {"age": None, "hours": 90, "job": "poet"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A people bundle."""
    people_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_every_form_of_rows_gives_the_same_answers(folder: Path) -> None:
    """A list of objects, an object of columns, a DataFrame, numpy arrays, and one object."""
    model = EmbeddedModel(folder, name="churn", version=3)
    table = pd.DataFrame(ROWS)
    forms: list[Any] = [
        ROWS,
        {name: [row[name] for row in ROWS] for name in ROWS[0]},
        table,
        {"age": table["age"].to_numpy(), "hours": table["hours"].to_numpy(), "job": table["job"]},
    ]
    answers = [[row["probabilities"] for row in model.predict(form)] for form in forms]
    assert all(answer == answers[0] for answer in answers)
    assert [row["probabilities"] for row in model.predict(ROWS[0])] == answers[0][:1]
    assert model.predict([]) == []


def test_flags_and_wrong_fields_are_told_as_the_server_tells_them(folder: Path) -> None:
    """Unusual rows are flagged; wrong ones raise with their path."""
    model = EmbeddedModel(folder)
    assert model.flags(ROWS) == [(), ("range", "new_category", "missing")]
    with pytest.raises(FieldError) as caught:
        model.predict([{"age": "x", "hours": 1, "job": "a"}])
    assert caught.value.problems[0].path == "$.rows[0].age"


def test_events_are_written_where_a_folder_is_given(folder: Path, tmp_path: Path) -> None:
    """And nowhere else; the context manager writes the last ones."""
    with EmbeddedModel(folder, name="churn", version=3, events=tmp_path / "events") as model:
        ids = [row["id"] for row in model.predict(ROWS)]
    events = list(read_segments(tmp_path / "events"))
    assert [event.event_id for event in events] == ids
    assert {(event.model, event.version) for event in events} == {("churn", 3)}
