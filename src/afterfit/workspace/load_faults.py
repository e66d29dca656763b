"""What goes wrong on purpose while a server is under load."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from afterfit.errors import UsageError
from afterfit.loadtest.aim import Target
from afterfit.loadtest.soak import FaultName
from afterfit.serve.run import ServedBundle, ServerHandle

__all__ = ["faults_of", "slow_clients"]

SLOW_CLIENTS = 64
SLOW_S = 10.0


def faults_of(
    server: ServerHandle, name: str, target: Target, other: ServedBundle | None
) -> dict[FaultName, Callable[[], None]]:
    """Return what makes each fault happen to a server that was started here."""
    return {
        "kill": lambda: _kill_worker(server),
        "swap": lambda: _swap(server, name, other),
        "slow": lambda: slow_clients(target),
    }


def _kill_worker(server: ServerHandle) -> None:
    """Kill one of the workers of a server that was started here, as the kernel might."""
    workers: list[dict[str, Any]] = server.admin.workers()["workers"]
    os.kill(int(workers[0]["pid"]), signal.SIGKILL)


def _swap(server: ServerHandle, name: str, other: ServedBundle | None) -> None:
    if other is None:
        raise UsageError("there is no other version to swap to", fix="ship another one first")
    server.replace(name, other)


def slow_clients(target: Target) -> None:
    """Open connections that send a request a byte at a time, for a while, and read nothing."""
    threading.Thread(target=_trickle, args=(target,), daemon=True).start()


def _trickle(target: Target) -> None:
    address = (target.address.host, target.address.port)
    open_: list[socket.socket] = []
    until = time.monotonic() + SLOW_S
    try:
        for _ in range(SLOW_CLIENTS):
            with suppress(OSError):
                open_.append(socket.create_connection(address, 2.0))
        for byte in target.requests[0]:
            for each in open_:
                with suppress(OSError):
                    each.send(bytes([byte]), socket.MSG_DONTWAIT)
            time.sleep(0.05)
            if time.monotonic() > until:
                return
    finally:
        for each in open_:
            each.close()
