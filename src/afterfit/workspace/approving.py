"""Four eyes: a promotion waits for others, and only some may pass by what stands in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afterfit.core.gate import GateResult
from afterfit.core.shell import shell_word
from afterfit.errors import ForbiddenError, UsageError
from afterfit.registry.approvals import APPROVE, approved_by, gates_digest
from afterfit.registry.audit import Entry
from afterfit.registry.version import Version

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["approve", "check_override", "with_approvals"]


def approve(space: Workspace, ref: str, *, why: str) -> tuple[Version, Entry]:
    """Return a version and the line of the log that approves it, with what its gates say now.

    Raises UsageError without a reason, ForbiddenError for somebody who may not approve.
    """
    if not why.strip():
        raise UsageError(
            "an approval needs a reason",
            why="the audit log keeps what was looked at",
            fix='--why "looked at the slices of new customers"',
        )
    approvers = space.config.approvals.approvers
    if approvers and space.who not in approvers:
        raise ForbiddenError(
            f"{space.who} may not approve",
            where="approvals.approvers",
            why=f"those who may are {', '.join(approvers)}",
            fix="ask one of them",
        )
    version = space.registry.resolve(ref)
    gates = space.judge(f"{version.name}@{version.number}")
    told = [{"gate": each.gate, "outcome": each.outcome, "value": each.value} for each in gates]
    details = {"digest": version.digest, "gates_seen": gates_digest(gates), "gates": told}
    entry = space.registry.note(
        APPROVE,
        who=space.who,
        name=version.name,
        to=str(version.number),
        why=why,
        details=details,
    )
    return version, entry


def with_approvals(
    space: Workspace, version: Version, alias: str, gates: tuple[GateResult, ...]
) -> tuple[GateResult, ...]:
    """Return the gates, and one more where others must approve before this alias moves.

    An approval counts for these bytes and these results of the gates, and not from who promotes.
    """
    asked = space.config.approvals
    if not asked.required or alias not in asked.aliases:
        return gates
    people = approved_by(space.registry.log(version.name), version.name, version.digest, gates)
    allowed = [who for who in people if not asked.approvers or who in asked.approvers]
    others = [who for who in allowed if who != space.who]
    enough = len(others) >= asked.required
    own = f"; {space.who} promotes, so their own does not count" if space.who in allowed else ""
    place = shell_word(f"{version.name}@{version.number}")
    why = (
        f"approved by {', '.join(others)}"
        if others
        else "nobody else has approved these bytes with these gates"
    )
    mine = GateResult(
        gate=f"approvals >= {asked.required}",
        outcome="pass" if enough else "missing",
        value=float(len(others)),
        limit=float(asked.required),
        why=why
        if enough
        else f'{why}{own}; somebody else runs: afterfit version approve {place} --why "..."',
    )
    return (*gates, mine)


def check_override(space: Workspace, override: str | None) -> None:
    """Do nothing where nothing is overridden, or by who may; raises ForbiddenError."""
    asked = space.config.approvals
    if override is None or not (asked.required or asked.override):
        return
    if space.who not in asked.override:
        may = ", ".join(asked.override) or "nobody"
        raise ForbiddenError(
            f"{space.who} may not override gates or approvals",
            where="approvals.override",
            why=f"who may: {may}",
            fix="ask one of them, or promote without --override",
        )
