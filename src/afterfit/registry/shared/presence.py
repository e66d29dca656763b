"""Who stands on bytes of a shared workspace, and who takes bytes away, as rows of its database."""

from __future__ import annotations

import time
from collections.abc import Iterable

from afterfit.errors import ConflictError
from afterfit.registry.shared.database import Database
from afterfit.registry.shared.tables import ENDPOINTS, PRUNING
from afterfit.registry.storage import Pruning

__all__ = ["PRESENT_S", "Turn", "announce", "present", "pruning_of"]

PRESENT_S = 7 * 86_400.0
"""So long after an endpoint was last heard of nobody takes away what it stands on."""
_THERE = "SELECT to_regclass(%s) IS NOT NULL"


def announce(database: Database, machine: str, endpoint: str, digests: Iterable[str]) -> None:
    """Say that a server of a machine stands on versions; raises ForbiddenError, UnavailableError.

    The user of the database needs INSERT and UPDATE on ``afterfit_registry_endpoints`` alone.
    """
    if not _is_there(database, "afterfit_registry_endpoints"):
        database.run(ENDPOINTS)
    database.run(
        "INSERT INTO afterfit_registry_endpoints (machine, endpoint, digests, seen)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT (machine, endpoint) DO UPDATE SET"
        " digests = excluded.digests, seen = excluded.seen",
        (machine, endpoint, " ".join(sorted(set(digests))), time.time()),
    )


def present(database: Database, now: float) -> dict[str, str]:
    """Return who stands on each digest: the endpoints that were heard of in the last week."""
    if not _is_there(database, "afterfit_registry_endpoints"):
        return {}
    query = (
        "SELECT machine, endpoint, digests FROM afterfit_registry_endpoints WHERE seen > %s"
        " ORDER BY machine, endpoint"
    )
    found: dict[str, str] = {}
    for machine, endpoint, digests in database.rows(query, (now - PRESENT_S,)):
        for digest in digests.split():
            found.setdefault(digest, f"the endpoint {endpoint} on {machine} stands on it")
    return found


def pruning_of(database: Database) -> Pruning:
    """Return how often taking bytes away began or ended, and who does it now."""
    if not _is_there(database, "afterfit_registry_pruning"):
        return Pruning()
    turn, owner = database.rows("SELECT turn, owner FROM afterfit_registry_pruning")[0]
    return Pruning(int(turn), str(owner))


class Turn:
    """The turn of one who takes bytes away; every method belongs inside of a change.

    It is open until `end`, also where its process dies: as long as that is so, whoever pushes
    looks again at what was there already. Whoever begins another ends this one.
    """

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def begin(self) -> None:
        """Take the turn; the tables are made where a workspace is older than they are."""
        for statement in (ENDPOINTS, *PRUNING):
            self._database.run(statement)
        self._set(self._owner)

    def require(self) -> None:
        """Do nothing while the turn is ours; raises ConflictError when it is another's."""
        owner = pruning_of(self._database).owner
        if owner != self._owner:
            raise ConflictError(
                "somebody else prunes this workspace now",
                where=self._database.where,
                why="what this command had not removed yet is left to that one",
                fix="wait for it, then look what is left: afterfit version prune",
            )

    def end(self) -> None:
        """Give the turn back."""
        self.require()
        self._set("")

    def _set(self, owner: str) -> None:
        query = "UPDATE afterfit_registry_pruning SET turn = turn + 1, owner = %s"
        self._database.run(query, (owner,))


def _is_there(database: Database, table: str) -> bool:
    return bool(database.rows(_THERE, (table,))[0][0])
