"""What a check of an endpoint is: an id, a clause, a level, and a function that judges it.

The function returns where the clause holds. Where it does not, it raises `FailedError`; what does
not concern the endpoint raises `NotApplicableError`, and what could not be looked at raises
`SkippedError`: what did not run never reads as passed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from afterfit.core.docstring import sentence
from afterfit.core.finding import Check as Kind
from afterfit.core.wire.client import Exchange, Sent
from afterfit.records.robustness_endpoint import Level

if TYPE_CHECKING:
    from afterfit.robustness.endpoint.target import Target


class FailedError(Exception):
    """The clause does not hold: the kind of finding, why, and the exchange that shows it.

    ``level`` is that of the check unless given; ``command`` sends the request again where curl
    alone cannot.
    """

    def __init__(
        self,
        kind: type[Kind],
        why: str,
        exchange: Exchange | None = None,
        *,
        sent: Sent | None = None,
        level: Level | None = None,
        command: str = "",
    ) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why
        self.exchange = exchange
        self.sent = sent or (exchange.sent if exchange else None)
        self.level = level
        self.command = command


class SkippedError(Exception):
    """The check could not be made; the text says why."""


class NotApplicableError(Exception):
    """The clause does not concern this endpoint; the text says why."""


class EndpointCheck(NamedTuple):
    """One clause: ``kind`` is the finding that it looks for, ``abusive`` asks for a look after."""

    id: str
    level: Level
    kind: type[Kind]
    clause: str
    function: Callable[[Target], None]
    abusive: bool = False


def clause(
    id_: str, level: Level, kind: type[Kind], *, abusive: bool = False
) -> Callable[[Callable[[Target], None]], EndpointCheck]:
    """Return a decorator that makes a check of a function; its docstring is the clause."""

    def decorate(function: Callable[[Target], None]) -> EndpointCheck:
        return EndpointCheck(id_, level, kind, sentence(function), function, abusive)

    return decorate


def checks_of(module: ModuleType) -> list[EndpointCheck]:
    """Return the checks of a module in the order in which they stand."""
    return [value for value in vars(module).values() if isinstance(value, EndpointCheck)]
