"""The suite: every check once, in order, against one model on one server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from afterfit import __version__
from afterfit.core.wire.client import (
    Client,
    NoAnswerError,
    OutOfBudgetError,
    Sent,
    address_of,
)
from afterfit.core.wire.model import listed_model
from afterfit.errors import NotFoundError, ResourceError, UnavailableError, UsageError
from afterfit.testing.conformance.catalog import CHECKS
from afterfit.testing.conformance.check import Check, Level, Outcome, SkippedError, Status
from afterfit.testing.conformance.target import Target

__all__ = ["Report", "run"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found; ``outcomes`` has one for each check, in order."""

    url: str
    model: str
    version: str
    server: str
    extensions: tuple[str, ...]
    seed: int
    requests: int
    seconds: float
    outcomes: tuple[Outcome, ...]

    def failed(self, *levels: Level) -> list[Outcome]:
        """Return the outcomes that failed, of some levels or of all."""
        wanted = levels or ("must", "should", "extension")
        return [each for each in self.outcomes if each.status == "fail" and each.level in wanted]

    def counts(self, level: Level) -> Counter[Status]:
        """Return how many checks of a level had each status."""
        return Counter(each.status for each in self.outcomes if each.level == level)

    @property
    def conforms(self) -> bool:
        """Return whether no clause of level ``must`` failed."""
        return not self.failed("must")


def run(
    url: str,
    *,
    model: str = "",
    version: str = "",
    headers: Iterable[tuple[str, str]] = (),
    request: Any = None,
    seed: int = 0,
    timeout: float = 10.0,
    limit: float = 300.0,
) -> Report:
    """Return the report on a server of the Open Inference Protocol, version 2, over REST.

    ``request`` is an inference request (a dict) to use in place of generated rows. ``timeout`` is
    the seconds of one exchange, ``limit`` those of all. Raises UnavailableError where the server
    cannot be reached, NotFoundError where it has no such model, UsageError for a URL, seed or time
    that makes no sense and without a model where the server lists none, InputError for a request
    that cannot be used, ResourceError where ``limit`` is over before the first check.
    """
    if not timeout > 0:
        raise UsageError(f"{timeout:g} s is no time for an answer", fix="--timeout 10")
    if seed < 0:
        raise UsageError(f"the seed {seed} is negative", fix="--seed 0")
    begun = time.monotonic()
    agent = f"afterfit-conform/{__version__}"
    client = Client(address_of(url), headers=headers, timeout=timeout, limit=limit, agent=agent)
    try:
        _reach(client, url)
        chosen = model or listed_model(client)
        target = Target(client, chosen, version=version, request=request, seed=seed)
        _must_exist(target)
    except OutOfBudgetError as error:
        raise ResourceError(str(error), where=url, fix="give the run more time") from None
    outcomes = tuple(_performed(check, target) for check in CHECKS)
    return Report(
        url=url,
        model=target.model,
        version=version,
        server=_server(target),
        extensions=target.extensions,
        seed=seed,
        requests=client.count,
        seconds=round(time.monotonic() - begun, 2),
        outcomes=outcomes,
    )


def _performed(check: Check, target: Target) -> Outcome:
    if not target.gone:
        return check.perform(target)
    return Outcome(
        check=check.id,
        level=check.level,
        section=check.section,
        clause=check.sense,
        status="skipped",
        why="the server no longer takes connections",
    )


def _reach(client: Client, url: str) -> None:
    try:
        client.request(Sent("GET", "/v2/health/live"), api="health")
    except NoAnswerError as error:
        raise UnavailableError(
            "the server cannot be reached", where=url, why=error.reason, fix=f"curl -i {url}/v2"
        ) from None


def _must_exist(target: Target) -> None:
    """Raise NotFoundError where the server knows neither the metadata nor the state of a model."""
    try:
        found = target.model_exchange.status == 200 or target.request is not None
        found = found or target.get(target.path("/ready"), api="health").status == 200
    except NoAnswerError:
        return
    if not found:
        exchange = target.model_exchange
        raise NotFoundError(
            f"the server has no model {target.model!r}"
            + (f" of version {target.version!r}" if target.version else ""),
            where=exchange.sent.path,
            why=f"its metadata and its readiness are refused with {exchange.status}",
            fix="name another with --model and --version",
        )


def _server(target: Target) -> str:
    try:
        return f"{target.server.name} {target.server.version}"
    except SkippedError:
        return "unknown"
