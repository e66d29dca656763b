"""``afterfit serve``: answer over HTTP with a version, and follow its alias."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.cli.stopping import stopping
from afterfit.core.progress import Progress
from afterfit.errors import UsageError
from afterfit.serve.ending import ended
from afterfit.serve.ray.server import RayServer
from afterfit.serve.run import ServedBundle, ServerHandle

Events = Annotated[
    str,
    Parameter(allow_leading_hyphen=True, help="A folder, s3://…, postgresql://…, or - for stdout."),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Control:
    """Who may change the models, and what becomes of one that hangs."""

    hang_seconds: Annotated[
        float | None, Parameter(help="Replace a worker whose model takes longer; 0: never.")
    ] = None
    repository_control: Annotated[
        bool | None, Parameter(help="Let clients load and unload models.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Engine:
    """What answers: our own server, or Ray Serve with replicas that may be on many machines."""

    engine: Annotated[
        Literal["afterfit", "ray"], Parameter(help="What answers; ray: past one machine.")
    ] = "afterfit"
    ray_address: Annotated[
        str, Parameter(help="HOST:PORT of a cluster that runs; one is started if not given.")
    ] = ""

    def options(self) -> dict[str, Any]:
        """Return them as `Workspace.serve` takes them; raises UsageError."""
        if self.engine == "ray":
            from afterfit.serve.ray.start import start_ray

            return {"start": partial(start_ray, address=self.ray_address)}
        if self.ray_address:
            raise UsageError(
                "--ray-address says where Ray runs, and the engine is another",
                where="--ray-address",
                fix="add --engine ray, or leave it out",
            )
        return {}


def serve(
    *refs: str,
    host: Annotated[str | None, Parameter(help="Address; this machine alone if not given.")] = None,
    port: Annotated[int | None, Parameter(help="8080 if not given; 0 takes a free one.")] = None,
    workers: Annotated[int | None, Parameter(help="Processes; by the processors.")] = None,
    threads: Annotated[int | None, Parameter(help="Inside of one call, a worker.")] = None,
    capture: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="Inputs that events keep: none, all, or a column for each --capture."
        ),
    ] = None,
    events: Events = "",
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
    control: Control = Control(),
    engine: Engine = Engine(),
    allow_unauthenticated: Annotated[
        bool, Parameter(negative="", help="Listen beyond this machine without keys.")
    ] = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Serve one or more versions over HTTP until interrupted.

    A reference to an alias, such as churn@champion, is followed: after a promotion or a
    rollback the server changes without a restart.

    Parameters
    ----------
    refs
        Versions, such as churn@champion or churn@3.

    """
    asked = _settings(
        host=host, port=port, workers=workers, threads=threads, capture=_mode(capture),
        keys=keys, tls_cert=tls_cert, tls_key=tls_key, client_ca=client_ca,
        public_docs=public_docs, batch_cap=batch_cap, queue_rows=queue_rows,
        deadline_ms=deadline_ms, access_log=access_log, **asdict(control),
    )  # fmt: skip
    more = {"follow": follow, "events": events, **engine.options()}
    more["allow_unauthenticated"] = allow_unauthenticated
    with opened(common, asked) as space, stopping() as stop, space.serve(*refs, **more) as served:
        _warn(served.server, space.progress)
        _tell(served.server, served.bundles, as_json=common.json)
        return Answer(silent=True, exit=_wait(served.server, stop))


def _settings(**given: object) -> dict[str, object]:
    """Return options as settings of the configuration; None is what was not given."""
    return {
        f"serve.{name}": str(value) if isinstance(value, Path) else value
        for name, value in given.items()
    }


def _mode(given: list[str] | None) -> str | list[str] | None:
    """Return ``none``, ``all`` or the columns as the configuration has them."""
    return given[0] if given in (["none"], ["all"]) else given


def _warn(server: ServerHandle, progress: Progress) -> None:
    if isinstance(server, RayServer):
        for note in server.notes:
            progress.say(f"  ! {note}")


def _tell(server: ServerHandle, bundles: dict[str, ServedBundle], *, as_json: bool) -> None:
    if as_json:
        models = {name: {"version": b.version, "digest": b.digest} for name, b in bundles.items()}
        line = {"event": "ready", "url": server.url, "pid": server.pid, "models": models}
        line["admin"] = server.admin.address
        if isinstance(server, RayServer):
            line["ray"] = {"address": server.cluster, "nodes": server.nodes, "fast": server.fast}
        print(msgspec.json.encode(line).decode(), flush=True)
        return
    for name, bundle in bundles.items():
        print(f"{name} version {bundle.version} (sha256:{bundle.digest[:12]}) at {server.url}")
        print(f"  curl -s {server.url}/v2/models/{name}")
    print("ctrl-C ends it", flush=True)


def _wait(server: ServerHandle, stop: threading.Event) -> int:
    """Return the exit code when it was ended; raises UnavailableError where nobody had asked."""
    while not stop.wait(0.2) and server.process.poll() is None:
        pass
    code = server.stop()
    if code and not stop.is_set():
        raise ended(code, server.url)
    return code
