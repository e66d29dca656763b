"""``python -m afterfit.runtime.probe``: whether the server of this container is ready.

The check of an image's health. It asks where the server listens, which the container's first
process was told by its arguments and both know by the environment.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from afterfit.runtime.options import parser
from afterfit.runtime.platform import EVERYWHERE, LOOPBACK, detect

__all__ = ["address", "main"]

FIRST_PROCESS = Path("/proc/1/cmdline")
SERVER = "afterfit.runtime"
READY = "/v2/health/ready"
SECONDS = 3.0


def main() -> int:
    """Return 0 where the server is ready, else 1, with a line for whoever looks at the check."""
    host, port = address(FIRST_PROCESS.read_bytes(), os.environ)
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", READY)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{host}:{port} does not answer: {error}\n")
        return 1
    sys.stderr.write(f"{host}:{port}{READY} answers {status}\n")
    return 0 if status == http.client.OK else 1


def address(command_line: bytes, environ: Mapping[str, str]) -> tuple[str, int]:
    """Return the host and port to ask, by a process's NUL-separated words and environment.

    An init may stand in front of the server, whose words follow then.
    """
    words = command_line.decode("utf-8", errors="replace").rstrip("\0").split("\0")
    given = words[words.index(SERVER) + 1 :] if SERVER in words else []
    platform = detect(parser().parse_args(given), environ)
    host = {EVERYWHERE: LOOPBACK, "::": "::1"}.get(platform.host, platform.host)
    return host, platform.port


if __name__ == "__main__":
    sys.exit(main())
