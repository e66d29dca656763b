"""Changes of a running server's document: another primary, a canary, shadows, a stand-in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from afterfit.core.signature import Label
from afterfit.errors import ConflictError, NotFoundError, UsageError
from afterfit.runtime.client import AdminClient
from afterfit.runtime.endpoint import MILLION, Canary, Endpoint, ModelRoute, StandIn
from afterfit.runtime.running import Running, read_running

__all__ = ["DIVIDE", "Plan", "divided", "find_server", "parse_share", "primary_changed", "servers"]


DIVIDE = "divide"
"""What a change of a running server's traffic is called in the audit log."""


class Plan(NamedTuple):
    """What shall change in a model's traffic; None leaves a part as it is, empty takes it away.

    ``canary`` is (digest, share in parts per million, key), ``numbers`` are those of the digests.
    """

    canary: tuple[str, int, str] | None = None
    shadow: tuple[str, ...] | None = None
    stand_in: str | None = None
    constant: Label | None = None
    numbers: Mapping[str, int] = {}


def divided(admin: AdminClient, name: str, plan: Plan) -> Endpoint:
    """Return the document after a model's traffic was divided; raises ConflictError.

    The change is based on the generation that was read, so that two changes cannot cross.
    """
    now = admin.get()
    route = _route(now, name)
    versions = {**route.versions, **plan.numbers}
    changes: dict[str, object] = {"versions": versions}
    if plan.canary is not None:
        digest, share, key = plan.canary
        changes["canary"] = Canary(digest=digest, share_ppm=share, key=key) if digest else None
    if plan.shadow is not None:
        changes["shadow"] = plan.shadow
    if plan.constant is not None:
        changes["stand_in"] = StandIn(constant=plan.constant)
    elif plan.stand_in is not None:
        changes["stand_in"] = StandIn(digest=plan.stand_in) if plan.stand_in else None
    changed = _used_versions(msgspec.structs.replace(route, **changes))
    try:
        return admin.put(_with(now, name, changed))
    except ConflictError as error:
        raise ConflictError(
            f"somebody else has changed the endpoint meanwhile: {error.message}",
            where=admin.address,
            why=error.why,
            fix="look at it with `afterfit endpoint status`, and repeat the change",
        ) from None


def primary_changed(admin: AdminClient, name: str, digest: str, number: int) -> Endpoint:
    """Return the document after another version became the primary of a model.

    Canary, shadows and stand-in stay, except for one that is the new primary itself. Where they
    cannot answer what the new primary answers, they go: a rollback must not wait for them.
    """
    now = admin.get()
    plain = ModelRoute(primary=digest, versions={digest: number})
    old = now.models.get(name)
    if old is None:
        return admin.put(_with(now, name, plain))
    kept = _used_versions(
        msgspec.structs.replace(
            old,
            primary=digest,
            canary=None if old.canary and old.canary.digest == digest else old.canary,
            shadow=tuple(each for each in old.shadow if each != digest),
            stand_in=None if old.stand_in and old.stand_in.digest == digest else old.stand_in,
            versions={**old.versions, digest: number},
            loaded=True,
        )
    )
    try:
        return admin.put(_with(now, name, kept))
    except UsageError as error:
        if error.code != "incompatible":
            raise
    return admin.put(_with(now, name, plain))


def servers(endpoints: Path) -> list[tuple[Path, Running]]:
    """Return the servers of a workspace that run on this machine, with their state folders."""
    folders = sorted(endpoints.iterdir()) if endpoints.is_dir() else []
    found = [(folder, read_running(folder)) for folder in folders]
    return [(folder, running) for folder, running in found if running is not None]


def find_server(endpoints: Path, name: str) -> tuple[Path, AdminClient]:
    """Return the state folder and the admin client of the server that has a model.

    Raises NotFoundError where none runs, and ConflictError where several do.
    """
    found = []
    for folder, running in servers(endpoints):
        admin = AdminClient(running.admin, running.token)
        if not name or name in admin.get().models:
            found.append((folder, admin))
    if not found:
        raise NotFoundError(
            f"no server of {name} runs here" if name else "no server runs here",
            where=str(endpoints),
            fix=f"afterfit serve {name or 'NAME'}, or name its admin API: --admin unix:PATH",
        )
    if len(found) > 1:
        raise ConflictError(
            f"{len(found)} servers run here",
            where=", ".join(folder.name for folder, _ in found),
            fix="name the admin API of one: --admin unix:PATH",
        )
    return found[0]


def parse_share(text: str) -> int:
    """Return parts per million of ``10%``, ``2.5%`` or ``0.1``; raises UsageError."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if rest or not 0 <= share <= 1:
        raise UsageError(
            f"{text!r} is no share of the traffic", fix="write 10%, or 0.1; at most 100%"
        )
    return round(share * MILLION)


def _route(endpoint: Endpoint, name: str) -> ModelRoute:
    route = endpoint.models.get(name)
    if route is None:
        raise NotFoundError(
            f"the server has no model {name!r}",
            why=f"it serves {', '.join(endpoint.models)}",
            fix="name one of those, or serve it: afterfit serve NAME@champion",
        )
    return route


def _with(endpoint: Endpoint, name: str, route: ModelRoute) -> Endpoint:
    return msgspec.structs.replace(endpoint, models={**endpoint.models, name: route})


def _used_versions(route: ModelRoute) -> ModelRoute:
    """Return the route with the numbers of the digests that it names, and no others."""
    used: Sequence[str] = (
        route.primary,
        *route.shadow,
        route.canary.digest if route.canary else "",
        route.stand_in.digest if route.stand_in else "",
    )
    versions = {digest: number for digest, number in route.versions.items() if digest in used}
    return msgspec.structs.replace(route, versions=versions)
