"""A workspace of a team: PostgreSQL, and a folder in place of an object store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from afterfit.registry.shared.opening import Stores, open_stores
from afterfit.registry.shared.place import SharedPlace

Machine = Callable[[str], Stores]


@pytest.fixture
def machine(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A function from the name of a machine to the workspace as it opens it, copies apart."""
    from afterfit.registry.shared import opening

    monkeypatch.setattr(opening, "_TOLD", {})

    def opened(name: str, *, create: bool = True) -> Stores:
        text = (
            f'database = "{postgres}"\nblobs = "file://{tmp_path / "bucket"}"\n'
            f'cache = "{tmp_path / name}"\n'
        )
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
        return open_stores(tmp_path / f"{name}.toml", create=create)

    return opened


@pytest.fixture
def place(postgres: str, tmp_path: Path) -> SharedPlace:
    """Where the workspace of the test is."""
    return SharedPlace(database=postgres, blobs=f"file://{tmp_path / 'bucket'}")
