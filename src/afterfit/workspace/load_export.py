"""A load test that another tool shall make: the same requests and rates, as its script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from afterfit.core.bundle import Bundle
from afterfit.core.dataset import Dataset
from afterfit.errors import UsageError
from afterfit.loadtest.arrivals import Closed, Poisson
from afterfit.loadtest.bodies import request_bodies
from afterfit.loadtest.config import LoadConfig
from afterfit.loadtest.exports.k6 import k6_files
from afterfit.loadtest.exports.locust import locust_files
from afterfit.loadtest.exports.scenario import Call, Scenario, calls_of
from afterfit.loadtest.generator import Means
from afterfit.loadtest.schedule import arrivals_of
from afterfit.loadtest.shot import Arrivals
from afterfit.loadtest.target import PREDICT, Ask, target_of
from afterfit.store.files import write_bytes
from afterfit.workspace.loading import Elsewhere, bundle_of, rows_of

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["Script", "Tool", "export_loadtest"]

Tool = Literal["k6", "locust"]
WRITERS: dict[Tool, Callable[[Scenario], dict[str, bytes]]] = {
    "k6": k6_files,
    "locust": locust_files,
}
BASE = "http://127.0.0.1:8080"
"""Where `afterfit serve` listens by default; BASE_URL of the environment names another place."""


class Script(NamedTuple):
    """Whose script is written, and into which folder."""

    tool: Tool
    folder: Path


def export_loadtest(
    space: Workspace,
    endpoint: str,
    script: Script,
    config: LoadConfig,
    *,
    ask: Ask,
    means: Means,
    data: Dataset | None = None,
    elsewhere: Elsewhere | None = None,
) -> list[Path]:
    """Return the files that were written; nothing is fired.

    A URL is asked what it takes, a version is not served. Rows of the data are in the files; the
    values of headers are not. Raises UsageError where it is not said which rate is sent.
    """
    elsewhere = elsewhere or Elsewhere()
    schedule = _schedule(config)
    secrets = tuple(name for name, _ in elsewhere.headers) or ("authorization",)
    base, route, calls = _requests(space, endpoint, ask, data, elsewhere)
    scenario = Scenario(
        base=base,
        route=route,
        calls=calls,
        schedule=schedule,
        seconds=config.seconds,
        slo=config.slo,
        timeout_s=means.timeout_s,
        connections=means.connections,
        secret_headers=secrets,
    )
    made = WRITERS[script.tool](scenario)
    for name, content in made.items():
        write_bytes(script.folder / name, content)
    return [script.folder / name for name in made]


def _schedule(config: LoadConfig) -> Arrivals | Closed:
    if config.schedule:
        return arrivals_of(config.schedule)
    if config.at_rps:
        return Poisson(config.at_rps)
    raise UsageError(
        "a script needs a rate: k6 and Locust search none",
        where="--export",
        fix="--schedule poisson:100 --seconds 60",
    )


def _requests(
    space: Workspace, endpoint: str, ask: Ask, data: Dataset | None, elsewhere: Elsewhere
) -> tuple[str, str, tuple[Call, ...]]:
    """Return the address without the route, the route, and the requests."""
    if "://" in endpoint:
        target = target_of(
            endpoint,
            ask,
            data=data,
            headers=elsewhere.headers,
            allow_remote=elsewhere.allow_remote,
        )
        return target.url.removesuffix(target.route), target.route, calls_of(target)
    bundle = Bundle(bundle_of(space, endpoint).served.folder)
    rows = data if data is not None else rows_of(bundle, ask.seed)
    bodies = request_bodies(rows, bundle.signature, ask.seed, rows=ask.rows, most=ask.distinct)
    headers = {"Content-Type": "application/json"}
    return BASE, ask.route or PREDICT, tuple(Call(headers, body) for body in bodies)
