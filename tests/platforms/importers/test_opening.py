"""Which importer a file means."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from tests.platforms.importers.lists import read

from afterfit.errors import InputError, NotFoundError, UsageError
from afterfit.platforms.importers import PriceFile, formats, import_file
from afterfit.platforms.importers.opening import BUILT_IN, GROUP, open_importer

if TYPE_CHECKING:
    from pathlib import Path


def test_every_format_opens_and_has_a_title() -> None:
    """The table is that of the entry points of this project."""
    assert set(BUILT_IN) <= set(formats())
    assert all(open_importer(name).title for name in BUILT_IN)
    told = {p.name: p.value for p in metadata.entry_points(group=GROUP) if p.name in BUILT_IN}
    assert all(BUILT_IN[name] == value for name, value in told.items())


@pytest.mark.parametrize("text", ["", " \n", '{"a": 1}', "a,b\n1,2\n", "[]", "[[[", "hello"])
def test_a_file_of_no_known_format_is_an_error(tmp_path: Path, text: str) -> None:
    """It says what was seen, and what there is."""
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert error.value.where.endswith("prices.json")
    assert error.value.fix


@pytest.mark.parametrize("name", sorted(BUILT_IN))
@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "a,b\n1,2\n", '"x"', "{}"])
def test_a_wrong_format_by_name_is_an_error_of_the_file(
    tmp_path: Path, name: str, text: str
) -> None:
    """Whatever is in it: no traceback, and nothing is taken for prices."""
    with pytest.raises((InputError, UsageError)):
        read(tmp_path, text, format_=name, provider="aws")


def test_no_file_and_no_format_are_told(tmp_path: Path) -> None:
    """Each with what there is."""
    with pytest.raises(NotFoundError):
        import_file(PriceFile(tmp_path / "gone.csv"))
    with pytest.raises(UsageError, match="no format is called 'ibm'"):
        read(tmp_path, "{}", format_="ibm")
