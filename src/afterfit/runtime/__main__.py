"""``python -m afterfit.runtime``: a server, from a settings file or from options."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.errors import AfterfitError, UsageError
from afterfit.runtime.admin import start_admin
from afterfit.runtime.endpoint import Endpoint, ModelRoute
from afterfit.runtime.log import log_line
from afterfit.runtime.settings import ServerSettings, WorkerSettings
from afterfit.runtime.supervisor import Supervisor


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; return the exit code: 0, or 2 for what a person can mend."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
        asyncio.run(_serve(settings, options.ready_fd))
    except AfterfitError as error:
        line = {"event": "failed", **error.as_dict()}
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
        }
        log_line(line)
        _tell(ready_fd, line)

    supervisor = Supervisor(settings, ready)
    admin = await start_admin(supervisor, settings)
    await supervisor.run()


def _tell(descriptor: int | None, line: dict[str, Any]) -> None:
    """Write the one line to whoever started the server; it may have closed its end by now."""
    if descriptor is None:
        return
    try:
        os.write(descriptor, msgspec.json.encode(line) + b"\n")
        os.close(descriptor)
    except OSError:
        return


def _settings(options: argparse.Namespace) -> ServerSettings:
    if options.config:
        return _read(Path(options.config))
    models, folders = {}, {}
    for text in options.bundle:
        name, version, folder = _bundle(text)
        digest = Bundle(folder).digest
        models[name] = ModelRoute(primary=digest, versions={digest: version})
        folders[digest] = str(folder)
    events = options.events
    return ServerSettings(
        host=options.host,
        port=options.port,
        workers=options.workers,
        endpoint=Endpoint(name=options.name, models=models),
        folders=folders,
        bundles=options.bundles,
        state=options.state,
        admin="socket" if options.admin_socket else "none",
        admin_socket=options.admin_socket,
        allow_unauthenticated=options.allow_unauthenticated,
        worker=WorkerSettings(
            endpoint=options.name,
            threads=options.threads,
            events=events,
            counts="" if events == "-" else events,
            grace_seconds=options.grace_seconds,
        ),
    )


def _read(path: Path) -> ServerSettings:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServerSettings)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError("the settings cannot be read", where=str(path), why=str(error)) from None


def _bundle(text: str) -> tuple[str, int, Path]:
    """Return name, number and folder of ``NAME[@NUMBER]=FOLDER``."""
    name, equals, folder = text.partition("=")
    name, _, number = name.partition("@")
    if not (name and equals and folder) or not (number or "0").isdigit():
        raise UsageError(f"not a bundle: {text!r}", fix="write --bundle churn@3=path/to/bundle")
    return name, int(number or 0), Path(folder).resolve()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m afterfit.runtime", description=main.__doc__)
    add = parser.add_argument
    add("--config", default="", help="a JSON file of settings, in place of the other options")
    add("--bundle", action="append", default=[], help="NAME[@NUMBER]=FOLDER; may be repeated")
    add("--name", default="afterfit", help="the endpoint's name")
    add("--host", default="127.0.0.1", help="address to bind")
    add("--port", type=int, default=8080, help="port to bind; 0 takes any that is free")
    add("--workers", type=int, default=1, help="processes that serve")
    add("--threads", type=int, default=1, help="threads inside of one call of the model")
    add("--bundles", default="", help="folder of bundles by digest, for later changes")
    add("--state", default="", help="folder that keeps the endpoint document")
    add("--events", default="", help="folder of events, or - for standard output")
    add("--admin-socket", default="", help="path of the admin API's unix socket")
    add("--allow-unauthenticated", action="store_true", help="serve other machines without keys")
    add("--grace-seconds", type=float, default=25.0, help="time for requests when stopping")
    add("--ready-fd", type=int, default=None, help="descriptor that gets one line when ready")
    return parser


if __name__ == "__main__":
    sys.exit(main())
