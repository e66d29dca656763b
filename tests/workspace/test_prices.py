"""Price lists in a workspace: kept by digest, whole or not at all, and merged into the catalog."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from afterfit.cli.app import run
from afterfit.errors import InputError, IntegrityError, NotFoundError, UsageError
from afterfit.platforms.catalog import builtin
from afterfit.workspace import Workspace
from afterfit.workspace.prices import forget_prices, import_prices, imported, price_lists

HEADER = "InstanceType,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
TODAY = date(2026, 11, 27)


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A new workspace."""
    return Workspace(tmp_path / ".afterfit")


def listed(tmp_path: Path, name: str, text: str) -> Path:
    """A file of prices."""
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_what_was_imported_is_in_the_catalog_until_it_is_forgotten(
    space: Workspace, tmp_path: Path
) -> None:
    """Prices by term over ours, a discount of one's own last, both with their sources."""
    ours = builtin().machine("aws/us-east-1/m7i.large")
    prices = listed(tmp_path, "sky.csv", HEADER + "m7i.large,2,8,0.2,0.05,us-east-1\n")
    sheet = listed(tmp_path, "own.csv", "machine,percent\nm7i.large,50\n")
    for _ in range(2):
        kept = import_prices(space, [sheet, prices], provider="aws")
    assert len(price_lists(space)) == len(kept) == 2
    merged = imported(space, today=TODAY)
    found = merged.catalog.machine(ours.id)
    assert found.prices["on_demand"].usd_per_hour == pytest.approx(0.1)
    assert "less the discount" in merged.catalog.sources[found.prices["on_demand"].source].text
    assert (found.coremark, merged.prices, merged.warnings) == (ours.coremark, 2, ())
    forget_prices(space, "own.csv")
    forget_prices(space, kept[1].name[:12])
    assert imported(space, today=TODAY).catalog.machine(ours.id) == ours


def test_a_bad_file_among_good_ones_changes_nothing(space: Workspace, tmp_path: Path) -> None:
    """All are read before one is kept."""
    good = listed(tmp_path, "own.csv", "percent\n5\n")
    with pytest.raises(InputError):
        import_prices(space, [good, listed(tmp_path, "bad.csv", "percent\n500\n")])
    assert price_lists(space) == []


def test_a_machine_of_unknown_size_is_told(space: Workspace, tmp_path: Path) -> None:
    """Without cores and memory nothing can be said of it."""
    item = (
        '{"Items": [{"armRegionName": "eastus", "armSkuName": "Standard_Q9", "retailPrice": 1.0,'
        ' "serviceName": "Virtual Machines", "unitOfMeasure": "1 Hour", "type": "Consumption"}]}'
    )
    import_prices(space, [listed(tmp_path, "azure.json", item)])
    merged = imported(space, today=TODAY)
    assert merged.prices == 0
    assert merged.warnings == (
        "azure.json: the sizes of 1 machines, such as Standard_Q9, are not known: left out",
    )


def test_names_that_mean_none_or_several_and_damaged_lists_are_errors(
    space: Workspace, tmp_path: Path
) -> None:
    """Nothing is removed on a guess."""
    for percent in (5, 6):
        import_prices(space, [listed(tmp_path, f"{percent}.csv", f"percent\n{percent}\n")])
    with pytest.raises(UsageError, match="2 imported prices"):
        forget_prices(space, "own-")
    with pytest.raises(NotFoundError, match="no imported prices"):
        forget_prices(space, "")
    # What a crash left is no list.
    (space.folder / "prices" / ".tmp-0123.json").write_text("{", "utf-8")
    assert len(price_lists(space)) == 2
    path = next((space.folder / "prices").glob("own-*.json"))
    path.write_text("{", "utf-8")
    with pytest.raises(IntegrityError, match="cannot be read") as error:
        price_lists(space)
    assert error.value.fix.startswith("rm ")


def test_the_commands_say_what_came_in_and_what_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Import, list, forget; each number with its unit or its reason."""
    monkeypatch.chdir(tmp_path)
    rows = "m7i.large,2,8,0.2,,us-east-1\nm7i.large,2,8,0,,us-west-9\n"
    listed(tmp_path, "sky.csv", HEADER + rows)
    assert run(["platforms", "import", "sky.csv", "--provider", "aws"]) == 0
    told = capsys.readouterr().out
    assert "1  prices of 1 machines with their sizes" in told
    assert "1  left out: the price is zero or negative" in told
    assert run(["platforms", "prices"]) == 0
    assert "sky.csv" in capsys.readouterr().out
    assert run(["platforms", "forget", "sky.csv"]) == 0
    assert run(["platforms", "forget", "sky.csv"]) == 2
    assert run(["platforms", "import"]) == 2
