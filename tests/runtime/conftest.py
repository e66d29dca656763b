"""What the tests of the runtime share: the bundle helpers by import, and one running server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Found by path (--import-mode=importlib), so the folder above `tests` is named here.
_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)

from tests.runtime.bundles import numbers_bundle, people_bundle  # noqa: E402

from afterfit.runtime.decode import Limits  # noqa: E402 - after the path is set
from afterfit.serve.config import ServeConfig  # noqa: E402
from afterfit.serve.run import ServedBundle, ServerHandle, start_server  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHandle]:
    """A server of two models, ``churn`` (people) and ``numbers``; 50 rows, 100 kB a request."""
    folder = tmp_path_factory.mktemp("server")
    churn = people_bundle(folder / "churn")
    numbers = numbers_bundle(folder / "numbers")
    config = ServeConfig(
        port=0,
        events=str(folder / "events"),
        limits=Limits(rows=50, string_characters=10_000, body_bytes=100_000),
    )
    bundles = {
        "churn": ServedBundle(3, churn, folder / "churn"),
        "numbers": ServedBundle(1, numbers, folder / "numbers"),
    }
    with start_server(bundles, config, folder / "state") as handle:
        yield handle
