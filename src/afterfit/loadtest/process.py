"""One process of the generator, as its parent sees it."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from afterfit.loadtest.engine.frames import Frame, frame, read_frame

__all__ = ["EngineProcess"]

ENDS_S = 2.0
Inbox = queue.SimpleQueue[tuple["EngineProcess", Frame | None]]


class EngineProcess:
    """Starts ``python -m afterfit.loadtest.engine``; what it says goes to ``inbox``.

    None in the inbox says that it has ended.
    """

    def __init__(self, number: int, inbox: Inbox) -> None:
        self.number = number
        self.verdicts: dict[int, bool] = {}
        """Whether the unknown answers of these numbers were wrong."""
        # -P: a file of the user's folder must not stand in for a module of the library.
        command = [sys.executable, "-P", "-m", "afterfit.loadtest.engine"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=os.name == "posix",
        )
        self._inbox = inbox
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """Return its number in the system."""
        return self._process.pid

    @property
    def exit(self) -> int | None:
        """Return the code that it has ended with, None while it runs."""
        return self._process.poll()

    def tell(
        self, kind: bytes, document: dict[str, Any] | None = None, parts: Sequence[bytes] = ()
    ) -> None:
        """Send it a frame; one that has ended takes none, as the inbox tells."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        with suppress(OSError, ValueError):
            self._process.stdin.write(frame(kind, document, parts))
            self._process.stdin.flush()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        with self._process.stdout as stream:
            while (message := read_frame(stream)) is not None:
                self._inbox.put((self, message))
        # Its end of the pipe is closed a moment before its code is known.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_S)
        self._inbox.put((self, None))
