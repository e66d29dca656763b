"""The handle of an endpoint whose engine is Ray Serve."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from afterfit.errors import AfterfitError, UnavailableError, UsageError, error_from
from afterfit.runtime.client import AdminClient, HttpReply
from afterfit.runtime.endpoint import Endpoint
from afterfit.serve.ray.leftover import end_marked
from afterfit.serve.ray.settings import Change, Model, Plan
from afterfit.serve.run import ServedBundle, ServerHandle, link_bundle

__all__ = ["CHANGE_SECONDS", "STOP_SECONDS", "Lines", "RayServer", "ended", "failure", "model_of"]

CHANGE_SECONDS = 180.0
STOP_SECONDS = 60.0


class RayServer(ServerHandle):
    """An application on Ray that runs beside this process; ``stop`` removes it.

    ``cluster`` is the address of its GCS, ``nodes`` how many there are, and ``notes`` what a person
    should know. It has no admin API. ``run`` is how many seconds it took, and its mark.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        told: Mapping[str, Any],
        state: Path,
        scratch: tempfile.TemporaryDirectory[str],
        lines: Lines,
        run: tuple[float, str],
    ) -> None:
        super().__init__(process, told["url"], _NoAdmin(""), state, scratch, (run[0], 0.0))
        self.cluster: str = told["address"]
        self.nodes: int = told["nodes"]
        self.fast: bool = told["fast"]
        self.notes: tuple[str, ...] = ()
        self.mark = run[1]
        self._lines = lines

    def replace(self, name: str, bundle: ServedBundle) -> Endpoint:
        """Return the endpoint document after Ray has put new replicas in the place of the old."""
        model = model_of(self.bundles, bundle)
        line = msgspec.json.encode(Change(name=name, model=model)) + b"\n"
        try:
            assert self.process.stdin is not None  # noqa: S101 - it is a pipe
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except OSError:
            raise UnavailableError(
                "the process that drives Ray has ended", where=self.url, fix="serve it again"
            ) from None
        until = time.monotonic() + CHANGE_SECONDS
        answer = self._lines.next(CHANGE_SECONDS)
        while answer and answer.get("digest") != bundle.digest:  # of a change that took too long
            answer = self._lines.next(max(0.0, until - time.monotonic()))
        if answer.get("event") != "changed":
            raise failure(answer, self.process)
        return Plan(models={name: model}).endpoint

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """Return the exit code after Ray was asked to end; what outlives that is ended by pid."""
        code = ended(self.process, timeout)
        end_marked(self.mark)
        self._lines.close()
        self._scratch.cleanup()
        return code


class _NoAdmin(AdminClient):
    """The admin API that an endpoint on Ray does not have."""

    def _request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> HttpReply:
        del body, headers  # nobody is there to have them
        raise UsageError(
            "an endpoint on Ray has no admin API",
            where=f"{method} {path}",
            why="its replicas are Ray's: they serve one version, which follows the alias",
            fix="serve it without --engine ray for canaries, shadows and stand-ins",
        )


class Lines:
    """Lines of JSON from a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def next(self, seconds: float) -> dict[str, Any]:
        """Return the next line, or {} where none comes in time or the other end is closed."""
        until = time.monotonic() + seconds
        while b"\n" not in self._rest and self._descriptor >= 0:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._descriptor], [], [], left)[0]:
                return {}
            piece = os.read(self._descriptor, 1 << 16)
            if not piece:
                return {}
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = msgspec.json.decode(line or b"{}")
        return found

    def close(self) -> None:
        """Close the descriptor, once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def model_of(bundles: Path, bundle: ServedBundle) -> Model:
    """Return a version as the driver is told of it; raises IntegrityError for another digest."""
    folder = link_bundle(bundles, bundle.digest, bundle.folder, bundle.proven)
    return Model(
        digest=bundle.digest, version=bundle.version, folder=str(folder), proven=bundle.proven
    )


def failure(told: dict[str, Any], process: subprocess.Popen[bytes]) -> AfterfitError:
    """Return the error that the driver told, or the one of its silence."""
    if told:
        return error_from({key: str(value) for key, value in told.items()}, UnavailableError)
    ended = process.poll() is not None
    return UnavailableError(
        "Ray did not get ready",
        why="the process that drives it has ended" if ended else "it took too long",
        fix="see what it wrote to standard error; Afterfit has to be installed beside Ray",
    )


def ended(process: subprocess.Popen[bytes], timeout: float) -> int:
    """Return the exit code of the driver, asked to end and killed after ``timeout`` seconds."""
    try:
        if process.poll() is None:
            process.terminate()
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    except BaseException:
        process.kill()
        raise
    if process.stdin is not None:
        process.stdin.close()
    return code
