"""``afterfit serve``: answer over HTTP with a version, and follow its alias."""

from __future__ import annotations

import difflib
import os
import shlex
import signal
import tempfile
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.config import ServeSection
from afterfit.core.bundle import Bundle
from afterfit.errors import UsageError
from afterfit.runtime.batch import BatchSettings
from afterfit.runtime.journal import Capture
from afterfit.runtime.tls import TlsSettings
from afterfit.serve.config import ServeConfig
from afterfit.serve.division import division_of
from afterfit.serve.follow import Follower
from afterfit.serve.run import ServedBundle, ServerHandle, start_server
from afterfit.workspace import Workspace


def serve(
    *refs: str,
    host: str | None = None,
    port: Annotated[int | None, Parameter(help="0 takes any that is free.")] = None,
    workers: int | None = None,
    threads: int | None = None,
    capture: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="Inputs that events keep: none, all, or a column for each --capture."
        ),
    ] = None,
    events: Annotated[str, Parameter(help="A folder, or - for stdout.")] = "",
    follow: Annotated[bool, Parameter(help="Change when the alias moves.")] = True,
    keys: Annotated[Path | None, Parameter(help="A file of API keys: afterfit key.")] = None,
    tls_cert: Annotated[Path | None, Parameter(help="A certificate with its chain, PEM.")] = None,
    tls_key: Annotated[Path | None, Parameter(help="Its key, where it stands apart.")] = None,
    client_ca: Annotated[Path | None, Parameter(help="Clients need a certificate of it.")] = None,
    public_docs: Annotated[
        bool | None, Parameter(help="Show the page of the models without a key.")
    ] = None,
    access_log: Annotated[
        Literal["none", "errors", "all"] | None, Parameter(help="Which answers are logged.")
    ] = None,
    batch_cap: Annotated[int | None, Parameter(help="Most rows at once; 0: measured.")] = None,
    queue_rows: Annotated[int | None, Parameter(help="Most rows that wait; 0: measured.")] = None,
    deadline_ms: Annotated[float | None, Parameter(help="Drop what waits longer; 0: none.")] = None,
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
    asked: dict[str, str | float | list[str] | None] = {"serve.host": host, "serve.port": port}
    asked |= {"serve.workers": workers}
    asked |= {"serve.threads": threads, "serve.capture": _mode(capture), "serve.keys": _text(keys)}
    asked |= {"serve.tls_cert": _text(tls_cert), "serve.tls_key": _text(tls_key)}
    asked |= {"serve.client_ca": _text(client_ca), "serve.public_docs": public_docs}
    asked |= {"serve.batch_cap": batch_cap, "serve.queue_rows": queue_rows}
    asked |= {"serve.deadline_ms": deadline_ms, "serve.access_log": access_log}
    with opened(common, asked) as space:
        bundles, followed = _resolve(space, refs)
        config = _config(space, events, bundles, allow_unauthenticated=allow_unauthenticated)
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


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


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
    division = division_of(settings.workers, settings.threads, folders)
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
            cap=settings.batch_cap,
            queue_rows=settings.queue_rows,
            deadline_ms=settings.deadline_ms,
        ),
        events=folder,
        capture=_capture(settings.capture, folders),
        allow_unauthenticated=allow_unauthenticated,
    )


def _mode(given: list[str] | None) -> str | list[str] | None:
    """Return ``none``, ``all`` or the columns as the configuration has them."""
    return given[0] if given in (["none"], ["all"]) else given


def _capture(asked: str | tuple[str, ...], folders: list[Path]) -> Capture:
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


def _tls(settings: ServeSection) -> TlsSettings | None:
    if not settings.tls_cert:
        if settings.tls_key or settings.client_ca:
            raise UsageError("TLS needs a certificate", fix="pass --tls-cert FILE as well")
        return None
    return TlsSettings(cert=settings.tls_cert, key=settings.tls_key, client_ca=settings.client_ca)


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
