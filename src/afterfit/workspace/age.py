"""How long evidence counts: what was measured of a machine says less of it with every day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from afterfit.core.gate import GateResult
from afterfit.records.codec import Stored

MOST_DAYS = {"loadtest": 30.0, "platforms": 7.0}
"""Days after which a step's record is measured anew and passes no gate; others do not age: their
inputs, the packages and the CPU are in their reuse keys. Kernels, neighbours and prices are not."""


_AGAIN = {"loadtest": "ship the model again or run afterfit loadtest NAME@NUMBER"}


def max_age(step: str) -> timedelta | None:
    """Return how old a record of the step may be; None where it does not age."""
    days = MOST_DAYS.get(step)
    return None if days is None else timedelta(days=days)


def expired(records: Mapping[str, Stored], now: datetime | None = None) -> dict[str, str]:
    """Return step to reason for each record that is too old to count."""
    told = {}
    for step, stored in records.items():
        most = max_age(step)
        created = datetime.fromisoformat(stored.envelope.created)
        if most is not None and (now or datetime.now(UTC)) - created > most:
            told[step] = (
                f"the record of {step} is of {created:%Y-%m-%d} and counts for {most.days} days: "
                f"to measure anew, {_AGAIN.get(step, 'ship the model again')}"
            )
    return told


def explained(gates: tuple[GateResult, ...], old: Mapping[str, str]) -> tuple[GateResult, ...]:
    """Return the gates; one that misses its number says which records were too old to count."""
    why = "; ".join(old.values())
    return tuple(
        msgspec.structs.replace(gate, why=f"{gate.why}; {why}")
        if why and gate.outcome == "missing"
        else gate
        for gate in gates
    )
