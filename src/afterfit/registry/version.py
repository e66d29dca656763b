"""A version: a bundle digest with a number for people, and what is known of it."""

from __future__ import annotations

import msgspec

from afterfit.core.digest import short
from afterfit.core.gate import GateResult
from afterfit.registry.history import Move


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version as a person sees it.

    ``created`` is ISO 8601 in UTC; ``aliases`` are those that point here now; ``evidence`` maps
    a step to the digest of its record.
    """

    name: str
    number: int
    digest: str
    created: str
    who: str
    aliases: tuple[str, ...] = ()
    evidence: dict[str, str] = {}

    def __str__(self) -> str:
        """Return ``churn@3 (sha256:0123456789ab, champion)``."""
        also = "".join(f", {alias}" for alias in self.aliases)
        return f"{self.name}@{self.number} (sha256:{short(self.digest)}{also})"


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """An alias that points to ``version``; ``move`` is None where it did already."""

    version: Version
    alias: str
    previous: int | None = None
    move: Move | None = None


class GateRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion that the gates stopped: the exit code is 1, and nothing moved.

    ``gates`` holds every result; ``blocking`` those that failed or had no evidence.
    """

    version: Version
    alias: str
    gates: tuple[GateResult, ...]

    @property
    def blocking(self) -> tuple[GateResult, ...]:
        """The gates that did not pass."""
        return tuple(gate for gate in self.gates if gate.outcome != "pass")

    @property
    def why(self) -> str:
        """One line a gate that did not pass: what it wanted and what was there."""
        return "; ".join(_reason(gate) for gate in self.blocking)


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was hashed and found intact: versions, distinct files, their bytes, log lines."""

    versions: int
    files: int
    size_bytes: int
    log_lines: int
    head: str


def _reason(gate: GateResult) -> str:
    if gate.outcome == "missing":
        return f"{gate.gate}: not measured ({gate.why})"
    return f"{gate.gate}: it is {gate.value:.4g}"
