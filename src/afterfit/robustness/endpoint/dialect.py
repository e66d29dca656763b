"""What the checks need to know of a protocol: rows, how they are written, how answers are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from afterfit.core.wire.client import Exchange
from afterfit.robustness.endpoint.fields import Field


class Dialect(Protocol):
    """A protocol as one endpoint speaks it; a row is a JSON value that the checks may spoil."""

    protocol: str
    route: str
    """The path that predictions are asked at."""
    fields: tuple[Field, ...]
    batched: bool
    """Whether a request takes any number of rows."""
    holder: str
    """The name of what holds the rows in a request, empty where there is none."""
    ready: tuple[str, ...]
    """Paths of which one must say with 200 that the server is ready."""
    missing: str
    """A path like `route` of a model that does not exist."""

    def rows(self, count: int, start: int = 0) -> list[Any]:
        """Return rows of one endless seeded table."""
        ...

    def document(self, rows: Sequence[Any]) -> Any:
        """Return the document of a request with these rows."""
        ...

    def misshapen(self, rows: Sequence[Any]) -> Any:
        """Return the document of a request whose first field is an array too deep or too long."""
        ...

    def names(self, field: Field) -> list[str]:
        """Return what a refusal may say to name a field: its name, or its path in the request."""
        ...

    def extra(self, row: Any) -> Any:
        """Return the row with a field that the model does not have."""
        ...

    def answers(self, exchange: Exchange, rows: int) -> list[Any]:
        """Return one answer a row; raises UnreadableError."""
        ...
