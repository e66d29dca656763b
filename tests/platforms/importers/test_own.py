"""One's own sheet: discounts and prices, checked line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.platforms.importers.lists import read

from afterfit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from afterfit.platforms.importers import Discount

CSV = """\
provider,machine,term,percent,usd_per_hour,until
AWS,m7i.*,on demand,12,,2027-03-31
aws,m7i.large,,,0.07,
,,,5%,,
"""
TOML = """\
[[discount]]
provider = "aws"
family = "m7i"
percent = 12
until = 2027-03-31
"""


def told(line: Discount) -> tuple[object, ...]:
    """All but the source."""
    return (line.provider, line.machine, line.term, line.percent, line.usd_per_hour, line.until)


def test_a_sheet_is_csv_or_toml(tmp_path: Path) -> None:
    """Both say the same; what is empty stands for all."""
    found = read(tmp_path, CSV, "own.csv")
    assert found.format == "own"
    assert [told(line) for line in found.discounts] == [
        ("aws", "m7i.*", "on_demand", 12.0, None, "2027-03-31"),
        ("aws", "m7i.large", "", None, 0.07, ""),
        ("", "", "", 5.0, None, ""),
    ]
    [line] = read(tmp_path, TOML, "own.toml").discounts
    assert told(line) == ("aws", "m7i", "", 12.0, None, "2027-03-31")


@pytest.mark.parametrize(("row", "message"), [
    ("aws,m7i.*,on_demand,12,0.07,", "either percent or usd_per_hour"),
    ("aws,m7i.*,on_demand,,,", "either percent or usd_per_hour"),
    ("aws,m7i.*,on_demand,100,,", "percent is '100'"),
    ("aws,m7i.*,on_demand,nan,,", "percent is 'nan'"),
    ("aws,m7i.*,on_demand,-3,,", "percent is '-3'"),
    ('aws,m7i.*,on_demand,,"0,07",', "usd_per_hour is '0,07'"),
    ("aws,,on_demand,,0.07,", "a price is one of a machine"),
    ("aws,m7i.*,for ever,12,,", "no term is called 'for ever'"),
    ("aws,m7i.*,on_demand,12,,31.3.2027", "not a date"),
    ("aws,m7i.*,on_demand,12", "more or fewer cells"),
])  # fmt: skip
def test_a_line_that_cannot_be_meant_is_an_error_with_its_row(
    tmp_path: Path, row: str, message: str
) -> None:
    """A sheet of one's own can be mended, so nothing of it is left out."""
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, CSV + row + "\n", "own.csv")
    assert error.value.where.endswith("own.csv, row 5")
    assert error.value.fix


def test_a_key_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    """A misspelt one would be a discount for all."""
    with pytest.raises(InputError, match="machnie"):
        read(tmp_path, '[[discount]]\nmachnie = "m7i.*"\npercent = 3\n', "own.toml")
    with pytest.raises(InputError, match="no TOML"):
        read(tmp_path, "[[discount]]\npercent = = 3\n", "own.toml")
