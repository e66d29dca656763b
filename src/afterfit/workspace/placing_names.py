"""The names that a choice of platforms is asked with: regions, offers, and what was confirmed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from afterfit.errors import UsageError
from afterfit.platforms.catalog import Catalog
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.constraints import CONFIRMABLE
from afterfit.platforms.regions import PLACES
from afterfit.workspace.prices import imported

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["check_names", "known_regions", "near", "regions_of"]


def known_regions(space: Workspace) -> set[str]:
    """Return the regions that can be asked for: those of the catalog and of imported prices."""
    return regions_of(imported(space).catalog)


def regions_of(catalog: Catalog) -> set[str]:
    """Return the regions of a catalog, and the places of several."""
    regions = {machine.region for machine in catalog.machines} | set(PLACES)
    return regions | {region for service in catalog.services for region in service.regions}


def check_names(config: PlatformsConfig, catalog: Catalog) -> None:
    """Do nothing for names that there are; raises UsageError with near ones.

    What is misspelt would be left out, or confirmed, without any effect.
    """
    asked = config.requirements
    regions = regions_of(catalog)
    providers = {service.provider for service in catalog.services}
    wanted = [("region", name, regions) for name in asked.regions]
    wanted += [("residency", asked.residency, regions)] if asked.residency else []
    wanted += [("provider", name, providers) for name in asked.providers]
    for what, name, known in wanted:
        if name not in known:
            raise UsageError(
                f"no {what} is called {name!r}", where="--require",
                why=f"there are {', '.join(sorted(known))}",
                fix=near(name, known, f"--require {what}=eu"),
            )  # fmt: skip
    if asked.exclude or config.confirmed:
        _check_offers(asked.exclude, config.confirmed, catalog)


def _check_offers(excluded: Sequence[str], confirmed: Sequence[str], catalog: Catalog) -> None:
    """Do nothing for what can be left out and confirmed; raises UsageError with near names."""
    services = {service.id for service in catalog.services}
    offers = {offer.id for offer in catalog.offers()}
    kinds = {name for each in catalog.services for name in (each.provider, each.kind)}
    names = services | kinds | offers | {machine.name for machine in catalog.machines}
    for name in excluded:
        if name not in names:
            raise UsageError(
                f"nothing that can be left out is called {name!r}", where="--exclude",
                why="it is a provider, a service, a kind, a machine or an offer",
                fix=near(name, names, "--exclude aws-lambda"),
            )  # fmt: skip
    for key in confirmed:
        of, _, name = key.rpartition(".")
        if name not in CONFIRMABLE or (of and of not in services | offers):
            keys = {*CONFIRMABLE, *(f"{each}.{what}" for each in services for what in CONFIRMABLE)}
            raise UsageError(
                f"nothing that can be confirmed is called {key!r}", where="--confirm",
                why="it is hipaa, gcp-run.hipaa, or as the page writes it",
                fix=near(key, keys, "--confirm hipaa"),
            )  # fmt: skip


def near(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a question for the nearest name, or ``otherwise`` where none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise
