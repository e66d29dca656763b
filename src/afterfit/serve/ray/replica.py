"""What a replica of Ray Serve runs: the same handler, batching and checks as our own server."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from afterfit.core.bundle import MANIFEST, Bundle, check_file_name
from afterfit.core.dns import dns_name
from afterfit.core.proof import proven_file
from afterfit.errors import DependencyError
from afterfit.runtime.alone import Alone
from afterfit.runtime.batch import BatchSettings
from afterfit.runtime.platform import EVERY_SERVER
from afterfit.runtime.settings import WorkerSettings
from afterfit.serve.ray.settings import Model, Plan

__all__ = ["Replica", "baked", "deployed", "packed", "routes"]

Files = dict[str, bytes]
"""Relative path to bytes: a bundle on its way to another machine."""


def routes() -> dict[str, str]:
    """Return the paths beside the server's own; `/health` is what Ray users ask for."""
    return {**EVERY_SERVER, "/health": "health"}


class Replica:
    """One process of an application: models that are loaded, and the handler that answers.

    ``plan`` is the JSON of a `Plan`. ``sent`` has the files of each digest whose folder is not on
    this machine, or what `ray.get` makes them of.
    """

    def __init__(self, plan: bytes, sent: Mapping[str, Any]) -> None:
        told = msgspec.json.decode(plan, type=Plan)
        self._kept = [tempfile.TemporaryDirectory(prefix="afterfit-bundle-") for _ in sent]
        folders = told.folders
        proven = {each.digest: each for each in told.models.values()}
        for kept, (digest, files) in zip(self._kept, sent.items(), strict=True):
            folders[digest] = str(_unpacked(files, Path(kept.name) / digest, proven[digest]))
        self.alone = Alone(told.worker, told.endpoint, folders, f"ray-{uuid.uuid4().hex[:12]}")
        self._watch = _watched(self.alone)

    def __serve_build_asgi_app__(self) -> Any:
        """Return the application that answers."""
        return self.alone.asgi

    def __del__(self) -> None:
        """Write the last events and let go of the models: Ray Serve calls it at the end."""
        if hasattr(self, "alone"):
            self.alone.close()
        for kept in getattr(self, "_kept", ()):
            kept.cleanup()


def _watched(alone: Alone) -> asyncio.Task[None] | None:
    """Return the task that reads keys anew, where Ray makes the replica on its event loop."""
    try:
        return asyncio.get_running_loop().create_task(alone.watch())
    except RuntimeError:
        return None


def packed(folder: Path) -> Files:
    """Return every file of a bundle."""
    names = [MANIFEST, *Bundle(folder).manifest.files]
    return {name: (folder / name).read_bytes() for name in names}


def _unpacked(files: Any, folder: Path, model: Model) -> Path:
    """Return the folder that the files were written into; they are verified when it is loaded."""
    found: Files = files
    if not isinstance(files, dict):
        import ray

        found = ray.get(files)
    for name, data in found.items():
        if name != MANIFEST:
            check_file_name(name, folder)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    if model.proven is not None:
        proven_file(folder).write_bytes(model.proven.encode())
    return folder


def deployed(plan: Plan, sent: Mapping[str, Any], **options: Any) -> Any:
    """Return the Serve application of a plan; ``options`` are those of a deployment.

    Raises DependencyError without Ray Serve.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise DependencyError(
            f"Ray Serve cannot be loaded: {error}",
            why="Ray is an extra, so that servers stay small",
            fix="pip install 'afterfit[ray]'",
        ) from None
    name = dns_name("-".join(sorted(plan.models)))
    # The server has an access log of its own; Ray's costs a line of its log for each request.
    quiet = {"logging_config": {"enable_access_log": False}}
    made = serve.deployment(serve.ingress()(Replica), name=name, **quiet, **options)
    return made.bind(msgspec.json.encode(plan), dict(sent))


def baked(
    name: str,
    digest: str,
    *,
    folder: str = "/bundle",
    number: int = 0,
    admission_rps: float = 0.0,
    **worker: Any,
) -> Any:
    """Return the application of the bundle in an image.

    ``admission_rps`` is of one replica. ``worker`` are fields of `WorkerSettings`: ``threads``,
    ``keys`` (a file that is read anew when it changes), ``key_share`` (a replica's part of what a
    key may ask), ``events`` (where every node can write: an object store or PostgreSQL).
    """
    batching = BatchSettings(admission_rps=admission_rps)
    told = WorkerSettings(endpoint=name, routes=routes(), batching=batching, **worker)
    model = Model(digest=digest, version=number, folder=folder)
    return deployed(Plan(models={name: model}, worker=told), {})
