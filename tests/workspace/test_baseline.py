"""The baseline of a load test: how it is named, which of several counts, what the record keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from tests.loadtest.test_compare import BASE, record
from tests.report.samples import ship_record

from afterfit.errors import NotFoundError, UsageError
from afterfit.records.codec import encode
from afterfit.report.load import beside as table_of
from afterfit.workspace import Workspace
from afterfit.workspace.baseline import Baseline, baselines_of, beside

if TYPE_CHECKING:
    from pathlib import Path

    from afterfit.records.codec import Stored

URL = "http://127.0.0.1:4711"
FIRST = Baseline("b" * 64, BASE)
NOW = record(seed=1, target=f"{URL}/predict")


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A workspace of its own."""
    return Workspace(tmp_path / "space")


@pytest.fixture
def kept(space: Workspace) -> Stored:
    """The load test of the URL, in the workspace."""
    return space.records.put(BASE, started=0.0)


def test_a_baseline_is_named_by_digest_file_or_as_the_last(
    space: Workspace, kept: Stored, tmp_path: Path
) -> None:
    """All three are the same record; of another address there is none."""
    path = tmp_path / "baseline.json"
    path.write_bytes(encode(kept))
    for told in (kept.digest[:8], str(path), "last"):
        assert [s.digest for s in baselines_of(space, told, URL)] == [kept.digest]
    with pytest.raises(NotFoundError, match="no load test to compare with"):
        baselines_of(space, "last", "http://127.0.0.1:4712")


def test_a_record_of_something_else_is_no_baseline(space: Workspace) -> None:
    """It is named."""
    shipped = space.records.put(ship_record(), started=0.0)
    with pytest.raises(UsageError, match="a record of ship, not of a load test"):
        baselines_of(space, shipped.digest[:8], URL)


def test_the_record_keeps_what_was_compared_and_with_what() -> None:
    """Metrics, findings and verdicts, and the page shows a row each."""
    found = beside(NOW, (FIRST,), anyway=False)
    assert found.baseline == FIRST.digest
    assert set(found.verdicts) == {m.name for m in found.metrics} - {m.name for m in NOW.metrics}
    assert {f.code for f in found.findings} >= {"L021", "L022"}
    rows = table_of(found).rows
    assert len(rows) == len(found.verdicts) == 5
    assert {row[1].text for row in rows} == {"cannot tell"}


def test_the_first_that_was_measured_alike_counts() -> None:
    """A newer one with another objective is passed over; alone it is told and not compared."""
    other = Baseline("d" * 64, replace(BASE, slo="p99 <= 20 ms"))
    assert beside(NOW, (other, FIRST), anyway=False).baseline == FIRST.digest
    alone = beside(NOW, (other,), anyway=False)
    assert (alone.baseline, alone.verdicts) == (other.digest, {})
    assert "L022" in table_of(alone).note
    assert len(beside(NOW, (other,), anyway=True).verdicts) == 5


def test_other_requests_are_not_compared() -> None:
    """A hundred rows in a request are another quantity."""
    found = beside(replace(NOW, resolved={"rows": 100}), (FIRST,), anyway=False)
    assert found.verdicts == {}
    assert any("rows in a request was 1, is 100" in f.message for f in found.findings)
