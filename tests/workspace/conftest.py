"""What the tests of workspace share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _inline(inline: None) -> None:
    """Hold models in this process."""
