"""The record of ``robustness`` of a running server: what it did with strange requests."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.records.record import Record

Level = Literal["must", "should"]
CheckStatus = Literal["pass", "fail", "skipped", "not_applicable"]
Ending = Literal["finished", "died", "hung", "out_of_time"]


class EndpointCase(msgspec.Struct, frozen=True, kw_only=True):
    """One check: its clause, what became of it, and where it failed the request and the answer.

    ``code`` is that of the finding; ``command`` sends the request again; ``came`` is the answer,
    cut to what a person reads; ``requests`` counts those of the check.
    """

    check: str
    level: Level
    clause: str
    status: CheckStatus
    code: str = ""
    why: str = ""
    command: str = ""
    came: str = ""
    requests: int = 0


class RobustnessEndpointRecord(Record, frozen=True, kw_only=True, tag="robustness_endpoint"):
    """Every check of one endpoint, and how the run ended.

    ``growth_bytes`` is the most that the server's memory grew by during one check, None where its
    processes are not known.
    """

    url: str
    protocol: str
    route: str
    requests: int
    ending: Ending
    ended_by: str = ""
    growth_bytes: int | None = None
    cases: tuple[EndpointCase, ...] = ()

    def failed(self, level: Level | None = None) -> tuple[EndpointCase, ...]:
        """Return the checks that failed, of one level or of both."""
        return tuple(c for c in self.cases if c.status == "fail" and level in {None, c.level})
