"""Approvals: lines of the audit log that say who agrees to a version, and to which gates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from afterfit.core.digest import canonical_json, sha256_bytes
from afterfit.core.gate import GateResult
from afterfit.registry.audit import Entry

__all__ = ["APPROVE", "approved_by", "gates_digest"]

APPROVE = "approve"
"""What an approval is called in the audit log."""


def gates_digest(gates: Sequence[GateResult]) -> str:
    """Return the SHA-256 of what the gates said: other evidence, other digest."""
    told = sorted((gate.gate, gate.outcome, repr(gate.value)) for gate in gates)
    return sha256_bytes(canonical_json(told))


def approved_by(
    entries: Iterable[Entry], name: str, digest: str, gates: Sequence[GateResult]
) -> tuple[str, ...]:
    """Return who approved these bytes of a model with these gates, each once, in order."""
    seen = gates_digest(gates)
    people = (
        entry.who
        for entry in entries
        if entry.action == APPROVE
        and entry.name == name
        and entry.details.get("digest") == digest
        and entry.details.get("gates_seen") == seen
    )
    return tuple(dict.fromkeys(people))
