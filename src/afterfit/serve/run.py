"""The step that brings an endpoint up: from bundle folders to a server that answers."""

from __future__ import annotations

import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.core.proof import Proven, proven_file
from afterfit.errors import RESTORE, IntegrityError, UnavailableError, error_from
from afterfit.runtime.batch import BatchSettings
from afterfit.runtime.client import AdminClient, Client
from afterfit.runtime.endpoint import Endpoint, ModelRoute, write_atomic
from afterfit.runtime.http import HttpLimits
from afterfit.runtime.settings import ServerSettings, WorkerSettings, check_bind
from afterfit.runtime.sinks import folder_of
from afterfit.serve.config import ServeConfig
from afterfit.serve.rollout import primary_changed

__all__ = ["ServedBundle", "ServerHandle", "link_bundle", "start_server", "worker_settings"]

LONGEST_SOCKET_PATH = 100


class ServedBundle(NamedTuple):
    """A version to serve: its number, its digest and the folder that holds it.

    ``proven`` is what its variant was proven on, where that is known.
    """

    version: int
    digest: str
    folder: Path
    proven: Proven | None = None


class ServerHandle:
    """A server that runs beside this process: ``url``, ``admin``, ``pid``; ``stop`` ends it.

    ``start_s`` is how long it took to get ready, ``load_s`` the part of loading its models.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        url: str,
        admin: AdminClient,
        bundles: Path,
        scratch: tempfile.TemporaryDirectory[str],
        times: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.process = process
        self.url = url
        self.admin = admin
        self.bundles = bundles
        self.start_s, self.load_s = times
        self._scratch = scratch

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self.process.pid

    def client(self, *, timeout: float = 30.0) -> Client:
        """Return a new client of the server."""
        return Client(self.url, timeout=timeout)

    def replace(self, name: str, bundle: ServedBundle) -> Endpoint:
        """Return the endpoint document after ``name`` was changed to another version.

        The old version serves on where the new one fails; raises what made it fail.
        """
        link_bundle(self.bundles, bundle.digest, bundle.folder, bundle.proven)
        return primary_changed(self.admin, name, bundle.digest, bundle.version)

    def wait(self) -> int:
        """Return the exit code when the server has ended by itself."""
        return self.process.wait()

    def stop(self, timeout: float = 40.0) -> int:
        """Return the exit code after a graceful end; kills what has not ended by then (seconds)."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        except BaseException:
            # A second ctrl-C: nobody else would end it.
            self.process.kill()
            raise
        self._scratch.cleanup()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_server(
    bundles: Mapping[str, ServedBundle],
    config: ServeConfig,
    state: Path,
    *,
    log: IO[bytes] | None = None,
) -> ServerHandle:
    """Return the handle of a server that is ready to answer.

    ``state`` is a folder for the endpoint document and links to bundles; ``log`` gets the JSON
    lines of the server's standard error (inherited where None).
    Raises UsageError, ConflictError for a taken port, IntegrityError or ModelError for a bundle
    that cannot be served, UnavailableError where it does not get ready in time.
    """
    check_bind(config.host, allow_unauthenticated=config.allow_unauthenticated, keys=config.keys)
    state = state.resolve()
    linked = state / "bundles"
    for bundle in bundles.values():
        link_bundle(linked, bundle.digest, bundle.folder, bundle.proven)
    scratch = tempfile.TemporaryDirectory(prefix="afterfit-")
    settings = _settings(bundles, config, state, Path(scratch.name))
    begun = time.monotonic()
    try:
        process, ready = _spawn(settings, Path(scratch.name), config.start_seconds, log)
    except BaseException:
        scratch.cleanup()
        raise
    admin = AdminClient(ready["admin"], settings.admin_token)
    times = (time.monotonic() - begun, float(ready["load_s"]))
    return ServerHandle(process, ready["url"], admin, linked, scratch, times)


def link_bundle(bundles: Path, digest: str, folder: Path, proven: Proven | None = None) -> Path:
    """Return ``bundles/DIGEST``, a link to the folder; raises IntegrityError for another digest.

    What it was proven on is written beside it.
    """
    folder = folder.resolve()
    found = Bundle(folder).digest
    if found != digest:
        raise IntegrityError(
            "the folder holds another bundle",
            where=str(folder),
            why=f"its digest is {found[:12]}…, expected {digest[:12]}…",
            fix=RESTORE,
        )
    bundles.mkdir(parents=True, exist_ok=True)
    link = bundles / digest
    if link.resolve() != folder:
        link.unlink(missing_ok=True)
        link.symlink_to(folder, target_is_directory=True)
    if proven is not None:
        write_atomic(proven_file(link), proven.encode())
    return link


def _settings(
    bundles: Mapping[str, ServedBundle], config: ServeConfig, state: Path, scratch: Path
) -> ServerSettings:
    models = {
        name: ModelRoute(primary=bundle.digest, versions={bundle.digest: bundle.version})
        for name, bundle in bundles.items()
    }
    # The kernel takes socket paths of about 100 bytes; where none is short enough there is a port.
    places = [folder / "admin.sock" for folder in (state, scratch)]
    short = [path for path in places if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH]
    on_port = config.admin_port is not None or not short
    return ServerSettings(
        host=config.host,
        port=config.port,
        workers=config.workers,
        endpoint=Endpoint(name=config.name, models=models),
        bundles=str(state / "bundles"),
        state=str(state),
        admin="port" if on_port else "socket",
        admin_socket="" if on_port else str(short[0]),
        admin_port=config.admin_port or 0,
        admin_token=secrets.token_urlsafe(32) if on_port else "",
        allow_unauthenticated=config.allow_unauthenticated,
        worker=worker_settings(config),
    )


def worker_settings(config: ServeConfig) -> WorkerSettings:
    """Return what each of ``config.workers`` processes does."""
    return WorkerSettings(
        endpoint=config.name,
        threads=config.threads,
        events=config.events,
        counts=str(folder_of(config.events) or ""),
        capture=config.capture,
        limits=config.limits,
        batching=_of_one_worker(config),
        keys=config.keys,
        key_share=1 / config.workers,
        tls=config.tls,
        public_docs=config.public_docs,
        access_log=config.access_log,
        http=HttpLimits(body_bytes=config.limits.body_bytes),
        repository_control=config.repository_control,
        hang_seconds=config.hang_seconds,
        grace_seconds=config.grace_seconds,
    )


def _of_one_worker(config: ServeConfig) -> BatchSettings:
    """Return how a worker batches: the kernel shares connections out, so each has its part."""
    whole = config.batching
    return msgspec.structs.replace(whole, admission_rps=whole.admission_rps / config.workers)


def _spawn(
    settings: ServerSettings, scratch: Path, seconds: float, log: IO[bytes] | None
) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    # The scratch folder is of mode 0700 and the file of 0600: it may hold the admin token.
    path = scratch / "settings.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(settings))
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "afterfit.runtime", "--config", str(path)]
    try:
        process = subprocess.Popen(
            [*command, "--ready-fd", str(writing)],
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    finally:
        os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            line = pipe.readline() if select.select([pipe], [], [], seconds)[0] else b""
    except BaseException:
        _end(process)
        raise
    ready: dict[str, Any] = msgspec.json.decode(line) if line else {}
    if ready.get("event") == "ready":
        return process, ready
    why = f"waited {seconds:g} s" if process.poll() is None else "it ended"
    _end(process)
    if not ready:
        raise UnavailableError(
            "the server did not get ready",
            why=why,
            fix="look at what it wrote to its log; serve fewer workers: --workers 1",
        )
    raise error_from({key: str(value) for key, value in ready.items()}, UnavailableError)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
