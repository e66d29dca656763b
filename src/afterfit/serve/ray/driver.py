"""Drives Ray: starts a cluster or attaches to one, deploys an application there and removes it.

It runs in a process of its own (see ``__main__``), so that nobody's own connection to Ray is in
the way. Sources: the API of Ray Serve 2.60 and its ``serve/_private/constants.py``.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from afterfit.errors import (
    AfterfitError,
    ConflictError,
    DependencyError,
    InternalError,
    ResourceError,
    UnavailableError,
)
from afterfit.runtime.alone import Alone
from afterfit.runtime.supervisor import listen
from afterfit.serve.ray.replica import deployed, packed
from afterfit.serve.ray.settings import FAST, Change, Plan, RaySettings

__all__ = ["Cluster", "Driver", "Node"]

CONTROLLER, NAMESPACE = "SERVE_CONTROLLER_ACTOR", "serve"
STORE_BYTES = 80 << 20
"""The least that Ray takes for its object store: requests do not go through it."""
POLL_SECONDS = 0.1
FAILED = {"DEPLOY_FAILED", "UNHEALTHY"}


class Node(NamedTuple):
    """What a node of the cluster told of itself: the versions there, and its variables."""

    afterfit: str
    flags: dict[str, str]


class Cluster(NamedTuple):
    """Where an application runs: its URL, the address of the cluster, and its nodes.

    ``fast`` tells whether every node has HAProxy and the flags for throughput.
    """

    url: str
    address: str
    nodes: int
    fast: bool


class Driver:
    """One application on one cluster; ``open`` it, ``change`` it, ``close`` it."""

    def __init__(self, settings: RaySettings) -> None:
        self.settings = settings
        self.plan = settings.plan
        self._connected = False
        self._deployed = False
        self._started_serve = False

    def open(self) -> Cluster:
        """Return where it answers, ready; raises what keeps it from that."""
        settings = self.settings
        check(self.plan)
        if not settings.address:
            listen(settings.host, settings.port).close()
        ray = _ray()
        self._connect(ray)
        nodes = self._nodes(ray)
        self._check_processors(ray)
        url = self._start_serve(ray)
        self._deploy()
        address = ray.get_runtime_context().gcs_address
        return Cluster(url, address, len(nodes), all(node.flags == FAST for node in nodes))

    def change(self, change: Change) -> None:
        """Serve another version; the old one serves on where the new one cannot be loaded."""
        plan = self.plan.changed({change.name: change.model})
        check(plan)
        before, self.plan = self.plan, plan
        try:
            self._deploy()
        except AfterfitError:
            self.plan = before
            with suppress(AfterfitError):
                self._deploy()
            raise

    def close(self) -> None:
        """Remove the application, and Serve where it was started here and is empty; disconnect."""
        if not self._connected:
            return
        import ray
        from ray import serve

        with suppress(Exception):
            if self._deployed:
                serve.delete(self.settings.name)
            if self._started_serve and not serve.status().applications:
                serve.shutdown()
        ray.shutdown()
        self._connected = False

    def _connect(self, ray: Any) -> None:
        settings = self.settings
        logs = {"log_to_driver": False, "logging_level": logging.ERROR}
        asked: dict[str, Any] = {"address": settings.address}
        if not settings.address:
            asked = {
                "address": "local",  # never a cluster that happens to run here
                "include_dashboard": False,
                # Room for the new replicas of a change beside the old ones, which answer meanwhile.
                "num_cpus": 2 * math.ceil(settings.replicas * settings.cpus),
                "object_store_memory": STORE_BYTES,
                "_temp_dir": str(Path(settings.scratch) / "r"),
            }
        try:
            ray.init(namespace=f"afterfit-{settings.name}", **asked, **logs)
        except Exception as error:  # noqa: BLE001 - Ray has no error of its own for this
            raise UnavailableError(
                "the cluster cannot be reached" if settings.address else "Ray does not start",
                where=settings.address or "ray.init",
                why=_line(error),
                fix="see whether it runs there (ray status); use the same versions of Ray and of "
                "Python, and a machine that is one of its nodes",
            ) from None
        self._connected = True

    def _nodes(self, ray: Any) -> list[Node]:
        """Return what each node told; raises DependencyError for one without Afterfit."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        looks = []
        for node in ray.nodes():
            if node["Alive"]:
                here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task = ray.remote(_look()).options(num_cpus=0, scheduling_strategy=here)
                looks.append((node["NodeManagerAddress"], task.remote(tuple(FAST))))
        found = []
        for address, look in looks:
            node = Node(*ray.get(look, timeout=self.settings.start_seconds))
            found.append(node)
            if not node.afterfit:
                raise DependencyError(
                    "a node of the cluster has no Afterfit",
                    where=address,
                    why="its replicas load and answer with it",
                    fix="on every node: pip install 'afterfit[ray]'",
                )
        return found

    def _check_processors(self, ray: Any) -> None:
        wanted = self.settings.replicas * self.settings.cpus
        free = ray.available_resources().get("CPU", 0.0)
        fit = int(free / self.settings.cpus)
        if free + 1e-6 < wanted:
            raise ResourceError(
                f"the cluster has {free:g} processors free, and {wanted:g} are asked for",
                where=self.settings.address,
                why="a replica without its processors would wait for them without an end",
                fix=f"--workers {fit}, or add nodes"
                if fit
                else "add nodes, or stop something there",
            )

    def _start_serve(self, ray: Any) -> str:
        """Return the URL of Serve, started where it does not run yet."""
        from ray import serve

        try:
            ray.get_actor(CONTROLLER, namespace=NAMESPACE)
        except ValueError:
            self._started_serve = True
        settings = self.settings
        if self._started_serve:
            http = {"host": settings.host, "port": settings.port}
            serve.start(proxy_location="HeadOnly", http_options=http)
        else:
            serve.start()  # connects; it keeps the address that it has
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        if settings.name in serve.status().applications:
            raise ConflictError(
                f"the cluster has an application {settings.name!r} already",
                where=settings.address,
                why="it would be replaced, and somebody else may have put it there",
                fix=f"ends it: serve.delete({settings.name!r}) in Python, connected to the cluster",
            )
        from ray.serve.context import _get_global_client

        return str(_get_global_client().root_url)

    def _deploy(self) -> None:
        """Deploy the plan and wait until it answers; raises what keeps it from that."""
        from ray import serve
        from ray.serve.api import RunTarget, run_many

        settings = self.settings
        made = deployed(self.plan, self._sent(), **_options(settings))
        target = RunTarget(target=made, name=settings.name, route_prefix="/")
        try:
            run_many([target], wait_for_applications_running=False)
        except Exception as error:  # noqa: BLE001 - as above
            raise _refused(error, settings) from None
        self._deployed = True
        until = time.monotonic() + settings.start_seconds
        while (seen := serve.status().applications[settings.name]).status != "RUNNING":
            if seen.status in FAILED or time.monotonic() > until:
                raise UnavailableError(
                    f"the application is {seen.status} and does not answer",
                    where=settings.address or settings.name,
                    why=_line(seen.message or _message(seen)),
                    fix="look at the logs of its replicas; serve fewer: --workers 1",
                )
            time.sleep(POLL_SECONDS)

    def _sent(self) -> dict[str, Any]:
        """Return the files of each bundle as an object of the cluster; none to one started here."""
        if not self.settings.address:
            return {}
        import ray

        return {
            digest: ray.put(packed(Path(folder))) for digest, folder in self.plan.folders.items()
        }


def check(plan: Plan) -> None:
    """Load what replicas will load, and let go of it: its errors tell more here than there."""
    from msgspec.structs import replace

    quiet = replace(plan.worker, events="", counts="")
    Alone(quiet, plan.endpoint, plan.folders, "check").close()


def _options(settings: RaySettings) -> dict[str, Any]:
    worker = settings.plan.worker
    health = {"health_check_timeout_s": worker.hang_seconds} if worker.hang_seconds else {}
    return {
        "num_replicas": settings.replicas,
        "max_ongoing_requests": settings.concurrency,
        "max_surge_percent": 100,  # the old replicas answer until new ones do
        "ray_actor_options": {"num_cpus": settings.cpus},
        "graceful_shutdown_timeout_s": worker.grace_seconds,
        "graceful_shutdown_wait_loop_s": 0.1,
        **health,
    }


def _look() -> Callable[[tuple[str, ...]], tuple[str, dict[str, str]]]:
    """Return a function that a node runs without having this module: it goes there as code."""

    def look(names: tuple[str, ...]) -> tuple[str, dict[str, str]]:
        import os
        from importlib.util import find_spec

        there = find_spec("afterfit") is not None
        return str(there or ""), {name: os.environ.get(name, "") for name in names}

    return look


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise DependencyError(
            f"Ray cannot be loaded: {error}",
            where="--engine ray",
            why="it is an extra, so that servers stay small",
            fix="pip install 'afterfit[ray]'",
        ) from None
    return ray


def _refused(error: Exception, settings: RaySettings) -> AfterfitError:
    if "prefix" in str(error).lower():
        return ConflictError(
            "another application of the cluster answers at /",
            where=settings.address,
            why=_line(error),
            fix="delete it; or edit route_prefix of: afterfit package NAME@champion --for ray",
        )
    return InternalError("Ray Serve takes no such application", why=_line(error))


def _message(seen: Any) -> str:
    return " ".join(each.message for each in seen.deployments.values())


def _line(error: object) -> str:
    """Return an error of Ray on one line, without colours and the trace before its last message."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    last = re.split(r"\w+(?:Error|Exception): ", text)[-1]
    return last if len(last) <= 400 else f"{last[:400]}…"
