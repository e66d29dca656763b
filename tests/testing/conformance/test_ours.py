"""Afterfit's own server, over real sockets, under the suite that others are measured with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.runtime.bundles import numbers_bundle, people_bundle

from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server
from afterfit.testing import conformance

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


@pytest.mark.parametrize("model", ["people", "numbers"])
def test_our_server_keeps_the_protocol(server: ServerHandle, model: str) -> None:
    """No clause of any level fails, nothing is skipped."""
    report = conformance.run(server.url, model=model)
    failed = {o.check: (o.why, o.sent, o.came) for o in report.failed()}
    assert failed == {}
    assert [o for o in report.outcomes if o.status == "skipped"] == []
    assert "binary_tensor_data" in report.extensions
