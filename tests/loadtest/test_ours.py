"""Our own server under load: its answers are compared, whatever it batches together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.runtime.bundles import numbers_bundle, people, people_bundle, people_signature

from afterfit.core.dataset import Dataset
from afterfit.loadtest.arrivals import Closed, Poisson
from afterfit.loadtest.generator import Generator
from afterfit.loadtest.target import Ask, target_of
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Dataset(frame=people())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHandle]:
    """A server of a model of columns and one of a matrix."""
    folder = tmp_path_factory.mktemp("server")
    bundles = {
        "people": ServedBundle(3, people_bundle(folder / "people"), folder / "people"),
        "numbers": ServedBundle(1, numbers_bundle(folder / "numbers"), folder / "numbers"),
    }
    config = ServeConfig(port=0, workers=1, events=str(folder / "events"))
    with start_server(bundles, config, folder / "state") as handle:
        yield handle


@pytest.mark.parametrize(
    ("ask", "known"),
    [
        (Ask(route="/predict/people", distinct=40), True),
        (Ask(route="/predict/people", rows=7, distinct=20), True),
        (Ask(model="people", rows=3, distinct=20), False),
        (Ask(model="people", rows=3, distinct=20, binary=True), False),
        (Ask(model="numbers", distinct=20, binary=True), False),
    ],
)
def test_every_answer_under_load_is_the_quiet_one(
    server: ServerHandle, ask: Ask, *, known: bool
) -> None:
    """By all routes: none is wrong, none unchecked, and none differs in more than its ids."""
    data = DATA if ask.model != "numbers" else None
    target = target_of(server.url, ask, data=data, signature=people_signature() if known else None)
    assert target.notes == ()
    assert len(target.expected) == len(target.requests) == ask.distinct
    with Generator(target, pid=server.pid) as generator:
        for arrivals in (Poisson(300), Closed(16, requests=150)):
            shot = generator.fire(arrivals, 0.3, 1)
            assert shot.good.all(), shot.first_error
            assert shot.seen["unchecked"] == 0
