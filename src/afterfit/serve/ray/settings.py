"""What the process that drives Ray is told, and the variables that its cluster runs under."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from afterfit.core.proof import Proven
from afterfit.runtime.endpoint import Endpoint, ModelRoute
from afterfit.runtime.settings import WorkerSettings

__all__ = ["FAST", "MARK", "Change", "Model", "Plan", "RaySettings"]

MARK = "AFTERFIT_RAY_RUN"
"""The variable by whose value every process of one run is known, whoever started it."""
FAST = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""HAProxy in the place of Ray's own proxy, and replicas that it reaches without a hop."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One version: its bundle folder on this machine, and what its variant was proven on."""

    digest: str
    version: int
    folder: str
    proven: Proven | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What every replica serves: ``models`` by their names, each as ``worker`` says."""

    models: dict[str, Model]
    worker: WorkerSettings = WorkerSettings()

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint document of a replica."""
        return Endpoint(
            name=self.worker.endpoint,
            generation=1,
            models={
                name: ModelRoute(primary=each.digest, versions={each.digest: each.version})
                for name, each in self.models.items()
            },
        )

    @property
    def folders(self) -> dict[str, str]:
        """The bundle folder of each digest."""
        return {each.digest: each.folder for each in self.models.values()}

    def changed(self, models: Mapping[str, Model]) -> Plan:
        """Return the plan with other versions under some of the names."""
        return msgspec.structs.replace(self, models={**self.models, **models})


class RaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """A Serve application of Ray, called ``name``.

    ``address`` is the GCS of a running cluster, ``HOST:PORT``, or empty to start one. ``replicas``
    get ``cpus`` processors each, may be spread over nodes, and take ``concurrency`` requests at a
    time. ``scratch`` is a folder for what Ray writes, ``port`` where HTTP is answered.
    """

    name: str
    plan: Plan
    scratch: str
    host: str = "127.0.0.1"
    port: int = 8080
    address: str = ""
    replicas: int = 1
    cpus: float = 1.0
    concurrency: int = 2048
    start_seconds: float = 180.0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A line of standard input: serve this version under the name from now on."""

    name: str
    model: Model
