"""Where monitoring keeps points, alarms and its own state: one machine's folder, or PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from afterfit.errors import ConfigError
from afterfit.monitor.store.base import EVERY, FOREVER, Change, MonitorStore, PointQuery

__all__ = ["EVERY", "FOREVER", "Change", "MonitorStore", "PointQuery", "open_store"]


def open_store(address: str, folder: Path) -> MonitorStore:
    """Return the store at an address: empty is ``folder``, else a path or ``postgresql://…``.

    Raises ConfigError for an address of another kind, DependencyError without psycopg.
    """
    scheme, there, _ = address.partition("://")
    if there and scheme in ("postgres", "postgresql"):
        from afterfit.monitor.store.postgres import PostgresStore

        return PostgresStore(address)
    if there and scheme != "file":
        raise ConfigError(
            f"no store at {scheme}://",
            where="monitor.store",
            why="it is a folder, or a database of PostgreSQL",
            fix='write "postgresql://host/database", or leave it empty',
        )
    from afterfit.monitor.store.embedded import EmbeddedStore

    return EmbeddedStore(Path(address.removeprefix("file://")) if address else folder)
