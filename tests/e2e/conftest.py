"""What the end-to-end tests share: the real tables, and a line whose load test is short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture(scope="session", autouse=True)
def _short(short_load_tests: None) -> None:
    """No test here is about the load test of a line."""


@pytest.fixture(scope="session")
def adult(shared_data: Callable[[str], Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The Adult table: 32,561 training and 16,281 test rows with 14 columns and ``income``."""
    return pd.read_csv(shared_data("adult_train.csv")), pd.read_csv(shared_data("adult_test.csv"))
