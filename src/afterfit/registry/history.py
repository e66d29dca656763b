"""Which version a rollback goes back to, from the moves of one alias."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from afterfit.registry.audit import Entry

PROMOTE = "promote"
ROLLBACK = "rollback"
PRUNE = "prune"
RESTORE = "restore"
"""A version whose bytes went was registered again, and has them."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias: ``source`` and ``to`` are version numbers, ``source`` None at first.

    ``seq`` is the line of the audit log; ``override`` is the reason given for passing by the gates.
    """

    seq: int
    time: str
    who: str
    action: str
    name: str
    alias: str
    source: int | None
    to: int
    digest: str
    why: str = ""
    override: str = ""


def move_of(entry: Entry) -> Move | None:
    """Return the move that a line of the log announces, None for a line of another kind."""
    if entry.action not in {PROMOTE, ROLLBACK}:
        return None
    return Move(
        seq=entry.seq,
        time=entry.time,
        who=entry.who,
        action=entry.action,
        name=entry.name,
        alias=str(entry.details["alias"]),
        source=int(entry.source) if entry.source else None,
        to=int(entry.to),
        digest=str(entry.details["digest"]),
        why=entry.why,
        override=str(entry.details.get("override", "")),
    )


def moves(entries: Iterable[Entry], name: str, alias: str) -> list[Move]:
    """Return every move of one alias, in order."""
    found = (move_of(entry) for entry in entries if entry.name == name)
    return [move for move in found if move is not None and move.alias == alias]


def note_pruned(known: set[tuple[str, int]], entry: Entry) -> None:
    """Take in a line that says that the bytes of a version went, or are there again."""
    if entry.action == PRUNE:
        known.add((entry.name, int(entry.to)))
    elif entry.action == RESTORE:
        known.discard((entry.name, int(entry.to)))


def rollback_target(moved: Iterable[Move]) -> int | None:
    """Return the last version that held the alias and was not itself rolled back from.

    A version that was rolled back from counts as bad until somebody promotes it again, so two
    rollbacks in a row go back twice, and a rollback never goes forward to what just failed.
    None where no such version is left.
    """
    held: list[int] = []
    bad: set[int] = set()
    for move in moved:
        if move.action == ROLLBACK and held:
            bad.add(held[-1])
        else:
            bad.discard(move.to)
        held.append(move.to)
    if not held:
        return None
    bad.add(held[-1])
    return next((number for number in reversed(held) if number not in bad), None)
