"""What a person sees of the tables: repeated rows, telling and moved columns, doubted labels."""

from __future__ import annotations

from afterfit.records.assess import AssessRecord
from afterfit.records.assess_data import Repeats, Suspects
from afterfit.report import number
from afterfit.report.page import Block, Cell, Details, Table, Text
from afterfit.report.parts import cell, code, table

MOST_COLUMNS = 20
TELLING, MOVED, SURE = 0.99, 0.1, 0.001
_AMONG = {"training": "the training rows", "held-out": "earlier held-out rows"}
_MEASURES = {"roc_auc": "ROC AUC", "r2": "R² of ranks"}


def data_blocks(record: AssessRecord) -> tuple[Block, ...]:
    """Return what was found of the rows, the columns and the labels; nothing where none was."""
    blocks: list[Block] = []
    found = [r for r in (record.repeats_training, record.repeats_held_out) if r is not None]
    if found:
        blocks.append(_repeats(found))
    if record.alone or record.shifts:
        blocks.append(_columns(record))
    if record.suspects is not None and record.suspects.count:
        blocks.append(_suspects(record.suspects))
    return tuple(blocks)


def _repeats(found: list[Repeats]) -> Table:
    rows = [
        [
            _AMONG.get(each.among, each.among),
            each.n,
            Cell(number.count(each.exact), "warn" if each.exact else ""),
            each.near,
            _percent((each.exact + each.near) / each.n),
            f"[{_percent(each.low)}, {_percent(each.high)}]",
            each.other_label if each.among == "training" else None,
            ", ".join(map(str, each.rows[:5])) or None,
        ]
        for each in found
    ]
    columns = (
        "Held-out rows that stand in",
        "Of",
        "Exactly",
        "Nearly",
        "Share",
        f"{found[0].level * 100:g} % interval",
        "With another label",
        "Such as row",
    )
    note = (
        "Intervals by Wilson. Nearly: equal up to rounding, case and white space. Rows are "
        "counted from 0 in the table, labelled or not; its header does not count."
    )
    caption = "Rows that are not new"
    return table(columns, rows, caption=caption, numeric=range(1, 7), note=note)


def _p_value(p: float) -> str:
    """Return a p-value as it is read: below a thousandth its size says nothing more."""
    return "< 0.001" if p < SURE else f"{min(p, 1.0):.3f}"


def _percent(share: float) -> str:
    return f"{number.plain(100 * share)} %"


def _columns(record: AssessRecord) -> Table:
    """Return each column with what it tells alone and how far it moved, the most telling first."""
    alone = {each.column: each for each in record.alone}
    shifts = {each.column: each for each in record.shifts}
    names = list(dict.fromkeys([*alone, *shifts]))
    shown = set(names[:MOST_COLUMNS])
    # Those that moved furthest are shown too, wherever they stand.
    shown |= {each.column for each in record.shifts[: MOST_COLUMNS // 2]}
    rows = []
    for name in [name for name in names if name in shown]:
        own, shift = alone.get(name), shifts.get(name)
        far = shift is not None and shift.p_value <= SURE
        far = far and shift is not None and shift.total_variation - shift.by_chance >= MOVED
        rows.append(
            [
                code(name),
                cell(own.value if own else None, "bad" if own and own.value > TELLING else ""),
                cell(shift.total_variation if shift else None, "warn" if far else ""),
                shift.by_chance if shift else None,
                _p_value(shift.p_value) if shift else None,
            ]
        )
    measure = _MEASURES[record.alone[0].measure] if record.alone else "ROC AUC"
    columns = ("Column", f"{measure} alone", "Moved by", "By chance", "p")
    return table(
        columns,
        rows,
        caption="What each column tells alone, and how far it is from the training rows",
        numeric=range(1, 5),
        note=_remarks(record, len(names) - len(rows)),
    )


def _remarks(record: AssessRecord, left: int) -> str:
    parts = []
    if record.alone:
        parts.append(f"Alone: on n = {number.count(record.alone[0].n)} held-out rows.")
    if record.shifts:
        first = record.shifts[0]
        parts.append(
            f"Moved: total variation of {number.count(first.n)} held-out from "
            f"{number.count(first.n_ref)} training rows, p adjusted for "
            f"{number.plural(len(record.shifts), 'column')}."
        )
    if left > 0:
        parts.append(f"{number.plural(left, 'more column')} in the record.")
    return " ".join(parts)


def _suspects(found: Suspects) -> Details:
    share = f"{_percent(found.share)} [{_percent(found.low)}, {_percent(found.high)}]"
    named = ", ".join(map(str, found.rows))
    more = found.count - len(found.rows)
    left = f" and {number.count(more)} more" if more > 0 else ""
    text = (
        f"Wrong labels: {share} of {number.count(found.n)} ({found.level * 100:g} % interval). "
        f"The most doubtful rows, counted from 0 in the table without its header: {named}{left}."
    )
    summary = f"Labels that are likelier wrong than right ({number.count(found.count)})"
    return Details(summary, (Text(text),))
