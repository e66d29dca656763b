"""What several pages say alike: records, gates, versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from afterfit.core.digest import short
from afterfit.core.gate import GateResult
from afterfit.registry.history import Move
from afterfit.report import number
from afterfit.report.page import Block, Cell, Table, Tone
from afterfit.report.parts import STEP_TITLES, note, table, when
from afterfit.store.index import Row
from afterfit.web.parts import link

__all__ = [
    "RecordLine",
    "gate_cell",
    "moves_table",
    "nothing",
    "record_lines",
    "records_table",
    "step_title",
]

STATUS_TONES: dict[str, Tone] = {"failed": "bad", "partial": "warn", "unreadable": "bad"}
STATUS_WORDS = {"partial": "cut short", "unreadable": "cannot be read"}


@dataclass(frozen=True)
class RecordLine:
    """One record as lists show it; ``created`` is ISO 8601 in UTC."""

    digest: str
    step: str
    subject: str
    created: str
    status: str


def record_lines(rows: Iterable[Row]) -> tuple[RecordLine, ...]:
    """Return rows of the index for a page."""
    return tuple(RecordLine(r.digest, r.step, r.subject, r.created, r.status) for r in rows)


def step_title(step: str) -> str:
    """Return what a step's record is called."""
    return STEP_TITLES.get(step, step.replace("_", " ") or "unknown")


def records_table(lines: Sequence[RecordLine], caption: str = "") -> Table:
    """Return one row a record, which leads to its page."""
    rows = [
        [
            link(step_title(line.step), "records", line.digest),
            status_cell(line.status),
            when(line.created),
            Cell(short(line.digest), code=True),
            Cell(short(line.subject), code=True) if line.subject else None,
        ]
        for line in lines
    ]
    return table(("Record", "Status", "Made", "Digest", "Of"), rows, caption=caption)


def status_cell(status: str) -> Cell:
    """Return a record's status in words."""
    tone = STATUS_TONES.get(status, "")
    return Cell(STATUS_WORDS.get(status, status), tone)


def gate_cell(gates: Sequence[GateResult]) -> Cell:
    """Return how many gates passed."""
    if not gates:
        return Cell("no gates set", "muted")
    passed = sum(gate.outcome == "pass" for gate in gates)
    all_passed = passed == len(gates)
    return Cell(f"{passed} of {len(gates)} passed", "good" if all_passed else "bad")


def moves_table(moves: Sequence[Move], caption: str = "") -> Table:
    """Return one row a promotion or rollback, the newest first."""
    rows = [
        [
            when(move.time),
            Cell(move.action, "warn" if move.action == "rollback" else ""),
            move.alias,
            f"{move.source or number.NOTHING} to {move.to}",
            move.who,
            f"{move.why}{_override(move)}",
        ]
        for move in moves
    ]
    return table(("When", "What", "Alias", "Version", "Who", "Why"), rows, caption=caption)


def _override(move: Move) -> str:
    return f" (gates were passed by: {move.override})" if move.override else ""


def nothing(text: str) -> tuple[Block, ...]:
    """Return what stands where there is nothing to show, and how something comes to be there."""
    return (note(text),)
