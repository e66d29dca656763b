"""What Ray runs under: the interpreter, its variables, and addresses that cannot be accidents."""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from afterfit.errors import DependencyError, UsageError
from afterfit.serve.ray.settings import FAST, MARK, RaySettings

__all__ = ["PYTHON", "check_address", "free_port", "ray_python", "variables"]

PYTHON = "AFTERFIT_RAY"
"""Names the interpreter that has Ray and Afterfit, where it is not this one."""
DRAINING_S = "5"
"""How long an old replica answers on after a change: HAProxy hears of the new ones a moment later.

With Ray's 30 s the end takes that long, too, and Serve gives up on it."""
_ADDRESS = re.compile(r"[A-Za-z0-9._-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


def variables(
    environ: Mapping[str, str], settings: RaySettings, mark: str, *, fast: bool = True
) -> dict[str, str]:
    """Return the environment of the driver and, of a cluster that it starts, of all its processes.

    A cluster of somebody else runs under its own. ``RAY_ADDRESS`` goes, so that none is met by
    accident. Ports and files of Ray that are the same for every cluster of a machine become ones of
    this run, and its control ports take a token that only this run has.
    """
    found = {name: value for name, value in environ.items() if name != "RAY_ADDRESS"}
    found |= {MARK: mark, "ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    if settings.address:
        return found
    found = {name: value for name, value in found.items() if not name.startswith("RAY_SERVE_")}
    ports = ("HAPROXY_STATS_PORT", "HAPROXY_METRICS_PORT", "FALLBACK_PROXY_HTTP_PORT")
    # Short names: Ray puts a folder of 56 characters between, and HAProxy takes 97 for a socket.
    files = {"CONFIG_FILE_LOC": "haproxy.cfg", "SOCKET_PATH": "a", "METRICS_SOCKET_PATH": "m",
             "SERVER_STATE_FILE": "state", "SERVER_STATE_BASE": ""}  # fmt: skip
    folder = Path(settings.scratch) / "h"
    return {
        **found,
        **(FAST if fast else {}),
        **{f"RAY_SERVE_{name}": str(free_port("127.0.0.1")) for name in ports},
        **{f"RAY_SERVE_HAPROXY_{name}": str(folder / file) for name, file in files.items()},
        "RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S": "1",  # idle connections know the old replicas only
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": DRAINING_S,
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": DRAINING_S,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


def check_address(address: str) -> None:
    """Raise UsageError for what is no explicit address of a cluster."""
    if address and not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"no address of a cluster: {address!r}",
            where="--ray-address",
            why="it is HOST:PORT of its GCS; `auto` would take any that happens to run here, and "
            "ray:// leads through a client that has no folders of bundles",
            fix="--ray-address 10.0.0.1:6379, on a machine that is a node of the cluster",
        )


def ray_python() -> str:
    """Return the interpreter that has Ray; raises DependencyError where there is none."""
    named = os.environ.get(PYTHON, "")
    if named:
        return named
    if find_spec("ray") is None:
        raise DependencyError(
            "Ray is not installed",
            where="--engine ray",
            why="it is an extra of about 600 MB, so that servers stay small",
            fix=f"pip install 'afterfit[ray]', or name an interpreter that has it in ${PYTHON}",
        )
    return sys.executable


def free_port(host: str) -> int:
    """Return a port that nobody listens on now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.bind((host, 0))
        port: int = one.getsockname()[1]
    return port
