"""``afterfit robustness URL``: strange requests to a server that runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import EXIT_GATE_FAILED, Answer
from afterfit.cli.requests import header_of, json_file
from afterfit.report.build import record_page
from afterfit.report.text import render
from afterfit.robustness.endpoint.config import EndpointConfig
from afterfit.robustness.endpoint.run import robustness_endpoint


@Parameter(name="*")
@dataclass(frozen=True)
class Attack:
    """What is asked of a running server."""

    model: Annotated[
        str | None, Parameter(help="Of a URL: the model; the first that is listed without it.")
    ] = None
    version: Annotated[str | None, Parameter(help="Of a URL: the version of the model.")] = None
    route: Annotated[
        str | None, Parameter(help="Of a URL: the path of a JSON endpoint, such as /predict.")
    ] = None
    example: Annotated[
        Path | None, Parameter(help="Of a URL: a file with the JSON of one right request.")
    ] = None
    header: Annotated[
        list[str] | None,
        Parameter(negative="", help="Of a URL: sent always, as 'authorization: Bearer …'."),
    ] = None
    allow_remote: Annotated[
        list[str] | None,
        Parameter(negative="", help="Of a URL: a host beyond this machine that is yours."),
    ] = None
    seconds: Annotated[
        float | None, Parameter(help="Of a URL: what the run may take; 60 without it.")
    ] = None
    timeout: Annotated[
        float | None, Parameter(help="Of a URL: seconds that one answer may take; 5 without it.")
    ] = None
    clients: Annotated[
        int | None, Parameter(help="Of a URL: how many send at once; 8 without it.")
    ] = None

    only: Annotated[
        list[str] | None,
        Parameter(negative="", help="Of a URL: the checks to make, as payload or rows.order."),
    ] = None

    def given(self) -> list[str]:
        """Return the options that were given."""
        return [
            f"--{name.replace('_', '-')}"
            for name in self.__dataclass_fields__
            if getattr(self, name) is not None
        ]


def attacked(url: str, attack: Attack, seed: int | None, common: Common) -> Answer:
    """Return what became of an endpoint; exit 1 where a clause of level must does not hold."""
    config = _config(attack, seed)
    started = time.monotonic()
    headers = [header_of(text) for text in attack.header or ()]
    with opened(common, create=True) as space:
        record = robustness_endpoint(
            url,
            config,
            headers=headers,
            allow_remote=attack.allow_remote or (),
            progress=space.progress,
        )
        stored = space.keep(record, started=started)
        warnings = space.warnings
    return Answer(
        msgspec.to_builtins(stored),
        render(record_page(stored)),
        exit=EXIT_GATE_FAILED if record.failed("must") else 0,
        warnings=warnings,
    )


def _config(attack: Attack, seed: int | None) -> EndpointConfig:
    given: dict[str, Any] = {
        "model": attack.model,
        "version": attack.version,
        "route": attack.route,
        "example": None if attack.example is None else json_file(attack.example, "--example"),
        "seed": seed,
        "seconds": attack.seconds,
        "timeout": attack.timeout,
        "clients": attack.clients,
        "only": None if attack.only is None else tuple(attack.only),
    }
    return EndpointConfig(**{name: value for name, value in given.items() if value is not None})
