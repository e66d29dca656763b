"""``afterfit.load(...).predict`` with numpy arrays, as most people call a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.runtime.bundles import numbers_bundle, people, people_bundle

import afterfit
from afterfit.errors import InputError
from afterfit.runtime.columns import FieldError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with a model of two numbers, and one of numbers and text."""
    space = afterfit.Workspace(tmp_path / ".afterfit")
    for name, write in (("numbers", numbers_bundle), ("people", people_bundle)):
        write(tmp_path / name)
        space.registry.register(name, tmp_path / name, who="ana")
    return space.folder


def probabilities(answers: list[dict[str, Any]]) -> np.ndarray:
    """The probabilities of [n, 2]."""
    return np.array([list(answer["probabilities"].values()) for answer in answers])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_an_array_of_numbers_is_matched_by_position(folder: Path, dtype: Any) -> None:
    """Columns in the signature's order, whatever the layout in memory; checked by the formula."""
    rows = np.array([[0, 0], [1, 0], [-2, 1], [3, 3]], dtype=dtype)
    model = afterfit.load("numbers", workspace=folder, events=False)
    expected = 1 / (1 + np.exp(-rows.astype(float).sum(axis=1)))
    for form in (rows, np.asfortranarray(rows), np.repeat(rows, 2, axis=0)[::2]):
        found = probabilities(model.predict(form))
        assert found[:, 1] == pytest.approx(expected, abs=1e-6)
    table = pd.DataFrame(rows, columns=list(model.signature.names))
    assert np.array_equal(probabilities(model.predict(table)), found)


def test_an_array_of_objects_holds_text_and_gaps(folder: Path) -> None:
    """What ``DataFrame.to_numpy`` makes of mixed columns answers as the DataFrame does."""
    table = pd.DataFrame(people(50))
    assert table["age"].isna().any()
    model = afterfit.load("people", workspace=folder, events=False)
    assert list(model.signature.names) == list(table.columns)
    found = probabilities(model.predict(table.to_numpy()))
    assert np.array_equal(found, probabilities(model.predict(table)))


def test_an_array_that_does_not_fit_is_told(folder: Path) -> None:
    """Too few columns name the order; one row alone, a gap and a word are told as well."""
    model = afterfit.load("numbers", workspace=folder, events=False)
    with pytest.raises(InputError, match="has 3 columns, the model takes 2") as refused:
        model.predict(np.zeros((4, 3)))
    assert "a, b" in refused.value.fix
    with pytest.raises(InputError, match="given as ndarray"):
        model.predict(np.zeros(2))
    with pytest.raises(FieldError, match=r"\$\.b\[1\]"):
        model.predict(np.array([[0.0, 1.0], [0.0, np.nan]]))
    with pytest.raises(FieldError, match=r"\$\.a\[0\]"):
        model.predict(np.array([["x", "1"]]))
