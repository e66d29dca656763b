"""The parent's side of a model's process: starts it, asks it, and always ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from pathlib import Path
from typing import IO, Any

import afterfit
from afterfit.errors import AfterfitError, InternalError, ModelError, error_from
from afterfit.models import wire
from afterfit.runtime.starter import starter

__all__ = ["Host", "end_all"]

_KEPT_VARIABLES = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PATH",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "TZ",
    "USERPROFILE",
    "VIRTUAL_ENV",
)
# Which kernels the numeric libraries take decides the last bits of an answer: the child computes
# as its parent does.
_KEPT_PREFIXES = ("BLIS_", "MKL_", "OMP_", "OPENBLAS_", "VECLIB_")
_STDERR_LINES = 40
_PATIENCE_S = 2.0

# -E and -P: neither PYTHON* variables nor the working directory decide what is imported. The folder
# of Afterfit itself goes last, so that it never hides an installed package.
_FLAGS = ("-E", "-P", "-B")
_SERVING = ("-P", "-B")
_BOOT = (
    "import sys; root = sys.argv.pop(1); sys.path += [] if root in sys.path else [root]; "
    "from afterfit.models.child import main; main()"
)


_living: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def end_all() -> None:
    """Kill every child of this process that holds a model; who waits for one gets ModelError."""
    for process in list(_living):
        if process.poll() is None:
            process.kill()


class Host:
    """One child process, started when first asked and again after it died.

    Requests from several threads wait for each other. Whatever interrupts an exchange (ctrl-C
    too) ends the child, because a half-read answer would be taken for the next one.

    The child has no network and few environment variables. With ``serving`` it has those of this
    process, and what it writes to its standard error appears on this one's. ``threads`` are those
    of the numeric libraries, where the environment does not say otherwise. It has the priority of
    this process, whoever asks for it, and on Linux it ends with this process even where it hangs.
    """

    def __init__(self, load: dict[str, Any], *, serving: bool = False, threads: int = 1) -> None:
        self._load = load
        self._serving = serving
        self._threads = threads
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._drain: threading.Thread | None = None
        self.loaded: Any = None

    @property
    def pid(self) -> int | None:
        """The process id of the child; None where none runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> Any:
        """Return the child's answer to loading the model, starting it if none runs."""
        with self._lock:
            self._ensure()
            return self.loaded

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the answer of the child; raises the error that it met, as it met it."""
        with self._lock:
            self._ensure()
            return self._exchange(request)

    def remember(self, load: dict[str, Any]) -> None:
        """Load like this when the child has to be started again."""
        self._load = load

    def close(self) -> None:
        """End the child; a second close does nothing."""
        with self._lock:
            self._end()

    def _ensure(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._end()
        starter.call(self._spawn)
        try:
            self.loaded = self._exchange(self._load)
        except AfterfitError:
            self._end()
            raise

    def _spawn(self) -> None:
        root = str(Path(afterfit.__file__).resolve().parent.parent)
        told = [f"--parent={os.getpid()}", *(["--network"] if self._serving else [])]
        self._stderr.clear()
        # A session of its own: ctrl-C in the terminal reaches the parent only, which then ends
        # the child.
        self._process = subprocess.Popen(
            [sys.executable, *(_SERVING if self._serving else _FLAGS), "-c", _BOOT, root, *told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment(),
            start_new_session=True,
        )
        _living.add(self._process)
        self._finalizer = weakref.finalize(self, _reap, self._process)
        stream = self._process.stderr
        self._drain = threading.Thread(
            target=_drain,
            args=(stream, self._stderr, self._serving),
            name="afterfit-model-stderr",
            daemon=True,
        )
        self._drain.start()

    def _environment(self) -> dict[str, str]:
        kept = self._serving
        environment = {name: text for name, text in os.environ.items() if kept or _is_kept(name)}
        environment["ORT_DISABLE_TELEMETRY"] = "1"
        # One thread a child: folds run in parallel children, and two OpenMP pools that spin for
        # the same cores were seen to take 50 times as long as one thread each.
        environment.setdefault("OMP_NUM_THREADS", str(self._threads))
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        environment.setdefault("OPENBLAS_NUM_THREADS", str(self._threads))
        return environment

    def _exchange(self, request: dict[str, Any]) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise InternalError("the model's process has no pipes")
        framed = wire.framed(request)
        try:
            process.stdin.write(framed)
            process.stdin.flush()
            reply = wire.receive(process.stdout)
        except (OSError, EOFError, ValueError):
            raise self._death() from None
        except BaseException:
            self._end()
            raise
        if "error" in reply:
            raise error_from(reply["error"], ModelError)
        return reply["ok"]

    def _death(self) -> ModelError:
        process = self._process
        code = _wait(process) if process is not None else None
        if self._drain is not None:
            self._drain.join(timeout=_PATIENCE_S)
        last = "\n".join(self._stderr).strip()
        self._end()
        return ModelError(
            f"the model's process ended ({_reason(code)})",
            why=last or "it wrote nothing to its standard error",
            fix="check that the model works in its own environment, and that memory suffices",
            code="child_died",
        )

    def _end(self) -> None:
        if self._process is not None:
            _reap(self._process)
        if self._drain is not None and self._drain is not threading.current_thread():
            self._drain.join(timeout=_PATIENCE_S)
        if self._finalizer is not None:
            self._finalizer.detach()
        self._process = self._drain = self._finalizer = None


def _is_kept(variable: str) -> bool:
    return variable in _KEPT_VARIABLES or variable.startswith(_KEPT_PREFIXES)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """End a child in any state and collect it, so that no zombie stays."""
    for stream in (process.stdin, process.stdout):
        try:
            if stream is not None:
                stream.close()
        except OSError:
            continue
    if process.poll() is None:
        process.kill()
    process.wait()


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None


def _drain(stream: IO[bytes] | None, lines: deque[str], shown: bool) -> None:  # noqa: FBT001  # the target of a thread, called by nobody else
    if stream is None:
        return
    with stream:
        for line in stream:
            text = line[:2000].decode(errors="replace").rstrip()
            lines.append(text)
            if shown:
                print(text, file=sys.stderr, flush=True)  # noqa: T201  # the log of a server


def _reason(code: int | None) -> str:
    if code is None:
        return "it stopped answering"
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"
