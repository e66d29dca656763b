"""``robustness`` of a running server: strange requests, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from afterfit.core.digest import canonical_json, sha256_bytes
from afterfit.core.progress import SILENT, Progress
from afterfit.core.wire.answers import differences
from afterfit.core.wire.client import (
    Client,
    Exchange,
    NoAnswerError,
    OutOfBudgetError,
    address_of,
)
from afterfit.core.wire.model import LOOPBACK, permit, speaks_protocol
from afterfit.errors import InputError, ResourceError, UnavailableError, UsageError
from afterfit.records.robustness_endpoint import (
    Ending,
    EndpointCase,
    RobustnessEndpointRecord,
)
from afterfit.robustness.endpoint.catalog import chosen
from afterfit.robustness.endpoint.check import FailedError
from afterfit.robustness.endpoint.config import EndpointConfig
from afterfit.robustness.endpoint.dialect import Dialect
from afterfit.robustness.endpoint.judge import ENDED, judged
from afterfit.robustness.endpoint.memory import server_pids
from afterfit.robustness.endpoint.oip import oip
from afterfit.robustness.endpoint.openapi import described, document_of, row_schema
from afterfit.robustness.endpoint.perform import perform
from afterfit.robustness.endpoint.plain import Plain
from afterfit.robustness.endpoint.target import Target
from afterfit.store.environment import current_environment

MOST_REQUESTS = 2000
WHAT = "strange requests go"
HARM = "they could harm somebody else's server"


def robustness_endpoint(
    url: str,
    config: EndpointConfig,
    *,
    headers: Iterable[tuple[str, str]] = (),
    allow_remote: Iterable[str] = (),
    progress: Progress = SILENT,
) -> RobustnessEndpointRecord:
    """Return what a server at ``url`` did with strange requests, ours or any other.

    ``headers`` go with every request and are not kept. A host that is not this machine has to be
    named in ``allow_remote``. The run ends within ``config.seconds`` and the time of one answer,
    whatever the server does. Raises UsageError, UnavailableError, NotFoundError or InputError where
    there is nothing to examine: no server, no model, no request that it takes.
    """
    _checked(config)
    address = address_of(url)
    permit(address, allow_remote, what=WHAT, why=HARM, command=f"afterfit robustness {url}")
    client = Client(
        address,
        headers=headers,
        timeout=config.timeout,
        limit=config.seconds,
        requests=MOST_REQUESTS,
        agent="afterfit-robustness",
    )
    try:
        target = _prepared(client, url, config)
    except NoAnswerError as error:
        raise UnavailableError(
            "the server does not answer", where=url, why=error.reason, fix=f"curl -i {url}"
        ) from None
    except OutOfBudgetError as error:
        raise ResourceError(str(error), where=url, fix="give the run more --seconds") from None
    if address.host in LOOPBACK:
        target.pids = server_pids(address.port)
    cases, ending, ended_by = _performed(target, progress)
    dialect = target.dialect
    return RobustnessEndpointRecord(
        subject=sha256_bytes(canonical_json([url, dialect.route])),
        env=current_environment(),
        inputs={"example": sha256_bytes(target.body(target.rows()))},
        resolved=msgspec.to_builtins(config) | {"example": None},
        status="complete" if ending == "finished" else "partial",
        findings=judged(cases, ending, memory_known=bool(target.pids)),
        url=url,
        protocol=dialect.protocol,
        route=dialect.route,
        requests=client.count,
        ending=ending,
        ended_by=ended_by,
        growth_bytes=target.growth,
        cases=tuple(cases),
    )


def _performed(target: Target, progress: Progress) -> tuple[list[EndpointCase], Ending, str]:
    """Return every case; after the end of the run the rest is skipped."""
    config = target.config
    checks = chosen(config.only)
    progress.step("robustness of the endpoint", len(checks))
    cases: list[EndpointCase] = []
    ending: Ending = "finished"
    ended_by = ""
    for check in checks:
        left = target.client.left
        if ending == "finished" and left <= 0:
            ending = "out_of_time"
        if ending != "finished":
            why = f"{ENDED[ending]} after {ended_by}" if ended_by else ENDED[ending]
            cases.append(_skipped(check.id, check.level, check.clause, why))
            continue
        target.client.timeout = min(config.timeout, max(left, 0.1))
        done = perform(check, target)
        cases.append(done.case)
        if done.ending is not None:
            ending, ended_by = done.ending, check.id
        progress.advance()
    return cases, ending, ended_by


def _skipped(check: str, level: Any, clause: str, why: str) -> EndpointCase:
    return EndpointCase(check=check, level=level, clause=clause, status="skipped", why=why)


def _checked(config: EndpointConfig) -> None:
    if not config.timeout > 0 or not config.seconds > 0:
        raise UsageError("a run needs some time", fix="--seconds 60 --timeout 5")
    if config.seed < 0 or not 1 <= config.clients <= 64:
        raise UsageError(
            "a seed is at least 0, and 1 to 64 clients send at once", fix="--seed 0 --clients 8"
        )
    chosen(config.only)
    if config.route and not config.route.startswith("/"):
        raise UsageError(f"not a route: {config.route!r}", fix=f"--route /{config.route}")


def _prepared(client: Client, url: str, config: EndpointConfig) -> Target:
    """Return the endpoint with the answers to its plain request."""
    dialect = _dialect(client, url, config)
    target = Target(client, dialect, config)
    exchange = _accepted(target)
    if isinstance(dialect, Plain):
        dialect.learn(exchange, target.count)
    try:
        target.plain = target.read(exchange, target.count, "the plain request")
        again = target.right(target.rows(), "the plain request again")
    except FailedError as error:
        raise _unusable(error.why, url) from None
    target.repeatable = not differences(target.plain, again)
    client.log.clear()
    return target


def _dialect(client: Client, url: str, config: EndpointConfig) -> Dialect:
    if not config.route and speaks_protocol(client, config.model):
        return oip(client, url, config)
    document = document_of(client)
    if config.route and config.example is not None:
        example, route, schema = config.example, config.route, {}
        if document and config.route in document.get("paths", {}):
            schema = described(document, route=route, model="", url=url).schema
    else:
        found = described(document, route=config.route, model=config.model, url=url)
        route, schema = found.route, found.schema
        example = found.example if config.example is None else config.example
    holder = Plain(route, example, seed=config.seed).holder
    return Plain(route, example, schema=row_schema(schema, holder), seed=config.seed)


def _accepted(target: Target) -> Exchange:
    """Return the answer to the plain request; rows that were made up may be given up for it."""
    dialect = target.dialect
    exchange = target.client.request(target.sent(target.body(target.rows())))
    if exchange.status != 200 and isinstance(dialect, Plain):
        dialect.varied = False
        exchange = target.client.request(target.sent(target.body(target.rows())))
    if exchange.status != 200:
        why = f"POST {dialect.route} got {exchange.status}: {exchange.body[:300]!r}"
        raise _unusable(why, target.client.address.authority)
    return exchange


def _unusable(why: str, where: str) -> InputError:
    return InputError(
        "no right request is known, so that nothing can be compared with it",
        where=where,
        why=why,
        fix="--route /predict --example example.json   # a request that the server answers",
    )
