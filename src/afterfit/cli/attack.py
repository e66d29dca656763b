"""``afterfit robustness URL``: strange requests to a server that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, given_of, opened
from afterfit.cli.output import EXIT_GATE_FAILED, Answer
from afterfit.cli.requests import ELSEWHERE, Elsewhere
from afterfit.cli.sources import Tables, require_used
from afterfit.records.robustness_endpoint import RobustnessEndpointRecord
from afterfit.report.build import record_page
from afterfit.report.text import render
from afterfit.robustness.endpoint.config import EndpointConfig


@Parameter(name="*", group=ELSEWHERE)
@dataclass(frozen=True)
class Attack:
    """What is asked of a running server."""

    version: Annotated[str | None, Parameter(help="The version of the model.")] = None
    seconds: Annotated[float | None, Parameter(help="What the run may take; 60 without it.")] = None
    timeout: Annotated[
        float | None, Parameter(help="Seconds that one answer may take; 5 without it.")
    ] = None
    clients: Annotated[int | None, Parameter(help="How many send at once; 8 without it.")] = None
    only: Annotated[
        list[str] | None,
        Parameter(negative="", help="The checks to make, as payload or rows.order."),
    ] = None

    def given(self) -> list[str]:
        """Return the options that were given."""
        return given_of(self)


def attacked(
    url: str, attack: Attack, elsewhere: Elsewhere, tables: Tables, common: Common
) -> Answer:
    """Return what became of an endpoint; exit 1 where a clause of level must does not hold."""
    require_used(tables, url, "--seed")
    config = _config(attack, elsewhere, tables.seed)
    headers = elsewhere.headers()
    with opened(common, create=True) as space:
        stored = space.robustness_endpoint(
            url, config, headers=headers, allow_remote=elsewhere.allow_remote or ()
        )
        warnings = space.warnings
    body = stored.body
    failed = isinstance(body, RobustnessEndpointRecord) and body.failed("must")
    return Answer(
        msgspec.to_builtins(stored),
        render(record_page(stored)),
        exit=EXIT_GATE_FAILED if failed else 0,
        warnings=warnings,
    )


def _config(attack: Attack, elsewhere: Elsewhere, seed: int | None) -> EndpointConfig:
    given: dict[str, Any] = {
        **elsewhere.asked(),
        "version": attack.version,
        "seed": seed,
        "seconds": attack.seconds,
        "timeout": attack.timeout,
        "clients": attack.clients,
        "only": None if attack.only is None else tuple(attack.only),
    }
    return EndpointConfig(**{name: value for name, value in given.items() if value is not None})
