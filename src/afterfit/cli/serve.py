"""``afterfit serve``: answer over HTTP with a version, and follow its alias."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.errors import UsageError
from afterfit.runtime.journal import Capture
from afterfit.serve.config import ServeConfig
from afterfit.serve.follow import Follower
from afterfit.serve.run import ServedBundle, ServerHandle, start_server
from afterfit.workspace import Workspace


def serve(
    *refs: str,
    host: str | None = None,
    port: Annotated[int | None, Parameter(help="0 takes any that is free.")] = None,
    workers: int | None = None,
    threads: int | None = None,
    capture: Annotated[str | None, Parameter(help="none, or all: keep inputs in events.")] = None,
    events: Annotated[str, Parameter(help="A folder, or - for stdout.")] = "",
    follow: Annotated[bool, Parameter(help="Change when the alias moves.")] = True,
    allow_unauthenticated: Annotated[
        bool, Parameter(negative="", help="Listen beyond this machine without keys.")
    ] = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Serve one or more versions over HTTP until interrupted.

    A reference to an alias, such as churn@champion, is followed: after a promotion or a
    roll-back the server changes without a restart.

    Parameters
    ----------
    refs
        Versions, such as churn@champion or churn@3.

    """
    if not refs:
        raise UsageError("nothing to serve", fix="afterfit serve NAME@champion")
    asked = {"serve.host": host, "serve.port": port, "serve.workers": workers}
    asked |= {"serve.threads": threads, "serve.capture": capture}
    with opened(common, asked) as space:
        bundles, followed = _resolve(space, refs)
        config = _config(space, events, allow_unauthenticated=allow_unauthenticated)
        state = _state_folder(space, bundles)
        with _interruptible() as stop, start_server(bundles, config, state) as server:
            _tell(server, bundles, as_json=common.json)
            _follow(space, server, bundles, followed if follow else {}, stop)
            _wait(server, stop)
            code = server.stop()
    return Answer(silent=True, exit=code)


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


def _state_folder(space: Workspace, bundles: dict[str, ServedBundle]) -> Path:
    """Return where the endpoint document goes: elsewhere if the workspace is read-only."""
    folder = space.folder / "endpoints" / "-".join(sorted(bundles))
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        return folder
    space.progress.say("the workspace is read-only: the state goes to a temporary folder")
    return Path(tempfile.mkdtemp(prefix="afterfit-endpoint-"))


def _config(space: Workspace, events: str, *, allow_unauthenticated: bool) -> ServeConfig:
    settings = space.config.serve
    folder = events or str(space.events.resolve())
    return ServeConfig(
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        threads=settings.threads,
        events=folder,
        capture=msgspec.convert({"mode": settings.capture}, Capture),
        allow_unauthenticated=allow_unauthenticated,
    )


def _tell(server: ServerHandle, bundles: dict[str, ServedBundle], *, as_json: bool) -> None:
    if as_json:
        models = {name: {"version": b.version, "digest": b.digest} for name, b in bundles.items()}
        line = {"event": "ready", "url": server.url, "pid": server.pid, "models": models}
        print(msgspec.json.encode(line).decode(), flush=True)
        return
    for name, bundle in bundles.items():
        print(f"{name} version {bundle.version} (sha256:{bundle.digest[:12]}) at {server.url}")
        print(f"  curl -s {server.url}/v2/models/{name}")
    print("ctrl-C ends it", flush=True)


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
            partial(space.version, ref),
            serving=bundles[name].digest,
            say=space.progress.say,
        )
        threading.Thread(
            target=follower.run, args=(stop,), name=f"follow {ref}", daemon=True
        ).start()


def _wait(server: ServerHandle, stop: threading.Event) -> None:
    while not stop.wait(0.2):
        if server.process.poll() is not None:
            return


class _interruptible:  # noqa: N801 - a context manager that reads as a word
    """Yields an event that ctrl-C and SIGTERM set, in place of an exception anywhere."""

    def __enter__(self) -> threading.Event:
        self.event = threading.Event()
        self._before = {
            number: signal.signal(number, lambda *_: self.event.set())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self.event

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
