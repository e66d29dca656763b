"""What may be asked of ``loadtest``."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.errors import UsageError
from afterfit.loadtest.slo import Slo


class LoadtestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``users`` send one-row requests back to back for ``seconds``, after ``warmup`` requests.

    Rows are drawn from the data with ``seed``; at most ``requests`` are sent in all.
    """

    users: int = 2
    seconds: float = 5.0
    requests: int = 20_000
    warmup: int = 50
    seed: int = 0
    timeout_s: float = 10.0


class LoadConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a server under load; rates are requests/s.

    With ``slo`` the greatest rate that holds it is searched, within ``budget_s``, and certified
    within ``certify_s`` at ``confidence``; with ``at_rps`` that rate is certified and nothing
    searched. With ``schedule`` requests are sent as it says for ``seconds``, and nothing is
    searched either. ``grid`` tries the settings in ``caps`` and all workers and threads first,
    for ``goal``. ``soak_s`` runs on at ``soak_share`` of the sustained rate (or at the schedule)
    with ``faults`` in it. ``cold_starts`` are timed, and replicas told for ``expected_rps``.
    """

    slo: Slo | None = None
    schedule: str = ""
    at_rps: float = 0.0
    seconds: float = 5.0
    budget_s: float = 180.0
    certify_s: float = 60.0
    confidence: float = 0.99
    grid: bool = False
    goal: Literal["latency", "throughput", "cost"] = "throughput"
    caps: tuple[int, ...] = (0, 1)
    soak_s: float = 0.0
    soak_share: float = 0.6
    faults: tuple[Literal["kill", "swap", "slow"], ...] = ()
    cold_starts: int = 0
    expected_rps: float = 0.0
    seed: int = 0

    def checked(self) -> LoadConfig:
        """Return the config; raises UsageError for parts that do not go together."""
        if self.slo is None:
            needing = {
                "--at": self.at_rps,
                "--grid": self.grid,
                "--expect": self.expected_rps,
            }
            if given := [name for name, value in needing.items() if value]:
                raise UsageError(
                    f"{', '.join(given)}: without an objective there is no capacity",
                    where=given[0],
                    fix='--slo "p99<50ms"',
                )
        if self.schedule and self.at_rps:
            raise UsageError(
                "a schedule says when requests come, and --at a rate of its own",
                where="--schedule, --at",
                fix="leave one of them out",
            )
        if self.faults and not self.soak_s:
            raise UsageError("faults need a soak to happen in", where="--faults", fix="--soak 60")
        shares = {"--confidence": (self.confidence, 0.5), "--soak-share": (self.soak_share, 0.0)}
        for name, (value, least) in shares.items():
            if not least < value < (1.0 if name == "--confidence" else 2.0):
                raise UsageError(f"{value:g} is out of range", where=name, fix=f"{name} 0.9")
        times = ("seconds", "budget_s", "certify_s")
        if any(not getattr(self, name) > 0 for name in times) or self.soak_s < 0:
            raise UsageError("a run needs some time", where="--seconds", fix="--seconds 5")
        return self
