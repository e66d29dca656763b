"""An MLflow server of one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.registry.mlflow.fake import FakeMlflow, serving

from afterfit.registry.mlflow.address import server_of
from afterfit.registry.mlflow.client import Client


@pytest.fixture
def fake() -> Iterator[FakeMlflow]:
    """A server on loopback."""
    with serving() as found:
        yield found


@pytest.fixture
def client(fake: FakeMlflow) -> Client:
    """A client of it that waits for nothing."""
    return Client(server_of(fake.url, {}), sleep=lambda _: None)
