"""The last version that really served and was healthy, by the events of the workspace's servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.metric import Metric
from afterfit.core.shell import shell_word
from afterfit.errors import NotFoundError
from afterfit.registry.history import ROLLBACK, Move
from afterfit.stats.interval import wilson
from afterfit.workspace.served import counts_at, where_of

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["LEAST_SERVED", "MOST_FAILED", "Health", "health_of", "last_good"]

LEAST_SERVED = 100
"""Rows that a version must have answered to be called healthy."""
MOST_FAILED = 0.01
"""The share of failures up to which it is."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What a version did when it served: rows answered, failures (with bounds), and the verdict."""

    number: int
    digest: str
    served: int
    failed: Metric
    healthy: bool


def last_good(space: Workspace, name: str, alias: str = "champion", *, events: str = "") -> Health:
    """Return the newest earlier version of an alias that served at least 100 rows, 1 % failing.

    One that was rolled back from counts as bad until it is promoted again. ``events`` is where
    servers write, by default this machine's folder of the workspace. Raises NotFoundError that
    tells what each earlier one did, and what reading the events raises.
    """
    moves = space.registry.moves(name, alias)
    seen = []
    place: str | Path = events or space.events
    counts = counts_at(place, name)
    for number, digest in _earlier(moves):
        health = health_of(number, digest, *counts.get(digest, (0, 0)))
        if health.healthy:
            return health
        seen.append(f"{number} answered {health.served} rows, {round(_failed(health))} failed")
    raise NotFoundError(
        f"no earlier version of {name}@{alias} is known to have served well",
        where=where_of(place),
        why="; ".join(seen) or "no other version held the alias, but those rolled back from",
        fix=f"afterfit version list {shell_word(name)}   # and promote the one that you trust",
    )


def health_of(number: int, digest: str, served: int, failed: int) -> Health:
    """Return the health of a version from what it answered and what failed."""
    n = served + failed
    rate = failed / n if n else float("nan")
    metric = Metric.of("failed", rate, wilson(failed, n), n=n, scope="rows and failed requests")
    healthy = served >= LEAST_SERVED and rate <= MOST_FAILED
    return Health(number=number, digest=digest, served=served, failed=metric, healthy=healthy)


def _failed(health: Health) -> float:
    return (health.failed.value or 0.0) * health.failed.n


def _earlier(moves: list[Move]) -> Iterator[tuple[int, str]]:
    """Yield the versions that held the alias before, the newest first, but for the bad ones."""
    bad: set[int] = set()
    held: list[tuple[int, str]] = []
    for move in moves:
        if move.action == ROLLBACK and held:
            bad.add(held[-1][0])
        else:
            bad.discard(move.to)
        held.append((move.to, move.digest))
    if held:
        bad.add(held[-1][0])
    yield from dict.fromkeys(each for each in reversed(held) if each[0] not in bad)
