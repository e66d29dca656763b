"""The section of ``robustness``: what strange rows did to the model."""

from __future__ import annotations

from collections.abc import Sequence

from afterfit.core.metric import in_percent
from afterfit.records.robustness import Case, CaseOutcome, RobustnessRecord
from afterfit.report import number
from afterfit.report.cases import case_blocks
from afterfit.report.page import Block, Cell, Details, Table, Tone
from afterfit.report.parts import code, note, table
from afterfit.report.strange_curves import columns_chart, ladder_blocks, trends_table

OUTCOME_WORDS: dict[CaseOutcome, tuple[str, Tone]] = {
    "answered": ("answered", ""),
    "refused": ("refused", "info"),
    "crashed": ("crashed", "bad"),
    "not_finite": ("not a number", "bad"),
    "no_probability": ("no probability", "bad"),
    "not_applicable": ("does not apply", "muted"),
}
_BAD = ("crashed", "not_finite", "no_probability")


def robustness(record: RobustnessRecord) -> tuple[Block, ...]:
    """Return one row a kind of strange row, the ladders, the trends, then every case folded."""
    if not record.cases:
        return (note("No case ran.", "warn"),)
    blocks: list[Block] = []
    bad = [case for case in record.cases if case.outcome in _BAD]
    if bad:
        blocks.append(_cases(bad, "Cases in which the model gave no usable answer"))
    blocks += case_blocks(record)
    blocks += ladder_blocks(record)
    blocks += columns_chart(record.cases)
    blocks += trends_table(record.trends)
    blocks.append(_summary(record.cases))
    blocks.append(
        Details(f"Every case ({number.count(len(record.cases))})", (_cases(record.cases, ""),))
    )
    if record.unreached:
        rows = [[name] for name in record.unreached]
        left = table(("Not reached within the time",), rows)
        blocks.append(Details(f"Not reached ({number.count(len(rows))})", (left,)))
    return tuple(blocks)


def _summary(cases: Sequence[Case]) -> Table:
    kinds = list(dict.fromkeys(case.case for case in cases))
    rows = []
    for kind in kinds:
        mine = [case for case in cases if case.case == kind and case.outcome != "not_applicable"]
        shifts = [case.max_shift for case in mine if case.max_shift is not None]
        counts = {
            outcome: sum(case.outcome == outcome for case in mine) for outcome in OUTCOME_WORDS
        }
        answered = [case for case in mine if case.outcome == "answered"]
        changed, among = sum(case.changed for case in answered), sum(case.n for case in answered)
        rows.append(
            [
                _words(kind),
                _verdict(counts, len(mine)),
                len(mine),
                sum(case.n for case in mine),
                f"{number.count(changed)} ({in_percent(changed / among, 1)})" if among else None,
                number.plain(max(shifts)) if shifts else None,
            ]
        )
    columns = (
        "Strange rows",
        "What happened",
        "Columns",
        "Rows",
        "Labels changed",
        "Greatest shift",
    )
    note_text = (
        "Changes are of answered rows against the same rows unharmed; a shift is that of the score."
    )
    return table(columns, rows, caption="By kind", numeric=(2, 3, 4, 5), note=note_text)


def _verdict(counts: dict[CaseOutcome, int], total: int) -> Cell:
    if not total:
        return Cell("does not apply", "muted")
    parts = [
        f"{OUTCOME_WORDS[outcome][0]} {number.count(value)}"
        for outcome, value in counts.items()
        if value and outcome != "not_applicable"
    ]
    if len(parts) == 1:
        parts = [next(OUTCOME_WORDS[o][0] for o, value in counts.items() if value)]
    bad = any(counts[outcome] for outcome in counts if outcome in _BAD)
    return Cell(", ".join(parts), "bad" if bad else "good")


def _cases(cases: Sequence[Case], caption: str) -> Table:
    rows = [
        [
            _words(case.case),
            code(case.column) if case.column else None,
            Cell(*OUTCOME_WORDS[case.outcome]),
            case.n,
            case.changed if case.outcome == "answered" else None,
            number.plain(case.max_shift) if case.max_shift is not None else None,
            case.message,
        ]
        for case in cases
    ]
    columns = (
        "Strange rows",
        "Column",
        "Outcome",
        "Rows",
        "Labels changed",
        "Greatest shift",
        "Remark",
    )
    return table(columns, rows, caption=caption, numeric=(3, 4, 5))


def _words(name: str) -> str:
    return name.replace("_", " ")
