"""Starts an endpoint whose engine is Ray Serve, in a process beside this one."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec.structs import replace

from afterfit.core.dns import dns_name
from afterfit.errors import DependencyError, ResourceError, UsageError
from afterfit.runtime.settings import WorkerSettings, check_bind
from afterfit.runtime.sinks import folder_of
from afterfit.serve.config import ServeConfig
from afterfit.serve.ray.environment import (
    PYTHON,
    check_address,
    free_port,
    ray_python,
    variables,
)
from afterfit.serve.ray.leftover import end_marked
from afterfit.serve.ray.replica import routes
from afterfit.serve.ray.server import (
    CHANGE_SECONDS,
    STOP_SECONDS,
    Lines,
    RayServer,
    ended,
    failure,
    model_of,
)
from afterfit.serve.ray.settings import FAST, Plan, RaySettings
from afterfit.serve.run import ServedBundle, worker_settings

__all__ = ["start_ray"]

LONGEST_SCRATCH = 34
"""Ray makes sockets some 70 characters below, and the kernel takes paths of about 107 bytes."""
_FLAGS = " ".join(f"{name}={value}" for name, value in FAST.items())
SLOW = (
    f"the cluster was started without {_FLAGS}: a small request then took 40 to 170 times the CPU "
    "time of Afterfit's own server, in place of 5 to 15 times"
)
ALONE = (
    "this cluster is one machine, where `afterfit serve` without --engine ray answers the same: a "
    "small request took 5 to 15 times the CPU time behind Ray; see docs/how-to/ray.md"
)


def start_ray(
    bundles: Mapping[str, ServedBundle],
    config: ServeConfig,
    state: Path,
    *,
    log: IO[bytes] | None = None,
    address: str = "",
    fast: bool = True,
) -> RayServer:
    """Return the handle of an application on Ray that is ready to answer.

    ``address`` is ``HOST:PORT`` of a cluster that this machine is a node of; without one a cluster
    of this machine alone is started, and ends with the server. ``config.workers`` are replicas.
    Without ``fast`` Ray's own proxy is in front of a cluster that is started here. Raises
    UsageError for what Ray cannot do, DependencyError without Ray, and what `start_server` raises.
    """
    check_bind(config.host, allow_unauthenticated=config.allow_unauthenticated, keys=config.keys)
    _check_possible(config)
    check_address(address)
    python = ray_python()
    state = state.resolve()
    models = {name: model_of(state / "bundles", bundle) for name, bundle in bundles.items()}
    worker, notes = _worker(config, address)
    scratch = tempfile.TemporaryDirectory(prefix="afterfit-ray-", ignore_cleanup_errors=True)
    settings = RaySettings(
        name=dns_name("-".join(sorted(models))),
        plan=Plan(models=models, worker=worker),
        scratch=_short(scratch.name),
        host=config.host,
        port=config.port or free_port(config.host),
        address=address,
        replicas=config.workers,
        cpus=float(config.threads),
        start_seconds=max(CHANGE_SECONDS, config.start_seconds),
    )
    begun, mark = time.monotonic(), secrets.token_hex(16)
    environ = variables(os.environ, settings, mark, fast=fast)
    try:
        process, lines, told = _spawn(python, settings, environ, log)
    except BaseException:
        end_marked(mark)
        scratch.cleanup()
        raise
    spent = time.monotonic() - begun
    server = RayServer(process, told, state / "bundles", scratch, lines, (spent, mark))
    server.notes = (*notes, *_notes(server, config))
    return server


def _check_possible(config: ServeConfig) -> None:
    refused = {
        "--tls-cert": config.tls is not None,
        "--repository-control": config.repository_control,
    }
    for option, given in refused.items():
        if given:
            raise UsageError(
                f"{option} cannot be had with --engine ray",
                where=option,
                why="Ray's proxy takes the connections, and Ray keeps the replicas",
                fix=f"leave {option} out, and put a gateway in front; or leave --engine ray out",
            )


def _short(scratch: str) -> str:
    if len(os.fsencode(scratch)) > LONGEST_SCRATCH:
        raise ResourceError(
            "the folder for temporary files has too long a path for Ray's sockets",
            where=scratch,
            why=f"the kernel takes about 107 bytes, of which this may be {LONGEST_SCRATCH}",
            fix="TMPDIR=/tmp afterfit serve …",
        )
    return scratch


def _worker(config: ServeConfig, address: str) -> tuple[WorkerSettings, tuple[str, ...]]:
    """Return what a replica does; a folder of this machine takes no events from other nodes."""
    worker = replace(worker_settings(config), routes=routes())
    if address and worker.events and folder_of(worker.events) is not None:
        note = "events are not kept: name an object store or PostgreSQL with --events"
        return replace(worker, events="", counts=""), (note,)
    return worker, ()


def _notes(server: RayServer, config: ServeConfig) -> tuple[str, ...]:
    found = []
    if not server.fast:
        found.append(SLOW)
    if server.nodes == 1:
        found.append(ALONE)
    if config.workers < server.nodes:
        found.append(f"{config.workers} replicas leave some of the {server.nodes} nodes idle")
    return tuple(found)


def _spawn(
    python: str, settings: RaySettings, environ: dict[str, str], log: IO[bytes] | None
) -> tuple[subprocess.Popen[bytes], Lines, dict[str, Any]]:
    path = Path(settings.scratch) / "settings.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(settings))
    reading, writing = os.pipe()
    lines = Lines(reading)
    command = [python, "-m", "afterfit.serve.ray", "--config", str(path)]
    try:
        process = subprocess.Popen(
            [*command, "--ready-fd", str(writing)],
            pass_fds=(writing,),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environ,
            start_new_session=True,  # ctrl-C is for this process, which then ends that one
        )
    except OSError as error:
        lines.close()
        raise _no_python(python, error) from None
    finally:
        os.close(writing)
    try:
        told = lines.next(settings.start_seconds + CHANGE_SECONDS)
    except BaseException:
        ended(process, 10.0)
        lines.close()
        raise
    if told.get("event") == "ready":
        return process, lines, told
    why = failure(told, process)
    if told:  # it ends by itself, after it has taken back what it had done
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    ended(process, 10.0)
    lines.close()
    raise why


def _no_python(python: str, error: OSError) -> DependencyError:
    return DependencyError(
        "the interpreter with Ray cannot be started",
        where=python,
        why=error.strerror or str(error),
        fix=f"set ${PYTHON} to a Python that has afterfit[ray], or leave it out",
    )
