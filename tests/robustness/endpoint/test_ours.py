"""Afterfit's own server, over real sockets, under the suite: every must holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.runtime.bundles import numbers_bundle, people_bundle

from afterfit.robustness.endpoint.config import EndpointConfig
from afterfit.robustness.endpoint.run import robustness_endpoint
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHandle]:
    """A server of a model of columns and one of a matrix."""
    folder = tmp_path_factory.mktemp("server")
    bundles = {
        "people": ServedBundle(3, people_bundle(folder / "people"), folder / "people"),
        "numbers": ServedBundle(1, numbers_bundle(folder / "numbers"), folder / "numbers"),
    }
    config = ServeConfig(port=0, events=str(folder / "events"))
    with start_server(bundles, config, folder / "state") as handle:
        yield handle


@pytest.mark.parametrize(
    ("asked", "protocol", "route"),
    [
        ({"model": "people"}, "Open Inference Protocol v2", "/v2/models/people/infer"),
        ({"model": "numbers"}, "Open Inference Protocol v2", "/v2/models/numbers/infer"),
        ({"route": "/predict/people"}, "JSON", "/predict/people"),
    ],
)
def test_our_server_stands_it(
    server: ServerHandle, asked: dict[str, Any], protocol: str, route: str
) -> None:
    """No clause of any level fails, nothing is skipped, and its memory was watched."""
    record = robustness_endpoint(server.url, EndpointConfig(**asked))
    assert {case.check: case for case in record.failed()} == {}
    assert [case for case in record.cases if case.status == "skipped"] == []
    assert (record.protocol, record.route, record.ending) == (protocol, route, "finished")
    assert record.growth_bytes is not None
    assert record.growth_bytes < 384 << 20
