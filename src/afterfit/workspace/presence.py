"""A server of a shared workspace says which versions it stands on, so that nobody prunes them."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from afterfit.errors import AfterfitError
from afterfit.registry.shared.postgres import PostgresStorage
from afterfit.registry.shared.presence import announce
from afterfit.runtime.client import AdminClient
from afterfit.runtime.endpoint import ModelRoute

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["ANNOUNCE_S", "announcing"]

ANNOUNCE_S = 60.0


def announcing(space: Workspace, admin: AdminClient, endpoint: str, stop: threading.Event) -> None:
    """Until ``stop`` is set, say every minute what the endpoint stands on; locally do nothing.

    Where the database does not take it, a line says so once: its user may be allowed to read alone.
    """
    storage = space.registry.storage
    if not isinstance(storage, PostgresStorage):
        return
    told = ""
    while True:
        why = ""
        try:
            found = [d for route in admin.get().models.values() for d in _digests(route)]
            announce(storage.database, socket.gethostname(), endpoint, found)
        except AfterfitError as error:
            why = error.why or error.message
        if why and why != told:
            space.progress.say(
                f"the workspace does not know what {endpoint} serves ({why}): "
                "version prune elsewhere keeps versions with an alias, and may take others"
            )
        told = why
        if stop.wait(ANNOUNCE_S):
            return


def _digests(route: ModelRoute) -> set[str]:
    canary = {route.canary.digest} if route.canary is not None else set()
    stand_in = {route.stand_in.digest} if route.stand_in and route.stand_in.digest else set()
    return {route.primary, *route.shadow, *canary, *stand_in}
