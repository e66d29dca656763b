"""The section of ``robustness`` of a running server: which requests it did not stand."""

from __future__ import annotations

from collections.abc import Sequence

from afterfit.records.robustness_endpoint import (
    CheckStatus,
    Ending,
    EndpointCase,
    RobustnessEndpointRecord,
)
from afterfit.report import number
from afterfit.report.page import Block, Cell, Commands, Details, Table, Tone
from afterfit.report.parts import code, key_values, note, table

MOST_SHOWN = 160
"""Characters of an answer in the table; the record has more."""
GROUPS = {
    "request": "Wrong requests",
    "nonfinite": "NaN and Infinity",
    "null": "Null",
    "extreme": "Extreme numbers",
    "words": "Words and Unicode",
    "payload": "Payloads and memory",
    "connection": "Slow and broken connections",
    "rows": "Same rows, other company",
    "service": "Methods, names, readiness",
}
"""What the first word of a check's name stands for."""
STATUS_WORDS: dict[CheckStatus, tuple[str, Tone]] = {
    "pass": ("passed", "good"),
    "fail": ("failed", "bad"),
    "skipped": ("not run", "warn"),
    "not_applicable": ("does not apply", "muted"),
}
ENDINGS: dict[Ending, tuple[str, Tone]] = {
    "finished": ("every check had its turn", "good"),
    "died": ("the server takes no connections any more", "bad"),
    "hung": ("the server answers no more", "bad"),
    "out_of_time": ("the time was over", "warn"),
}


def attacked(record: RobustnessEndpointRecord) -> tuple[Block, ...]:
    """Return the endpoint, a row a group of checks, and each failure with the command for it."""
    if not record.cases:
        return (note("No check ran.", "warn"),)
    words, tone = ENDINGS[record.ending]
    ended = f"{words}, after {record.ended_by}" if record.ended_by else words
    blocks: list[Block] = [
        key_values(
            ("Server", code(record.url)),
            ("Route", code(f"POST {record.route}")),
            ("Protocol", record.protocol),
            ("Requests", number.count(record.requests)),
            ("Memory", _memory(record.growth_bytes)),
            ("End of the run", Cell(ended, tone)),
        ),
        _groups(record.cases),
    ]
    failed = record.failed()
    if failed:
        blocks += [_failures(failed), _commands(failed)]
    every = _every(record.cases)
    return (*blocks, Details(f"Every check ({number.count(len(record.cases))})", (every,)))


def _memory(growth: int | None) -> str:
    if growth is None:
        return "not measured: the server's processes are not known"
    return f"grew by at most {number.size(growth)} during one check"


def _groups(cases: Sequence[EndpointCase]) -> Table:
    names = list(dict.fromkeys(_group(case) for case in cases))
    rows = []
    for name in names:
        mine = [case for case in cases if _group(case) == name]
        counts = [sum(case.status == status for case in mine) for status in STATUS_WORDS]
        requests = sum(case.requests for case in mine)
        rows.append([GROUPS.get(name, name), _verdict(mine), *counts, requests])
    columns = ("Strange requests", "Outcome", *(w for w, _ in STATUS_WORDS.values()), "Requests")
    numeric = tuple(range(2, len(columns)))
    return table(columns, rows, caption="Checks by kind", numeric=numeric)


def _verdict(cases: Sequence[EndpointCase]) -> Cell:
    failed = [case for case in cases if case.status == "fail"]
    if any(case.level == "must" for case in failed):
        return Cell("failed", "bad")
    if failed:
        return Cell("could be better", "warn")
    if any(case.status == "skipped" for case in cases):
        return Cell("not all run", "warn")
    passed = any(case.status == "pass" for case in cases)
    return Cell("passed", "good") if passed else Cell("does not apply", "muted")


def _failures(failed: Sequence[EndpointCase]) -> Table:
    ordered = sorted(failed, key=lambda case: case.level != "must")
    rows = [
        [
            Cell(case.level, "bad" if case.level == "must" else "warn"),
            code(case.check),
            code(case.code),
            case.clause,
            case.why,
            case.came[:MOST_SHOWN],
        ]
        for case in ordered
    ]
    columns = ("Level", "Check", "Finding", "Clause", "What happened", "Answer")
    return table(columns, rows, caption="Clauses that do not hold")


def _commands(failed: Sequence[EndpointCase]) -> Commands:
    items = [(f"{case.check}: {case.why}", case.command) for case in failed if case.command]
    return Commands(tuple(items))


def _every(cases: Sequence[EndpointCase]) -> Table:
    rows = [
        [
            code(case.check),
            case.level,
            Cell(*STATUS_WORDS[case.status]),
            case.requests,
            case.clause,
            case.why,
        ]
        for case in cases
    ]
    columns = ("Check", "Level", "Outcome", "Requests", "Clause", "Remark")
    return table(columns, rows, numeric=(3,))


def _group(case: EndpointCase) -> str:
    return case.check.partition(".")[0]
