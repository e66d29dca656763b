"""A server of versions: resolved, set up by the configuration, and following its aliases."""

from __future__ import annotations

import difflib
import os
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.core.sections import ServeSection
from afterfit.errors import UsageError
from afterfit.runtime.batch import BatchSettings
from afterfit.runtime.journal import Capture
from afterfit.runtime.tls import TlsSettings
from afterfit.serve.config import ServeConfig
from afterfit.serve.division import division_of
from afterfit.serve.follow import Follower
from afterfit.serve.run import ServedBundle, ServerHandle, start_server
from afterfit.workspace.certified import certified
from afterfit.workspace.presence import announcing
from afterfit.workspace.rolling import stepping_back
from afterfit.workspace.tuned import tuned_settings

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace


Engine = Callable[..., ServerHandle]
"""Takes what `start_server` takes, and returns a server that is ready to answer."""


class Served(NamedTuple):
    """A running server, and what it began with by model name."""

    server: ServerHandle
    bundles: dict[str, ServedBundle]


@contextmanager
def serving(
    space: Workspace,
    refs: tuple[str, ...],
    *,
    follow: bool = True,
    events: str = "",
    allow_unauthenticated: bool = False,
    log: IO[bytes] | None = None,
    start: Engine = start_server,
) -> Iterator[Served]:
    """Yield a server of the versions that ``refs`` name; it ends with the block.

    With ``follow`` it changes when an alias among them moves. ``events`` is a folder (default: the
    workspace's), or ``-`` for standard output; ``log`` gets the lines of the server. ``start`` is
    what answers: our own server, or `afterfit.serve.ray.start.start_ray`.
    """
    if not refs:
        raise UsageError("nothing to serve", fix="afterfit serve NAME@champion")
    bundles, followed = _resolve(space, refs)
    config = _config(space, events, bundles, allow_unauthenticated=allow_unauthenticated)
    stop = threading.Event()
    with (
        _state_folder(space, bundles) as state,
        start(bundles, config, state, log=log) as server,
    ):
        try:
            _follow(space, server, bundles, followed if follow else {}, stop)
            _in_thread("rollouts", stepping_back, space, tuple(bundles), stop)
            _in_thread("presence", announcing, space, server.admin, state.name, stop)
            yield Served(server, bundles)
        finally:
            stop.set()


def _resolve(
    space: Workspace, refs: tuple[str, ...]
) -> tuple[dict[str, ServedBundle], dict[str, str]]:
    """Return the bundles by model name, and the references that may move."""
    bundles, followed = {}, {}
    for ref in refs:
        version = space.registry.resolve(ref)
        if version.name in bundles:
            raise UsageError(f"{version.name} is named twice", fix="serve one version of a model")
        bundles[version.name] = space.version(f"{version.name}@{version.number}")
        wanted = ref.partition("@")[2] or "champion"
        if wanted in version.aliases:
            followed[version.name] = f"{version.name}@{wanted}"
    return bundles, followed


@contextmanager
def _state_folder(space: Workspace, bundles: dict[str, ServedBundle]) -> Iterator[Path]:
    """Yield where the endpoint document goes: for the block's time elsewhere, if read-only."""
    folder = space.folder / "endpoints" / "-".join(sorted(bundles))
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        yield folder
        return
    space.progress.say("the workspace is read-only: the state goes to a temporary folder")
    with tempfile.TemporaryDirectory(prefix="afterfit-endpoint-") as elsewhere:
        yield Path(elsewhere)


def _config(
    space: Workspace,
    events: str,
    bundles: dict[str, ServedBundle],
    *,
    allow_unauthenticated: bool,
) -> ServeConfig:
    settings = space.config.serve
    folder = events or str(space.events.resolve())
    folders = [bundle.folder for bundle in bundles.values()]
    found = tuned_settings(space, [bundle.digest for bundle in bundles.values()])
    division = division_of(
        settings.workers or found.workers or None,
        settings.threads or found.intra_op or None,
        folders,
    )
    _tell_certificate(space, bundles)
    return ServeConfig(
        host=settings.host,
        port=settings.port,
        workers=division.workers,
        threads=division.threads,
        keys=settings.keys,
        tls=_tls(settings),
        public_docs=settings.public_docs,
        access_log=settings.access_log,
        batching=BatchSettings(
            cap=settings.batch_cap or found.batch_cap,
            queue_rows=settings.queue_rows or found.queue_rows,
            deadline_ms=settings.deadline_ms or found.deadline_ms,
            admission_rps=settings.admission_rps or found.admission_rps,
        ),
        events=folder,
        capture=capture_of(settings.capture, folders),
        hang_seconds=settings.hang_seconds,
        repository_control=settings.repository_control,
        allow_unauthenticated=allow_unauthenticated,
    )


def capture_of(asked: str | tuple[str, ...], folders: list[Path]) -> Capture:
    """Return which inputs events keep; raises UsageError for a column that no model has."""
    if isinstance(asked, str):
        return msgspec.convert({"mode": asked}, Capture)
    known = {name for folder in folders for name in Bundle(folder).signature.names}
    if unknown := [name for name in asked if name not in known]:
        raise UsageError(
            f"no model here has a column {unknown[0]!r}",
            where="capture",
            why=f"the columns are {', '.join(sorted(known))}",
            fix=f"--capture {shlex.quote(_nearest(unknown[0], known))}",
        )
    return Capture(mode="columns", columns=asked)


def _nearest(name: str, known: set[str]) -> str:
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), min(known))


def _tell_certificate(space: Workspace, bundles: dict[str, ServedBundle]) -> None:
    """Say that a certificate of load says nothing of this server, where there is one that does."""
    if len(bundles) != 1:
        return
    (bundle,) = bundles.values()
    found = certified(space, bundle.digest, lambda: bundle)
    if found is not None and found.lapsed:
        space.progress.say(f"  ! L020 {found.finding().message}")


def _tls(settings: ServeSection) -> TlsSettings | None:
    if not settings.tls_cert:
        if settings.tls_key or settings.client_ca:
            raise UsageError("TLS needs a certificate", fix="pass --tls-cert FILE as well")
        return None
    return TlsSettings(cert=settings.tls_cert, key=settings.tls_key, client_ca=settings.client_ca)


def _follow(
    space: Workspace,
    server: ServerHandle,
    bundles: dict[str, ServedBundle],
    followed: dict[str, str],
    stop: threading.Event,
) -> None:
    for name, ref in followed.items():
        follower = Follower(
            server,
            name,
            partial(space.registry.pointed, ref),
            partial(space.version, ref),
            serving=bundles[name].digest,
            say=space.progress.say,
        )
        _in_thread(f"follow {ref}", follower.run, stop)


def _in_thread(name: str, target: Callable[..., None], *args: object) -> None:
    threading.Thread(target=target, args=args, name=name, daemon=True).start()
