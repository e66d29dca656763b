"""One bundle for all tests of places: they only read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from afterfit.core.bundle import Bundle
from afterfit.package.draft import draft_bundle


@pytest.fixture(scope="session")
def bundle(parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle on disk."""
    folder: Path = tmp_path_factory.mktemp("places") / "bundle"
    return draft_bundle(folder, **parts)
