"""The endpoint document that a server begins with, and where it is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from afterfit.errors import ResourceError, UsageError
from afterfit.runtime.endpoint import Endpoint, ModelRoute, read_endpoint, write_atomic
from afterfit.runtime.log import log_line
from afterfit.runtime.settings import ServerSettings

__all__ = ["bundle_folder", "initial_endpoint", "persist", "with_kept_division"]

DOCUMENT = "endpoint.json"


def initial_endpoint(settings: ServerSettings) -> Endpoint:
    """Return the document to begin with: the given models, else the persisted ones.

    Given models follow on the persisted generation, so that a generation never means two things.
    A model that still has the same primary keeps its canary, shadows and stand-in.
    """
    kept = read_endpoint(Path(settings.state) / DOCUMENT) if settings.state else None
    if not settings.endpoint.models:
        if kept is None:
            raise UsageError("nothing to serve", fix="pass --bundle NAME=FOLDER")
        return kept
    if kept is None:
        return msgspec.structs.replace(settings.endpoint, generation=1)
    models = {
        name: with_kept_division(route, kept.models.get(name), partial(has_bundle, settings))
        for name, route in settings.endpoint.models.items()
    }
    generation = kept.generation + 1
    return msgspec.structs.replace(settings.endpoint, generation=generation, models=models)


def has_bundle(settings: ServerSettings, digest: str) -> bool:
    """Return whether the bundle of a digest is on this machine."""
    return bundle_folder(settings, digest) is not None


def bundle_folder(settings: ServerSettings, digest: str) -> Path | None:
    """Return the folder of a digest's bundle; None where there is none."""
    known = settings.folders.get(digest)
    if not known and not settings.bundles:
        return None
    folder = Path(known) if known else Path(settings.bundles) / digest
    return folder if folder.is_dir() else None


def persist(state: str, endpoint: Endpoint) -> None:
    """Keep the document in a folder, where there is one; raises ResourceError."""
    if not state:
        return
    try:
        folder = Path(state)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / DOCUMENT, msgspec.json.encode(endpoint))
    except OSError as error:
        raise ResourceError(
            "the endpoint document cannot be written",
            where=state,
            why=str(error),
            fix="free some space, or give a folder that can be written: --state FOLDER",
        ) from None


def with_kept_division(
    route: ModelRoute, kept: ModelRoute | None, has_bundle: Callable[[str], bool]
) -> ModelRoute:
    """Return a route with the division of its traffic that was kept for the same primary.

    One whose versions are not all on this machine any more is left out, and the log says so.
    """
    divided = route.canary is not None or route.stand_in is not None or bool(route.shadow)
    if divided or kept is None or kept.primary != route.primary:
        return route
    missing = [d for d in (*kept.answering, *kept.shadow) if not has_bundle(d)]
    if missing:
        log_line({"event": "division_dropped", "missing": missing})
        return route
    return msgspec.structs.replace(
        route,
        canary=kept.canary,
        shadow=kept.shadow,
        stand_in=kept.stand_in,
        versions={**kept.versions, **route.versions},
    )
