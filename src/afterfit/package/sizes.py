"""What one replica gets and how many there are, each number with the reason for it."""

from __future__ import annotations

import msgspec

__all__ = ["GRACE_S", "SERVER_MIB", "START_S", "WORKER_MIB", "Scaling", "Sized", "Sizes"]

NOT_MEASURED = "not measured"
WORKER_MIB = 160
"""What a worker takes without a model, by what the server itself reckons with."""
SERVER_MIB = 256
"""What a server with one worker and a small model takes, rounded up."""
GRACE_S = 25
START_S = 120


class Sized(msgspec.Struct, frozen=True):
    """A number, and why it is so: a sentence of one line without a full stop."""

    value: float
    why: str

    @property
    def whole(self) -> int:
        """Return it as a whole number."""
        return round(self.value)


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """From ``least`` to ``most`` replicas, as many as bring each to ``target``."""

    least: Sized
    most: Sized
    target: Sized


def _default(value: float, why: str) -> Sized:
    return Sized(value, f"{NOT_MEASURED}: {why}")


_LEAST = _default(2, "one may be lost or replaced while the other answers")
_MOST = _default(10, "a bound of what it may cost")


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a replica and of the fleet; the defaults are those of a model nobody measured.

    ``workers`` are processes and ``threads`` those inside of one call of the model. ``cpu_request``
    and ``cpu_limit`` are in processors, ``memory_request`` and ``memory_limit`` in MiB. ``by_cpu``
    aims at a percentage of the requested CPU, ``by_concurrency`` at requests under way in a replica
    at a time, of which it takes ``concurrency`` at most. ``rate`` is what one replica is sure to
    hold, in requests/s, and ``admission`` the rate beyond which it turns away (0: not known, and
    never). Requests have ``grace`` seconds to end, and a replica ``start`` seconds to be ready.
    ``measured`` says whether a load test is behind it; its record is ``source``, that of the
    simulated autoscalers ``autoscale``.
    """

    workers: Sized = _default(1, "one process for one processor")
    threads: Sized = _default(1, "one thread for one processor")
    cpu_request: Sized = _default(1, "a processor for each worker")
    cpu_limit: Sized = _default(1, "as many as are asked for, since there is no work for more")
    memory_request: Sized = _default(SERVER_MIB, "a server with one worker and a small model")
    memory_limit: Sized = _default(SERVER_MIB, "what is asked for, so that nobody else is evicted")
    by_cpu: Scaling = Scaling(
        least=_LEAST,
        most=_MOST,
        target=_default(60, "the rest is for what comes until a new replica answers"),
    )
    by_concurrency: Scaling = Scaling(
        least=_LEAST,
        most=_MOST,
        target=_default(4, "some requests may wait while one is answered"),
    )
    concurrency: Sized = _default(32, "more would only wait")
    rate: Sized = _default(0, "a load test finds what one replica holds")
    admission: Sized = _default(0, "nothing is turned away before a queue is full")
    grace: Sized = Sized(GRACE_S, "what the server gives to requests that are under way")
    start: Sized = _default(START_S, "the time that a server has at most to load and warm a model")
    measured: bool = False
    source: str = ""
    autoscale: str = ""
