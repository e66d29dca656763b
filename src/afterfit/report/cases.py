"""What stays of ``robustness``: failures in their smallest form, and smallest changes."""

from __future__ import annotations

from collections.abc import Sequence

from afterfit.core.metric import in_percent
from afterfit.records.robustness import RobustnessRecord
from afterfit.records.robustness_cases import (
    Expectation,
    FlipExample,
    Flips,
    Move,
    Standing,
    ToldCase,
)
from afterfit.report import number
from afterfit.report.page import Block, Cell, Page, Section, Table, Tone
from afterfit.report.parts import code, note, table

__all__ = ["case_blocks", "cases_page", "examples_table", "flip_blocks"]

STANDINGS: dict[Standing, tuple[str, Tone]] = {
    "regressed": ("regressed", "bad"),
    "new": ("new", "bad"),
    "known": ("known", "warn"),
    "fixed": ("fixed", "good"),
    "held": ("holds", "good"),
    "gone": ("column gone", "muted"),
}
EXPECTED: dict[Expectation, str] = {
    "answers": "an answer that can be used",
    "same_decision": "the same decision",
    "same_in_batch": "the same answer alone and in a batch",
    "same_in_any_order": "the same answer in any order of columns",
    "same_again": "the same answer again",
}
LONGEST = 60


def case_blocks(record: RobustnessRecord) -> tuple[Block, ...]:
    """Return the kept cases with their standing, and the smallest changes; none without any."""
    kept = (cases_table(record.kept),) if record.kept else ()
    return (*kept, *flip_blocks(record.flips))


def cases_table(cases: Sequence[ToldCase]) -> Table:
    """Return one row a case, those that fail first."""
    order = list(STANDINGS)
    rows = [
        [
            Cell(*STANDINGS[case.standing]),
            code(case.id),
            code(case.code),
            case.case,
            code(", ".join(case.columns)) if case.columns else None,
            _values(case),
            case.n,
            EXPECTED[case.expectation],
            case.happened.replace("_", " ") + ("" if case.minimal else " (search cut short)"),
        ]
        for case in sorted(cases, key=lambda case: order.index(case.standing))
    ]
    counts = [f"{sum(c.standing == name for c in cases)} {words}"
              for name, (words, _) in STANDINGS.items()
              if any(c.standing == name for c in cases)]  # fmt: skip
    text = (
        f"{', '.join(counts)}. All other columns have the typical values of the reference. Cases "
        "that only a real row shows keep its values in the workspace: afterfit version cases."
    )
    columns = ("Standing", "Case", "Finding", "Strange rows", "Columns", "Values", "Rows",
               "What must hold", "What happened")  # fmt: skip
    return table(columns, rows, caption="Failures that are asked again in every version",
                 numeric=(6,), note=text)  # fmt: skip


def _values(case: ToldCase) -> Cell:
    if case.local:
        return Cell("a real row's: kept locally", "muted")
    if not case.values:
        return Cell(number.NOTHING, "muted")
    return code(", ".join(_short(value) for value in case.values.values()))


def _short(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def flip_blocks(flips: Flips | None) -> tuple[Block, ...]:
    """Return how many rows flip within each size, and three examples without their values."""
    if flips is None:
        return ()
    rows = [
        [
            f"{each.size:g} spread{'' if each.size == 1 else 's'}",
            f"{number.count(each.flipped)} of {number.count(each.n)}",
            in_percent(each.flipped / each.n, 1),
            f"[{in_percent(each.low, 1)}, {in_percent(each.high, 1)}]",
        ]
        for each in flips.within
    ]
    turn = "turn the decision"
    if flips.amount:
        turn = f"move the value by {number.plain(flips.amount)}"
    text = (
        f"n = {number.plural(flips.n, 'row')} {flips.rows_of}; changes that {turn}, within the "
        f"reference's range and known categories. {_median(flips)} A spread is the standard "
        "deviation of a column, another category counts 1; sizes of several columns add up. "
        f"Fixed: {', '.join(flips.fixed) or 'no column'}. These changes are the smallest that a "
        "search found: smaller ones may exist."
    )
    columns = ("Changed by at most", "Rows", "Share", "95 % interval")
    first = table(columns, rows, caption="Small changes that turn decisions", numeric=(1, 2, 3),
                  note=text)  # fmt: skip
    if not flips.examples:
        return (first,)
    moves = [
        [_moves(example), number.plain(sum(move.size for move in example))]
        for example in flips.examples
    ]
    second = table(
        ("Moved", "Spreads in all"),
        moves,
        caption="The smallest that were found",
        numeric=(1,),
        note="Their rows are real ones and stay local: afterfit version cases --with-real-rows.",
    )
    return (first, second)


def _median(flips: Flips) -> str:
    if flips.median is None:
        return "Fewer than half of the rows flip, so the median smallest change lies beyond."
    low = number.NOTHING if flips.low is None else number.plain(flips.low)
    high = "beyond" if flips.high is None else number.plain(flips.high)
    return (
        f"The median smallest change is {number.plain(flips.median)} spreads "
        f"(95 % interval {low} to {high})."
    )


def _moves(moves: Sequence[Move]) -> Cell:
    return code(", ".join(f"{move.column} by {move.size:.3g}" for move in moves))


def examples_table(examples: Sequence[FlipExample]) -> Table:
    """Return real rows before and after their smallest change: for the user's own eyes."""
    rows = []
    for example in examples:
        moved = [name for name in example.before if example.before[name] != example.after[name]]
        told = [f"{name}: {_short(example.before[name])} → {_short(example.after[name])}"
                for name in moved]  # fmt: skip
        rows.append([code("; ".join(told)), example.said_before, example.said_after,
                     number.plain(example.size)])  # fmt: skip
    columns = ("Moved", "Said before", "Said after", "Spreads in all")
    return table(columns, rows, caption="Smallest changes of real rows", numeric=(3,))


def cases_page(
    title: str, subtitle: str, cases: Sequence[ToldCase], examples: Sequence[FlipExample]
) -> Page:
    """Return the page of a version's cases."""
    kept: Block = cases_table(cases) if cases else note("No failure is kept.")
    moved = (examples_table(examples),) if examples else ()
    return Page(
        kind="record",
        title=f"Cases of {title}",
        subtitle=subtitle,
        sections=(Section("cases", "Cases that stay", (kept, *moved)),),
    )
