"""Where a running server says how to reach it: a file of mode 0600 beside its document."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from afterfit.runtime.endpoint import write_atomic

__all__ = ["Running", "read_running", "remove_running", "write_running"]

NAME = "running.json"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A server's address, its admin API's (with a token where that is a port), and its process."""

    url: str
    admin: str
    token: str = ""
    pid: int = 0


def write_running(state: str, running: Running) -> None:
    """Write the file, where there is a folder for it that can be written."""
    if not state:
        return
    try:
        # A temporary file has mode 0600, and so has what is made of it.
        write_atomic(Path(state) / NAME, msgspec.json.encode(running))
    except OSError:
        return  # whoever changes this server has to be told where it is


def read_running(state: Path) -> Running | None:
    """Return the server that runs there; None where there is none, or it has been killed."""
    try:
        found = msgspec.json.decode((state / NAME).read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.admin and _alive(found.pid) else None


def remove_running(state: str) -> None:
    """Remove this process's file."""
    path = Path(state) / NAME
    found = read_running(path.parent) if state else None
    if found is not None and found.pid == os.getpid():
        path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True
