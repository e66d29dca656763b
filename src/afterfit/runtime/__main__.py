"""``python -m afterfit.runtime``: a server, from a settings file, from options or on a platform."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from afterfit.core.bundle import Bundle, require_trust
from afterfit.errors import AfterfitError, UsageError
from afterfit.runtime.admin import start_admin
from afterfit.runtime.batch import BatchSettings
from afterfit.runtime.cpus import Division, divide, usable_cpus, workers_in_memory
from afterfit.runtime.endpoint import Endpoint, ModelRoute
from afterfit.runtime.log import log_line
from afterfit.runtime.options import parser
from afterfit.runtime.platform import Platform, detect, find_bundle
from afterfit.runtime.running import Running, remove_running, write_running
from afterfit.runtime.settings import ServerSettings, WorkerSettings
from afterfit.runtime.sinks import folder_of
from afterfit.runtime.supervisor import Supervisor

TRUST = "AFTERFIT_TRUST"


class Given(NamedTuple):
    """One model of the options: its name, its number for people, and its folder."""

    name: str
    number: int
    folder: Path


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; return the exit code: 0, or 2 for what a person can mend."""
    options = parser(os.environ).parse_args(arguments)
    try:
        settings = settings_of(options, os.environ)
        asyncio.run(_serve(settings, options.ready_fd))
    except AfterfitError as error:
        line = {"event": "failed", **error.as_dict()}
        # Whoever started it tells the person; a second telling would only look like another error.
        if options.ready_fd is None:
            log_line(line)
        _tell(options.ready_fd, line)
        return error.exit_code
    return 0


async def _serve(settings: ServerSettings, ready_fd: int | None) -> None:
    admin = ""

    def ready(supervisor: Supervisor) -> None:
        line = {
            "event": "ready",
            "url": supervisor.url,
            "admin": admin,
            "pid": os.getpid(),
            "generation": supervisor.endpoint.generation,
            "load_s": max((each.load_s for each in supervisor.workers.values()), default=0.0),
        }
        log_line(line)
        running = Running(
            url=supervisor.url, admin=admin, token=settings.admin_token, pid=os.getpid()
        )
        write_running(settings.state, running)
        _tell(ready_fd, line)

    supervisor = Supervisor(settings, ready)
    admin = await start_admin(supervisor, settings)
    try:
        await supervisor.run()
    finally:
        remove_running(settings.state)


def _tell(descriptor: int | None, line: dict[str, Any]) -> None:
    """Write the one line to whoever started the server; it may have closed its end by now."""
    if descriptor is None:
        return
    try:
        os.write(descriptor, msgspec.json.encode(line) + b"\n")
        os.close(descriptor)
    except OSError:
        return


def settings_of(options: argparse.Namespace, environ: Mapping[str, str]) -> ServerSettings:
    """Return what the server is told: a settings file, or the options and where it runs."""
    if options.config:
        return _read(Path(options.config))
    platform = detect(options, environ)
    given = _given(options.bundle, platform)
    _require_trust(given, _trusted(options.trust, environ))
    if platform.name:
        log_line({"event": "platform", **msgspec.to_builtins(platform)})
    return _server_settings(options, platform, given)


def _server_settings(
    options: argparse.Namespace, platform: Platform, given: list[Given]
) -> ServerSettings:
    models, folders = {}, {}
    for name, number, folder in given:
        digest = Bundle(folder).digest
        models[name] = ModelRoute(primary=digest, versions={digest: number})
        folders[digest] = str(folder)
    events = options.events
    division = _division(options, given)
    return ServerSettings(
        host=platform.host,
        port=platform.port,
        workers=division.workers,
        endpoint=Endpoint(name=options.name, models=models),
        folders=folders,
        bundles=options.bundles,
        state=options.state,
        admin="socket" if options.admin_socket else "none",
        admin_socket=options.admin_socket,
        allow_unauthenticated=options.allow_unauthenticated or platform.guarded,
        worker=WorkerSettings(
            endpoint=options.name,
            repository_control=options.repository_control,
            hang_seconds=options.hang_seconds,
            threads=division.threads,
            events=events,
            counts=str(folder_of(events) or ""),
            grace_seconds=options.grace_seconds,
            routes=dict(platform.routes),
            keys=options.keys,
            key_share=1 / division.workers,
            batching=_batching(options, division.workers),
        ),
    )


def _batching(options: argparse.Namespace, workers: int) -> BatchSettings:
    """Return how a worker batches: the kernel shares connections out, so each has its part."""
    return BatchSettings(
        cap=options.batch_cap or 0,
        queue_rows=options.queue_rows or 0,
        admission_rps=(options.admission_rps or 0) / workers,
    )


def _trusted(texts: list[str], environ: Mapping[str, str]) -> set[str]:
    """Return the digests that were named by option or by ``$AFTERFIT_TRUST``.

    Raises UsageError for what is no whole digest.
    """
    named = {text.removeprefix("sha256:") for text in [*texts, *environ.get(TRUST, "").split()]}
    for digest in sorted(named):
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise UsageError(
                f"not a digest: {digest!r}",
                where=f"--trust or ${TRUST}",
                why="only a whole digest names one bundle: 64 hexadecimal digits",
                fix="afterfit version show NAME@NUMBER prints it",
            )
    return named


def _require_trust(given: list[Given], trusted: set[str]) -> None:
    for each in given:
        bundle = Bundle(each.folder)
        # The workers verify every byte against this digest before they load anything.
        if bundle.digest not in trusted:
            require_trust(bundle)


def _division(options: argparse.Namespace, given: list[Given]) -> Division:
    sizes = [file.size for each in given for file in Bundle(each.folder).manifest.files.values()]
    most = workers_in_memory(sum(sizes))
    return divide(usable_cpus(), options.workers, options.threads, most=most)


def _read(path: Path) -> ServerSettings:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServerSettings)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            "the settings cannot be read",
            where=str(path),
            why=str(error),
            fix="afterfit serve NAME@champion   # which writes them, or leave --config out",
        ) from None


def _given(texts: list[str], platform: Platform) -> list[Given]:
    """Return the models to serve: what the platform mounted, else the image's own."""
    own = [_bundle(text) for text in texts]
    mounted = find_bundle(Path(platform.model_dir)) if platform.model_dir else None
    if mounted is not None:
        return [_mounted(mounted, own, platform)]
    if platform.model_dir and not own:
        raise UsageError(
            "nothing to serve",
            where=platform.model_dir,
            why="the folder is not there or is empty, and the image has no model of its own",
            fix="mount a bundle folder there, or pass --bundle NAME=FOLDER",
        )
    return _renamed(own, platform.model_name)


def _mounted(folder: Path, own: list[Given], platform: Platform) -> Given:
    """Return the platform's model under the name it has there, or else in the image."""
    if len(own) > 1:
        raise UsageError(
            f"{len(own)} models of the image and one more in the platform's folder",
            where=str(folder),
            fix="empty the folder, or pass one --bundle at most",
        )
    name = platform.model_name or (own[0].name if own else "model")
    same = bool(own) and Bundle(own[0].folder).digest == Bundle(folder).digest
    # Not resolved: KServe mounts images through /proc, whose links lead elsewhere as text.
    return Given(name, own[0].number if same else 0, folder.absolute())


def _renamed(own: list[Given], name: str) -> list[Given]:
    if not name:
        return own
    if len(own) != 1:
        raise UsageError("one name for several models", where="--model_name", fix="leave it out")
    return [own[0]._replace(name=name)]


def _bundle(text: str) -> Given:
    """Return name, number and folder of ``NAME[@NUMBER]=FOLDER``."""
    name, equals, folder = text.partition("=")
    name, _, number = name.partition("@")
    if not (name and equals and folder) or not (number or "0").isdigit():
        raise UsageError(f"not a bundle: {text!r}", fix="write --bundle churn@3=path/to/bundle")
    return Given(name, int(number or 0), Path(folder).resolve())


if __name__ == "__main__":
    sys.exit(main())
