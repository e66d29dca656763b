"""A dead-man switch for canaries: without a sign of whoever watches, they get no more requests.

Whoever drives a rollout renews a lease at every look. When it runs out, the supervisor itself takes
the share away, so that this needs neither the driver's machine nor its workspace.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Protocol

import msgspec

from afterfit.errors import AfterfitError, ConflictError
from afterfit.runtime.endpoint import Endpoint, ModelRoute
from afterfit.runtime.log import log_line

__all__ = ["Changeable", "Lease", "Leases"]

TRIES = 5


class Lease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The digest of a model's canary, and the seconds until it steps back; 0 ends the lease."""

    model: str
    digest: str
    seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class Changeable(Protocol):
    """What holds the endpoint document: the supervisor."""

    endpoint: Endpoint

    async def apply(self, wanted: Endpoint, if_generation: int) -> Endpoint:
        """Return the document that serves now."""
        ...


class Leases:
    """The leases of a server's canaries, one a model; the newest counts."""

    def __init__(self, server: Changeable) -> None:
        self._server = server
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def hold(self, lease: Lease) -> None:
        """Renew a lease, or end it."""
        timer = self._timers.pop(lease.model, None)
        if timer is not None:
            timer.cancel()
        if lease.seconds:
            loop = asyncio.get_running_loop()
            self._timers[lease.model] = loop.call_later(lease.seconds, self._lapse, lease)

    def _lapse(self, lease: Lease) -> None:
        self._timers.pop(lease.model, None)
        task = asyncio.get_running_loop().create_task(self._step_back(lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _step_back(self, lease: Lease) -> None:
        told = {"model": lease.model, "digest": lease.digest, "seconds": lease.seconds}
        for _ in range(TRIES):
            now = self._server.endpoint
            alone = _without(now.models.get(lease.model), lease.digest)
            if alone is None:
                return
            wanted = msgspec.structs.replace(now, models={**now.models, lease.model: alone})
            try:
                await self._server.apply(wanted, now.generation)
            except ConflictError:
                continue  # somebody changed it in between
            except AfterfitError as error:
                log_line({"event": "lease_failed", **told, "error": error.message})
                return
            log_line({"event": "lease_lapsed", **told})
            return


def _without(route: ModelRoute | None, digest: str) -> ModelRoute | None:
    """Return the route whose canary gets nothing, None where this one gets nothing already."""
    if route is None:
        return None
    canary = route.canary
    if canary is not None and canary.digest == digest and canary.share_ppm:
        canary = msgspec.structs.replace(canary, share_ppm=0)
    shadow = tuple(each for each in route.shadow if each != digest)
    found = msgspec.structs.replace(route, canary=canary, shadow=shadow)
    return None if found == route else found
