"""What a model says of a real row stays in the workspace; what it says of made-up rows is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.robustness.models import Scoring, found, people, sound
from tests.robustness.test_shrink import asked

from afterfit.errors import InputError, ModelError, in_record
from afterfit.report import ci, html, markdown, text
from afterfit.report.build import record_page
from afterfit.store.records import in_envelope

if TYPE_CHECKING:
    from afterfit.core.frame import Frame
    from afterfit.records.robustness import RobustnessRecord

SECRET = 51.2573


def _everywhere(record: RobustnessRecord) -> list[str]:
    """Return the record as JSON and every view of it."""
    page = record_page(in_envelope(record))
    views = [html.render(page), text.render(page), markdown.render(page), ci.summary(page, 1)]
    return [msgspec.json.encode(record).decode(), *views]


def _echoes(frame: Frame) -> Any:
    """Refuse the one row with this income, and say so in its words."""
    income = np.asarray(frame["income"], np.float64)
    if (income == SECRET).any():
        raise ValueError(f"row 0: cannot read 'x', income {SECRET}, age {frame['age'][0]}")
    return sound(frame)


def test_an_exception_that_quotes_a_real_row_leaves_no_value_in_a_record_or_a_view() -> None:
    """The rows as they are crash for one real income: only the document of cases quotes it."""
    data = people()
    data.frame["income"][:] = np.where(data.frame["income"] > 50, SECRET, data.frame["income"])
    data.frame["income"][np.flatnonzero(data.frame["income"] == SECRET)[9:]] = 40.0
    # Few rows have it, so that no fingerprint may tell it and the case is local.
    record, document = asked(Scoring(_echoes), data=data, rows=400)
    (crash,) = found(record, "R001")
    assert "ValueError" in crash.message
    assert "cannot read" not in crash.message
    for view in _everywhere(record):
        assert str(SECRET) not in view
        assert "cannot read" not in view
    (case,) = (case for case in document.cases if case.code == "R001")
    assert case.local
    assert f"income {SECRET}" in case.message


def test_words_of_made_up_rows_are_told_in_the_finding() -> None:
    """A city that nobody lives in crashes it: no row of a person is needed to say how."""

    def picky(frame: Frame) -> Any:
        for city in frame["city"].tolist():
            if isinstance(city, str) and city not in {"Bonn", "Kiel", "Ulm"}:
                raise KeyError(f"no such city: {city}")
        return sound(frame)

    record, document = asked(Scoring(picky))
    crash = next(each for each in found(record, "R001") if each.where == "column 'city'")
    assert not any(case.local for case in document.cases if case.place == "city")
    assert "of made-up rows it says: KeyError" in crash.message
    assert "no such city" in crash.message
    assert all("no such city" not in case.message for case in record.cases)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("age 51"), "ValueError while predicting"),
        (
            InputError("the model refused these rows", why="BadRow: age 51", code="refused"),
            "the model refused these rows: BadRow",
        ),
        (
            ModelError("the model's process failed", why="TypeError: age 51", code="call_failed"),
            "the model's process failed: TypeError",
        ),
        (
            ModelError("the process ended (exit code 3)", why="age: 51", code="child_died"),
            "the process ended (exit code 3)",
        ),
        (InputError("column age holds text", why="for example '51'"), "column age holds text"),
        (InputError("no such form", why="age: 51 is none"), "no such form"),
    ],
)
def test_a_record_has_the_type_of_an_exception_and_not_its_words(
    error: Exception, told: str
) -> None:
    """However the exception came: as it is, through the model's process, or as one of ours."""
    assert in_record(error) == told
