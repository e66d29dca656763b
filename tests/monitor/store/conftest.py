"""A store of each kind: a folder, and a real PostgreSQL that can be stopped and started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from afterfit.monitor.store import MonitorStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
