"""What must hold before a change of the endpoint document is prepared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from afterfit.core.bundle import Bundle
from afterfit.runtime.contract import check_same_contract
from afterfit.runtime.endpoint import Endpoint

__all__ = ["check_contracts", "loads_of"]


def check_contracts(endpoint: Endpoint, folders: Mapping[str, str]) -> None:
    """Raise UsageError where a canary, shadow or stand-in is no version of the same contract.

    The files are read before anything is loaded; whoever loads them verifies every byte.
    """
    for name, route in endpoint.models.items():
        others = [*route.answering[1:], *route.shadowing]
        if not others:
            continue
        primary = Bundle(Path(folders[route.primary])).signature
        for digest in dict.fromkeys(others):
            other = Bundle(Path(folders[digest])).signature
            number = route.number(digest)
            where = f"$.models.{name}: version {number}" if number else f"$.models.{name}: {digest}"
            check_same_contract(primary, other, where)


def loads_of(now: Endpoint, new: Endpoint, workers: int) -> dict[str, int]:
    """Return in how many processes each digest is loaded anew by a change."""
    here = {digest for route in now.models.values() for digest in route.answering}
    shadows = {digest for route in now.models.values() for digest in route.shadowing}
    loads: dict[str, int] = {}
    for route in new.models.values():
        for digest in set(route.answering) - here:
            loads[digest] = loads.get(digest, 0) + workers
        for digest in set(route.shadowing) - shadows:
            loads[digest] = loads.get(digest, 0) + 1
    return loads
