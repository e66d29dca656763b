"""What a check is: an id, a clause, a level, and a function that tells whether it holds.

The function returns where the clause holds. Where it does not, it raises :class:`FailedError`;
what does not concern the server or the model raises :class:`NotApplicableError`, and what could
not be looked at raises :class:`SkippedError`: what did not run never reads as passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from afterfit.core.docstring import sentence
from afterfit.core.wire.client import Exchange, NoAnswerError, OutOfBudgetError
from afterfit.core.wire.documents import UnreadableError
from afterfit.core.wire.shown import show_came, show_sent

if TYPE_CHECKING:
    from afterfit.testing.conformance.target import Target

__all__ = [
    "Check",
    "FailedError",
    "Level",
    "NotApplicableError",
    "Outcome",
    "SkippedError",
    "Status",
    "checks_of",
    "clause",
    "require",
]

Level = Literal["must", "should", "extension"]
Status = Literal["pass", "fail", "skipped", "not_applicable"]


class FailedError(Exception):
    """The clause does not hold: why, and the exchange that shows it."""

    def __init__(self, why: str, exchange: Exchange | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.exchange = exchange


class SkippedError(Exception):
    """The check could not be made; the text says why."""


class NotApplicableError(Exception):
    """The clause does not concern this server or this model; the text says why."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check; ``sent`` and ``came`` are cut to what a person can read."""

    check: str
    level: Level
    section: str
    clause: str
    status: Status
    why: str = ""
    sent: str = ""
    came: str = ""
    seconds: float = 0.0


class Check(NamedTuple):
    """One clause: ``section`` names where it stands, ``sense`` says it in our words."""

    id: str
    level: Level
    section: str
    sense: str
    function: Callable[[Target], None]

    def perform(self, target: Target) -> Outcome:
        """Return the outcome; never raises for what a server does."""
        begun = time.monotonic()
        status, why, sent, came = self._result(target)
        return Outcome(
            check=self.id,
            level=self.level,
            section=self.section,
            clause=self.sense,
            status=status,
            why=why,
            sent=sent,
            came=came,
            seconds=round(time.monotonic() - begun, 3),
        )

    def _result(self, target: Target) -> tuple[Status, str, str, str]:
        mark = len(target.client.log)
        try:
            self.function(target)
        except FailedError as failure:
            return "fail", failure.why, *_shown(failure.exchange)
        except UnreadableError as error:
            log = target.client.log[mark:]
            return "fail", str(error), *_shown(log[-1] if log else None)
        except NoAnswerError as error:
            target.gone = target.gone or error.gone
            return "fail", error.reason, show_sent(error.sent), "nothing"
        except NotApplicableError as reason:
            return "not_applicable", str(reason), "", ""
        except (SkippedError, OutOfBudgetError) as reason:
            return "skipped", str(reason), "", ""
        return "pass", "", "", ""


def clause(id_: str, level: Level, section: str) -> Callable[[Callable[[Target], None]], Check]:
    """Return a decorator that makes a check of a function; its docstring is the clause's sense."""

    def decorate(function: Callable[[Target], None]) -> Check:
        return Check(id_, level, section, sentence(function), function)

    return decorate


def checks_of(module: ModuleType) -> list[Check]:
    """Return the checks of a module in the order in which they stand."""
    return [value for value in vars(module).values() if isinstance(value, Check)]


def require(fine: object, why: str, exchange: Exchange | None = None) -> None:
    """Raise FailedError unless ``fine``."""
    if not fine:
        raise FailedError(why, exchange)


def _shown(exchange: Exchange | None) -> tuple[str, str]:
    if exchange is None:
        return "", ""
    return show_sent(exchange.sent), show_came(exchange)
