"""Ctrl-C: it ends the command within seconds, wherever it lands.

Python raises KeyboardInterrupt at whatever line runs then. Raised in a callback of a C extension it
is printed and lost; in an import that such an extension makes it becomes an ImportError. So the
signal is noted beside being raised: what asks ``check`` stops, and a thread that waits for it ends
what the main thread waits for, interrupts it once more, and at last ends the process.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

__all__ = ["check", "finish", "listen", "seen"]

CHILDREN_S = 2.0
"""So long after ctrl-C the models' processes are ended, which a thread may be waiting for."""
AGAIN_S = 5.0
LAST_S = 12.0
EXIT = 130


class _Noted:
    """Whether ctrl-C was pressed, and what the watching thread waits for until it is.

    A bare lock: a handler runs between any two instructions of the main thread, which may be
    inside of an Event's own lock at that moment.
    """

    def __init__(self) -> None:
        self.pressed = False
        self.told = False
        self.gate = _thread.allocate_lock()


_noted = _Noted()


def listen() -> None:
    """Take ctrl-C from Python's own handler; where it is ignored (``nohup``, a job) it stays so."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    _noted.gate.acquire()
    threading.Thread(target=_watch, name="afterfit-interrupt", daemon=True).start()
    signal.signal(signal.SIGINT, _note)


def finish() -> None:
    """Say nothing more of ctrl-C: the command has, and only waits for its threads."""
    _noted.told = True


def seen() -> bool:
    """Return whether ctrl-C was pressed."""
    return _noted.pressed


def check() -> None:
    """Do nothing, or raise KeyboardInterrupt where one was raised before and lost."""
    if _noted.pressed:
        raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    if not _noted.pressed:
        _noted.pressed = True
        _noted.gate.release()
    signal.default_int_handler(number, frame)


def _watch() -> None:
    _noted.gate.acquire()
    time.sleep(CHILDREN_S)
    _end_models()
    time.sleep(AGAIN_S - CHILDREN_S)
    if not _noted.told:
        _raise_again()
    time.sleep(LAST_S - AGAIN_S)
    if not _noted.told:
        _say()
    _end_models()
    os._exit(EXIT)


def _raise_again() -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        # A signal wakes it from a system call, where interrupt_main would wait for the call's end.
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _end_models() -> None:
    # Never imported here: the main thread may hold the lock of an import that does not end.
    host: Any = sys.modules.get("afterfit.models.host")
    if end_all := getattr(host, "end_all", None):
        end_all()


def _say() -> None:
    output: Any = sys.modules.get("afterfit.cli.output")
    if print_error := getattr(output, "print_error", None):
        print_error("", output.as_afterfit_error(KeyboardInterrupt()), as_json="--json" in sys.argv)
        sys.stdout.flush()
    else:
        sys.stderr.write("error: interrupted\n")
