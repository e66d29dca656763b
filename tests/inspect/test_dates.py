"""Dates: a model that needs datetimes is refused, one that is shown to take text is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from afterfit.core.finding import Finding
from afterfit.errors import InputError
from afterfit.inspect.config import InspectConfig
from afterfit.inspect.findings import DatesAsText
from afterfit.inspect.run import inspect_model
from afterfit.models.loaded import open_model
from afterfit.store.tables import read_dataset

DATES = pd.DataFrame(
    {"day": pd.to_datetime(["2026-01-01", "2026-01-02"] * 40), "spend": np.arange(80.0)}
)
TEXT = DATES.assign(day=DATES["day"].dt.strftime("%Y-%m-%d"))
TARGET = np.array(["no", "yes"] * 40)


def day_of_month(rows: pd.DataFrame) -> pd.DataFrame:
    """Needs datetimes."""
    return rows.assign(day=rows["day"].dt.day)


def parsed(rows: pd.DataFrame) -> pd.DataFrame:
    """Takes text and datetimes alike."""
    return rows.assign(day=pd.to_datetime(rows["day"]).dt.day)


def is_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Takes both, and makes something else of each."""
    texts = [float(isinstance(value, str)) for value in rows["day"]]
    return rows.assign(day=np.array(texts) * rows["spend"])


def length(rows: pd.DataFrame) -> pd.DataFrame:
    """Needs text."""
    return rows.assign(day=rows["day"].str.len())


def classifier(function: Any) -> Any:
    """An unfitted pipeline behind a function of the rows."""
    return make_pipeline(FunctionTransformer(function), LogisticRegression(max_iter=500))


def one_hot() -> Any:
    """An unfitted pipeline that takes each day for a word."""
    return make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())


def about_dates(model: Any, folder: Path, rows: pd.DataFrame) -> list[Finding]:
    """The findings about dates."""
    with open_model(model, workdir=folder) as loaded:
        record = inspect_model(loaded, read_dataset(rows, y=TARGET), None, InspectConfig())
    return [finding for finding in record.findings if finding.code == "I012"]


@pytest.mark.parametrize("rows", [DATES, TEXT], ids=["datetimes", "text"])
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (one_hot, "answers 100 % of 80 rows otherwise"),
        (lambda: classifier(day_of_month), "refuses the text: AttributeError"),
    ],
    ids=["encoder", "function"],
)
def test_a_model_that_was_trained_on_datetimes_is_refused(
    make: Any, why: str, rows: pd.DataFrame, tmp_path: Path
) -> None:
    """Whether it would answer wrongly or not at all; the column, the reason and the way out."""
    model = make().fit(DATES, TARGET)
    with pytest.raises(InputError, match="the model needs datetimes in day") as refused:
        about_dates(model, tmp_path, rows)
    assert why in refused.value.why
    assert "pd.to_datetime(rows['day'])" in refused.value.fix
    assert refused.value.where.endswith("column day")


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (classifier(parsed).fit(DATES, TARGET), "datetimes give the same answers"),
        (classifier(length).fit(TEXT, TARGET), "it refuses datetimes"),
        (one_hot().fit(TEXT, TARGET), "it refuses datetimes"),
    ],
    ids=["parses", "needs text", "learned text"],
)
def test_a_model_that_takes_text_passes(model: Any, why: str, tmp_path: Path) -> None:
    """A table with datetimes is no matter, because it is carried as text."""
    (found,) = about_dates(model, tmp_path, DATES)
    assert (found.outcome, found.message) == ("passed", f"the model takes the text of day: {why}")


def test_where_nothing_tells_it_is_an_issue(tmp_path: Path) -> None:
    """A model that answers both, and otherwise: the column is named, at high severity."""
    (found,) = about_dates(classifier(is_text).fit(TEXT, TARGET), tmp_path, TEXT)
    assert (found.outcome, found.severity, found.where) == ("issue", "high", "column day")


def test_a_table_without_dates_asks_nothing(tmp_path: Path) -> None:
    """Words and numbers are no dates."""
    rows = TEXT.assign(day=TEXT["day"].str.replace("2026-", "week "))
    (found,) = about_dates(one_hot().fit(rows, TARGET), tmp_path, rows)
    assert (found.outcome, found.message) == ("passed", DatesAsText.title)
