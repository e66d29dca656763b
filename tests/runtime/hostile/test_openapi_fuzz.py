"""The API document and the server that wrote it, by ``schemathesis``: they say the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.runtime.bundles import numbers_bundle, people_bundle
from tests.runtime.hostile.odd import ODD_NAME, odd_bundle

from afterfit.runtime.decode import Limits
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, start_server

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
# A valid request may be refused for what a schema cannot say (arrays of one length), so whether
# it is accepted is not asked here.
CONFIG = """\
seed = 20261123
continue-on-failure = true
[generation]
deterministic = true
max-examples = 8
[checks]
not_a_server_error.expected-statuses = ["2xx", "4xx", "504"]
negative_data_rejection.expected-statuses = ["4xx", "504"]
positive_data_acceptance.enabled = false
[phases]
stateful.enabled = false
"""
SERVERS: dict[str, dict[str, Callable[[Path], str]]] = {
    "one model": {"churn": people_bundle},
    "several models": {"churn": people_bundle, "numbers": numbers_bundle, ODD_NAME: odd_bundle},
}


@pytest.mark.slow
@pytest.mark.parametrize("models", SERVERS)
def test_every_answer_to_generated_requests_is_as_the_document_says(
    models: str, tmp_path: Path
) -> None:
    """No 5xx; status, headers, media type and body as described; what is wrong is refused."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    bundles = {
        name: ServedBundle(1, make(tmp_path / f"{number}"), tmp_path / f"{number}")
        for number, (name, make) in enumerate(SERVERS[models].items())
    }
    limits = Limits(rows=50, string_characters=10_000, body_bytes=100_000)
    events = str(tmp_path / "events")
    settings = ServeConfig(port=0, limits=limits, events=events, access_log="none")
    with start_server(bundles, settings, tmp_path / "state") as handle:
        done = fuzz(f"{handle.url}/openapi.json", config)
        with handle.client() as client:
            assert client.get("/v2/health/ready").status == 200
            workers = handle.admin.workers()
    assert done.returncode == 0, done.stdout[-6000:]
    assert workers["restarts"] == 0


def fuzz(url: str, config: Path) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own, since it changes much that is global."""
    path = os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    return subprocess.run(
        [sys.executable, "-c", program, "--config-file", str(config), "run", url],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": path},
        cwd=config.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=115,
    )
