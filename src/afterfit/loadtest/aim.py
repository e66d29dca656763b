"""What a generator fires at: an address, the requests, and what is expected of the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from afterfit.core.wire.client import Address

__all__ = ["Target"]


@dataclass(frozen=True)
class Target:
    """Where requests go, and the bytes of each distinct one, sent in turn.

    ``expected`` has the body of the right answer to each (empty: answers are not compared);
    ``volatile`` is the pattern of what differs from one answer to the next without being a
    prediction, and ``wrong`` says whether an answer with other bytes is another answer, given the
    number of the request and the body. ``requests`` may hold keys, so they are never shown.
    """

    address: Address
    route: str
    requests: tuple[bytes, ...] = field(repr=False)
    protocol: str = "JSON"
    rows: int = 1
    expected: tuple[bytes, ...] = field(default=(), repr=False)
    volatile: str = ""
    wrong: Callable[[int, bytes], bool] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Return it as people write it."""
        scheme = "https" if self.address.secure else "http"
        return f"{scheme}://{self.address.authority}{self.address.base}{self.route}"
