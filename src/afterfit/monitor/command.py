"""A command that trains a model: without a shell, without our secrets, and bounded in time."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from afterfit.errors import UnavailableError
from afterfit.monitor.channels.base import Message, Refused
from afterfit.store.files import os_errors, write_bytes

__all__ = ["Command"]

PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
"""The variables that a command gets of ours: any other may hold a secret."""


class Command:
    """Runs a list of words; it gets the evidence, and says where it put the model.

    ``folder`` gets a folder for each alarm, with ``evidence.json`` and the command's output in
    ``log.txt``. The command finds in its environment ``AFTERFIT_EVIDENCE``, ``AFTERFIT_FROM`` and
    ``AFTERFIT_TO`` (the data window, ISO 8601), ``AFTERFIT_NAME`` and ``AFTERFIT_MODEL_OUT``, a
    folder for the one file of the new model.
    """

    def __init__(self, words: Sequence[str], folder: Path, seconds: float) -> None:
        self._words, self._folder, self._seconds = list(words), folder, seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, message: Message) -> Path:
        """Return the path of the new model; raises Refused, or UnavailableError after `stop`."""
        place = (self._folder / message.alarm.id).resolve()
        out = place / "model"
        with os_errors(place, "keep the evidence"):
            out.mkdir(parents=True, exist_ok=True)
        write_bytes(place / "evidence.json", message.body)
        code = self._wait(place, self._environment(message, place, out))
        if self._stopped:
            raise _stops()
        if code is None:
            raise Refused(f"the command was ended after {self._seconds:g} s; see {place}/log.txt")
        if code != 0:
            raise Refused(f"the command ended with {code}; see {place}/log.txt")
        files = sorted(path for path in out.iterdir() if path.is_file())
        if len(files) != 1:
            raise Refused(f"the command left {len(files)} files in AFTERFIT_MODEL_OUT, and not one")
        return files[0]

    def stop(self) -> None:
        """End the command that runs, and start none."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                _end(self._process)

    def _wait(self, place: Path, environment: dict[str, str]) -> int | None:
        """Return the exit code, None for one that took too long."""
        with (place / "log.txt").open("wb") as log:
            with self._lock:
                if self._stopped:
                    raise _stops()
                try:
                    self._process = process = subprocess.Popen(
                        self._words,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                except OSError as error:
                    raise Refused(f"the command cannot be started: {error.strerror}") from None
            try:
                return process.wait(self._seconds)
            except subprocess.TimeoutExpired:
                return None
            finally:
                # What it started goes with it, also after it ended well.
                with self._lock:
                    _end(process)
                    self._process = None

    @staticmethod
    def _environment(message: Message, place: Path, out: Path) -> dict[str, str]:
        alarm = message.alarm
        return {name: os.environ[name] for name in PASSED if name in os.environ} | {
            "AFTERFIT_EVIDENCE": str(place / "evidence.json"),
            "AFTERFIT_FROM": _iso(alarm.opened),
            "AFTERFIT_TO": _iso(alarm.updated),
            "AFTERFIT_NAME": alarm.scope.model,
            "AFTERFIT_MODEL_OUT": str(out),
        }


def _stops() -> UnavailableError:
    return UnavailableError("the monitor stops", fix="the next one runs the command again")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and, where the system can, all that it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1e6, UTC).isoformat()
