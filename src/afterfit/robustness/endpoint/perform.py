"""One check on one endpoint: what became of it, and whether the server is well afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from afterfit.core.wire.client import NoAnswerError, OutOfBudgetError, Sent
from afterfit.core.wire.shown import show_came
from afterfit.records.robustness_endpoint import CheckStatus, Ending, EndpointCase
from afterfit.robustness.endpoint import findings
from afterfit.robustness.endpoint.check import (
    EndpointCheck,
    FailedError,
    NotApplicableError,
    SkippedError,
)
from afterfit.robustness.endpoint.memory import Watch
from afterfit.robustness.endpoint.reproduce import curl
from afterfit.robustness.endpoint.target import Target

MB = 1 << 20
_RETURNS, _PAUSE_S = 3, 1.0
"""How often, and how far apart, a server that takes no connection is asked again."""


class Performed(NamedTuple):
    """A case, and how the run ends with it (None: it goes on)."""

    case: EndpointCase
    ending: Ending | None = None


def perform(check: EndpointCheck, target: Target) -> Performed:
    """Return what became of a check; raises nothing for what a server does."""
    begun = target.client.count
    status: CheckStatus = "pass"
    why, failure, ending = "", None, None
    try:
        failure = _failure(target, lambda: _watched(check, target))
        if check.abusive or (failure and _shaken(failure)):
            failure, ending = _afterwards(target, failure)
    except NotApplicableError as reason:
        status, why = "not_applicable", str(reason)
    except SkippedError as reason:
        status, why = "skipped", str(reason)
    except OutOfBudgetError as reason:
        status, why, ending = "skipped", str(reason), "out_of_time"
    case = EndpointCase(
        check=check.id,
        level=check.level,
        clause=check.clause,
        status=status,
        why=why,
        requests=target.client.count - begun,
    )
    if failure:
        case = _failed(case, failure, target)
    # Bodies of many MB were sent: they are not kept beyond their check.
    target.client.log.clear()
    return Performed(case, ending)


def _failure(target: Target, act: Callable[[], None]) -> FailedError | None:
    try:
        act()
    except FailedError as failure:
        return failure
    except NoAnswerError as error:
        return target.unanswered(error)
    return None


def _watched(check: EndpointCheck, target: Target) -> None:
    """Perform a check; one that may do harm while the server's memory is watched.

    Memory that grows counts for more than a failure of level should.
    """
    if not check.abusive:
        check.function(target)
        return
    failure: FailedError | None = None
    watch = Watch(target.pids)
    with watch:
        try:
            check.function(target)
        except FailedError as error:
            failure = error
    grown = _grown(target, watch.growth)
    if grown and (failure is None or (failure.level or check.level) == "should"):
        raise grown
    if failure:
        raise failure


def _grown(target: Target, growth: int) -> FailedError | None:
    """Return the failure that too much memory is, None where it is not known or not too much."""
    if not target.pids:
        return None
    target.growth = max(target.growth or 0, growth)
    most = target.config.growth_mb
    if growth <= most * MB:
        return None
    why = f"the server's memory grew by {growth / MB:.0f} MB, {most} MB are allowed"
    log = target.client.log
    return FailedError(findings.MemoryGrows, why, log[-1] if log else None, level="must")


def _shaken(failure: FailedError) -> bool:
    """Return whether a failure lets doubt that the server still answers."""
    return failure.kind in {findings.ServerErrorOnWrongRequest, findings.EndpointStops}


def _afterwards(
    target: Target, failure: FailedError | None
) -> tuple[FailedError | None, Ending | None]:
    """Return the failure of a check after a look at the server, and how the run ends."""
    log = target.client.log
    last = failure.sent if failure else log[-1].sent if log else None
    for attempt in range(_RETURNS):
        try:
            found = _failure_of(target)
        except NoAnswerError as error:
            if error.gone and attempt < _RETURNS - 1:
                time.sleep(_PAUSE_S)
                continue
            ending: Ending = "died" if error.gone else "hung"
            return _stopped(failure, last, error), ending
        break
    if found is None or failure is not None:
        return failure, None
    # The answer is that of the right request; what has to be sent again is what came before it.
    return FailedError(found.kind, found.why, found.exchange, sent=last, level="must"), None


def _failure_of(target: Target) -> FailedError | None:
    try:
        target.well()
    except FailedError as failure:
        return failure
    return None


def _stopped(failure: FailedError | None, last: Sent | None, error: NoAnswerError) -> FailedError:
    why = f"afterwards a right request got nothing: {error.reason}"
    if failure and failure.kind is not findings.EndpointStops:
        why = f"{failure.why}; {why}"
    command = failure.command if failure else ""
    return FailedError(findings.EndpointStops, why, sent=last, level="must", command=command)


def _failed(case: EndpointCase, failure: FailedError, target: Target) -> EndpointCase:
    command = failure.command or (curl(target.client, failure.sent) if failure.sent else "")
    return EndpointCase(
        check=case.check,
        level=failure.level or case.level,
        clause=case.clause,
        status="fail",
        code=failure.kind.code,
        why=failure.why,
        command=command,
        came=show_came(failure.exchange) if failure.exchange else "nothing",
        requests=case.requests,
    )
