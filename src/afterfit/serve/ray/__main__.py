"""``python -m afterfit.serve.ray``: one application on Ray, until stopped or left alone.

Standard input is the line to whoever started it: each line is a `Change`, and its end is the end.
What happens is told as lines of JSON on the descriptor ``--ready-fd``.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import msgspec

from afterfit.errors import AfterfitError, InternalError
from afterfit.serve.ray.driver import Driver
from afterfit.serve.ray.settings import Change, RaySettings

STOP = b""


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; return the exit code: 0, or that of the error."""
    parser = argparse.ArgumentParser(prog="python -m afterfit.serve.ray")
    parser.add_argument("--config", required=True, type=Path)
    parser.add_argument("--ready-fd", required=True, type=int)
    options = parser.parse_args(arguments)
    settings = msgspec.json.decode(options.config.read_bytes(), type=RaySettings)
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    _listen(orders)
    driver = Driver(settings)
    try:
        cluster = driver.open()
        _listen_for_signals(orders)  # again: Ray has put a handler of its own
        _tell(options.ready_fd, {"event": "ready", **cluster._asdict(), "pid": os.getpid()})
        while order := orders.get():
            _tell(options.ready_fd, _changed(driver, order))
    except Exception as error:  # noqa: BLE001 - whoever started it tells the person
        found = _known(error)
        _tell(options.ready_fd, {"event": "failed", **found.as_dict()})
        return found.exit_code
    finally:
        driver.close()
        # Whoever made it may be gone.
        shutil.rmtree(settings.scratch, ignore_errors=True)
    return 0


def _changed(driver: Driver, order: bytes) -> dict[str, Any]:
    change = msgspec.json.decode(order, type=Change)
    told = {"digest": change.model.digest}
    try:
        driver.change(change)
    except Exception as error:  # noqa: BLE001 - as above, and what serves goes on
        return {"event": "failed", **told, **_known(error).as_dict()}
    return {"event": "changed", **told}


def _known(error: Exception) -> AfterfitError:
    if isinstance(error, AfterfitError):
        return error
    traceback.print_exception(error)
    return InternalError("Ray did what was not expected", why=repr(error)[:300])


def _listen(orders: queue.SimpleQueue[bytes]) -> None:
    """Put each line of standard input there, and at its end, or on a signal, the order to stop."""

    def read() -> None:
        rest = b""
        # Not sys.stdin: its lock would be held when the interpreter ends.
        while piece := os.read(0, 1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                orders.put(line)
        orders.put(STOP)

    threading.Thread(target=read, name="orders", daemon=True).start()
    _listen_for_signals(orders)


def _listen_for_signals(orders: queue.SimpleQueue[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: orders.put(STOP))


def _tell(descriptor: int, line: dict[str, Any]) -> None:
    """Write a line to whoever started this; nobody may be there any more."""
    try:
        os.write(descriptor, msgspec.json.encode(line) + b"\n")
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
