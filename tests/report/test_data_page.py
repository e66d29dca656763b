"""What the page of ``assess`` shows of the tables."""

from __future__ import annotations

from tests.report.samples import ENV, HOSTILE, MODEL

from afterfit.records.assess import AssessRecord
from afterfit.records.assess_data import Alone, Repeats, Shift, Suspects
from afterfit.report.assess_data import data_blocks
from afterfit.report.page import Block, Details, Table, Text


def record(**fields: object) -> AssessRecord:
    """A record of nothing else."""
    return AssessRecord(subject=MODEL, env=ENV, **fields)  # type: ignore[arg-type]


def table_of(block: Block) -> Table:
    """The block, which is a table."""
    assert isinstance(block, Table)
    return block


def test_a_record_without_these_checks_shows_nothing() -> None:
    """Older records have none of the fields."""
    assert data_blocks(record()) == ()


def test_repeated_rows_have_their_share_and_interval() -> None:
    """A line for each table that was looked in, its numbers with n and bounds."""
    repeats = Repeats(
        among="training", n=16281, exact=23, near=2, low=0.001, high=0.0022, by_chance=0.0,
        other_label=3, rows=(1668, 1854),
    )  # fmt: skip
    within = Repeats(among="held-out", n=16281, exact=0, near=0, low=0, high=0.0002, by_chance=0.0)
    (block,) = data_blocks(record(repeats_training=repeats, repeats_held_out=within))
    first, second = ([cell.text for cell in row] for row in table_of(block).rows)
    assert first == [
        "the training rows", "16,281", "23", "2", "0.154 %", "[0.100 %, 0.220 %]", "3",
        "1668, 1854",
    ]  # fmt: skip
    assert second[:5] == ["earlier held-out rows", "16,281", "0", "0", "0 %"]


def test_columns_that_tell_or_moved_are_marked_and_the_rest_is_counted() -> None:
    """The most telling first; one that moved is shown wherever it stands."""
    alone = tuple(
        Alone(column=f"c{i}" if i else HOSTILE, measure="roc_auc", value=0.999 - i / 100, n=500)
        for i in range(40)
    )
    shifts = (
        Shift(column="c39", total_variation=0.4, by_chance=0.03, p_value=1e-9, n=500, n_ref=900),
        *(
            Shift(
                column=f"c{i}", total_variation=0.03, by_chance=0.03, p_value=0.8, n=500, n_ref=900
            )
            for i in range(1, 39)
        ),
    )
    (block,) = data_blocks(record(alone=alone, shifts=shifts))
    rows = table_of(block).rows
    assert rows[0][0].text == HOSTILE
    assert rows[0][1].tone == "bad"
    moved = next(row for row in rows if row[0].text == "c39")
    assert moved[2].tone == "warn"
    assert (moved[4].text, rows[1][4].text) == ("< 0.001", "0.800")
    assert f"{40 - len(rows)} more columns in the record" in table_of(block).note
    assert "n = 500" in table_of(block).note


def test_doubted_labels_are_folded_with_their_rows() -> None:
    """The share with its interval, and how many more rows there are than are named."""
    suspects = Suspects(
        n=4000, count=130, share=0.03, low=0.02, high=0.04, p_value=1e-9, rows=tuple(range(100))
    )
    (block,) = data_blocks(record(suspects=suspects))
    assert isinstance(block, Details)
    assert "(130)" in block.summary
    text = block.blocks[0]
    assert isinstance(text, Text)
    assert "3.00 % [2.00 %, 4.00 %] of 4,000" in text.text
    assert text.text.endswith("98, 99 and 30 more.")
    none = Suspects(n=4000, count=0, share=0.0, low=0.0, high=0.001, p_value=0.5)
    assert data_blocks(record(suspects=none)) == ()
