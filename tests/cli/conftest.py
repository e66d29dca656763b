"""What the tests of the command line share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _quick(inline: None, short_load_tests: None) -> None:
    """Hold models in this process, and ask little of a load test."""
