"""The destination ``ray``: an application for Ray Serve, on a cluster that runs or by KubeRay.

Sources: the Serve config of Ray 2.60 (``ray.serve.schema.ServeDeploySchema``), KubeRay's API
reference of ``ray.io/v1`` (1.7), and its guide to token authentication.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.errors import UsageError
from afterfit.package.config import PackageConfig
from afterfit.package.places.told import KEYS, prepared, write_files
from afterfit.package.sizes import Sized, Sizes

PORT = 8000
"""Where KubeRay expects Serve; its Services lead there."""
NODE_MIB = 640
"""Ray's own processes on a node: 443 MiB of PSS were seen, and 50 MiB that a replica takes beyond a
worker of ours (bench/results/ray.json, 2026-11-27)."""
NODE_CPU = 0.5
HEAD_CPU, HEAD_MIB = 1.0, 2048


@dataclass(frozen=True)
class Plan:
    """What a Ray replica, which is one process, and a node get, from the sizes of a server."""

    least: Sized
    most: Sized
    ongoing: Sized
    target: Sized
    cpus: Sized
    memory: Sized
    admission: Sized
    node_cpus: Sized
    node_memory: Sized
    least_nodes: Sized
    most_nodes: Sized
    head_cpus: Sized
    head_memory: Sized
    gpus: Sized


class Destination:
    """Writes serve-config.yaml, rayservice.yaml, network.yaml, README.md, image and ray-image."""

    def write(
        self, bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
    ) -> list[Finding]:
        """Return what was seen; raises UsageError and what making the image raises."""
        if config.builder == "native":
            raise UsageError(
                "an image with Ray needs a builder",
                where="--builder native",
                why="Ray's packages go on top of the server's image",
                fix="--builder docker, which writes what Docker, Podman and buildah build",
            )
        told, findings = prepared(bundle, folder, config, progress)
        lock = ray_lock()
        write_files("ray", folder, {
            **told, "plan": plan_of(config.sizes), "serve_port": PORT, "ray": ray_version(lock),
            "with_ray": f"{told['image'].reference}-ray",
            "keys_file": "" if config.allow_unauthenticated else KEYS,
        })  # fmt: skip
        (folder / "ray-image" / "ray.lock").write_text(lock, encoding="utf-8", newline="\n")
        return findings


def plan_of(sizes: Sizes) -> Plan:
    """Return the sizes of replicas and nodes.

    A server of several processes is as many replicas on one node; Ray's own processes come on top.
    """
    processes = max(1, sizes.workers.whole)
    scaled = sizes.by_concurrency
    node_cpus = sizes.cpu_request.value + NODE_CPU
    memory = sizes.memory_limit.value
    return Plan(
        least=_times(scaled.least, processes),
        most=_times(Sized(max(scaled.least.value, scaled.most.value), scaled.most.why), processes),
        ongoing=_part(sizes.concurrency, processes),
        target=_share(scaled.target, processes),
        cpus=_share(sizes.cpu_request, processes),
        memory=_part(sizes.memory_limit, processes),
        admission=_share(sizes.admission, processes),
        node_cpus=Sized(
            node_cpus, f"{NODE_CPU:g} for Ray's own processes; {sizes.cpu_request.why}"
        ),
        node_memory=Sized(
            memory + NODE_MIB, f"{NODE_MIB} MiB for Ray's own processes; {sizes.memory_request.why}"
        ),
        least_nodes=Sized(scaled.least.value, f"{processes} replicas on each: {scaled.least.why}"),
        most_nodes=Sized(
            max(scaled.least.value, scaled.most.value), f"likewise: {scaled.most.why}"
        ),
        head_cpus=Sized(HEAD_CPU, "GCS, dashboard and Serve's controller: a usual size"),
        head_memory=Sized(HEAD_MIB, "likewise, with room for what the GCS keeps"),
        gpus=_share(
            Sized(1, "the GPU of a node; Ray hides it from replicas without it"), processes
        ),
    )


def ray_lock() -> str:
    """Return the hash-locked packages of Ray Serve that come on top of a server's."""
    return resources.files("afterfit.package").joinpath("data", "ray.lock").read_text("utf-8")


def ray_version(lock: str) -> str:
    """Return the version of Ray in a lock."""
    return next(
        line.removeprefix("ray==").split()[0]
        for line in lock.splitlines()
        if line.startswith("ray==")
    )


def _times(size: Sized, processes: int) -> Sized:
    if processes == 1:
        return size
    return Sized(size.value * processes, f"{processes} processes each: {size.why}")


def _share(size: Sized, processes: int) -> Sized:
    if processes == 1:
        return size
    return Sized(size.value / processes, f"one of {processes} processes: {size.why}")


def _part(size: Sized, processes: int) -> Sized:
    found = _share(size, processes)
    return Sized(max(1, math.ceil(found.value)), found.why)
