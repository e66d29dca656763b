"""A server that follows an alias: when the alias moves, the server changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from afterfit.errors import AfterfitError
from afterfit.runtime.endpoint import Endpoint
from afterfit.serve.run import ServedBundle

__all__ = ["Change", "Follower", "Replaceable"]

POLL_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0


class Replaceable(Protocol):
    """A running server, as a follower needs it."""

    def replace(self, name: str, bundle: ServedBundle) -> Endpoint:
        """Change one model; raises where the old one serves on."""
        ...


class Change(NamedTuple):
    """What a look at the alias led to: nothing, a change, or a failure that changed nothing."""

    version: int | None = None
    error: AfterfitError | None = None


class Follower:
    """Follows ``pointed`` for the model called ``name``.

    ``pointed`` returns the digest of the version that should serve, at little cost; ``resolve``
    that version, checked out on this machine with every byte hashed, and is asked when the digest
    is another. Both may raise AfterfitError. ``say`` gets a line for a person about each change
    and each new failure. A version that failed is tried again after a wait that doubles up to
    30 s, or at once when the alias moves on.
    """

    def __init__(
        self,
        server: Replaceable,
        name: str,
        pointed: Callable[[], str],
        resolve: Callable[[], ServedBundle],
        *,
        serving: str,
        say: Callable[[str], None] = lambda _: None,
        poll_seconds: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self.name = name
        self.pointed = pointed
        self.resolve = resolve
        self.serving = serving
        self.say = say
        self.poll_seconds = poll_seconds
        self._clock = clock
        self._failed = ""
        self._again_at = 0.0
        self._wait = poll_seconds

    def look(self) -> Change:
        """Look at the alias once and change the server where it has moved."""
        try:
            digest = self.pointed()
        except AfterfitError as error:
            return self._failure("?", error)
        if digest == self.serving:
            self._failed, self._wait = "", self.poll_seconds
            return Change()
        if digest == self._failed and self._clock() < self._again_at:
            return Change()
        try:
            bundle = self.resolve()
            self.server.replace(self.name, bundle)
        except AfterfitError as error:
            return self._failure(digest, error)
        self.serving = bundle.digest
        self._failed, self._wait = "", self.poll_seconds
        self.say(f"{self.name} now serves version {bundle.version} ({bundle.digest[:12]})")
        return Change(version=bundle.version)

    def run(self, stop: threading.Event) -> None:
        """Look every ``poll_seconds`` until ``stop`` is set."""
        while not stop.wait(self.poll_seconds):
            self.look()

    def _failure(self, digest: str, error: AfterfitError) -> Change:
        if digest != self._failed:
            self._wait = self.poll_seconds
            self.say(f"{self.name} stays at {self.serving[:12]}: {error}")
        else:
            self._wait = min(MAX_BACKOFF_SECONDS, self._wait * 2)
        self._failed = digest
        self._again_at = self._clock() + self._wait
        return Change(error=error)
