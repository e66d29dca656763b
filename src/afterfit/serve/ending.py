"""Why a server has ended by itself, in words."""

from __future__ import annotations

import signal

from afterfit.errors import UnavailableError

__all__ = ["ended"]


def ended(code: int, url: str) -> UnavailableError:
    """Return the error that tells how a server ended which nobody had asked to end."""
    if code >= 0:
        return UnavailableError(
            f"the server ended by itself with code {code}",
            where=url,
            why="its last lines on standard error tell more",
            fix="start it again",
        )
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    killed = name == "SIGKILL"
    return UnavailableError(
        f"the server was ended by {name}; its workers finish what they have and end",
        where=url,
        why="somebody killed it, or the system did because memory ran out" if killed else "",
        fix="look into the system's log (dmesg) where nobody did, and start it again",
    )
