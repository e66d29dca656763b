"""Where the tests find real tables, and what happens where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import real_table


def test_the_variable_names_the_folder(tmp_path: Path) -> None:
    """A table in the folder that ``AFTERFIT_TEST_DATA`` names is found, whatever lies beside."""
    (tmp_path / "wine_quality_red.csv").write_text("a\n1\n")
    environ = {"AFTERFIT_TEST_DATA": str(tmp_path), "CI": "true"}
    assert real_table(environ, "wine_quality_red.csv") == tmp_path / "wine_quality_red.csv"


@pytest.mark.parametrize(
    ("environ", "outcome"),
    [
        ({}, pytest.skip.Exception),
        ({"CI": "true"}, pytest.fail.Exception),
        ({"AFTERFIT_TEST_DATA": "", "CI": "true"}, pytest.skip.Exception),
        ({"AFTERFIT_TEST_DATA": "/nowhere", "CI": "true"}, pytest.fail.Exception),
    ],
)
def test_a_missing_table_is_told_by_name(
    environ: dict[str, str], outcome: type[BaseException]
) -> None:
    """It skips; in continuous integration it fails, unless it was said that there are none."""
    with pytest.raises(outcome, match=r"NOT RUN: the real table nothing\.csv"):
        real_table(environ, "nothing.csv")
