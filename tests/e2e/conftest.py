"""What the end-to-end tests share: the real tables, and a line whose load test is short."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from afterfit.workspace import effort

LOADTEST_SECONDS = 0.5


@pytest.fixture(scope="session", autouse=True)
def short_load_tests() -> Iterator[None]:
    """At quick effort the load test of a line takes half a second: no test here is about it."""
    quick = dataclasses.replace(effort.SHARES["quick"], loadtest=LOADTEST_SECONDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(effort.SHARES, "quick", quick)
        yield


@pytest.fixture(scope="session")
def adult(shared_data: Callable[[str], Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The Adult table: 32,561 training and 16,281 test rows with 14 columns and ``income``."""
    return pd.read_csv(shared_data("adult_train.csv")), pd.read_csv(shared_data("adult_test.csv"))
