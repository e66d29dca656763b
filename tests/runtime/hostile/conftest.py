"""A server that gives up on slow clients soon, for tests of what clients do to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.runtime.bundles import people_bundle
from tests.runtime.hostile.hosting import Hosted, hosted
from tests.runtime.waiting import until

from afterfit.runtime.decode import Limits
from afterfit.runtime.messages import HttpLimits
from afterfit.runtime.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = HttpLimits(
    body_bytes=200_000, request_seconds=2.0, idle_seconds=3.0, write_seconds=2.0, connections=600
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    """A server that gives up on slow clients after 2 s."""

    def change(worker: WorkerSettings) -> WorkerSettings:
        return msgspec.structs.replace(worker, http=LIMITS)

    folder = tmp_path_factory.mktemp("protocol")
    limits = Limits(body_bytes=LIMITS.body_bytes)
    with hosted(folder, {"churn": people_bundle}, change=change, limits=limits) as found:
        yield found


@pytest.fixture
def nothing_is_left(server: Hosted) -> Iterator[None]:
    """After each test the connections are gone, the worker is the same, and the log is clean."""
    pids = server.workers()
    yield
    with server.handle.client() as client:
        # The one that asks is there itself.
        until(lambda: server.gauge("afterfit_connections", client) == 1, 15)
    assert server.workers() == pids
    assert {line["event"] for line in server.lines()} <= {"ready", "request"}
