"""The destination ``vertex``: request bodies of the Vertex AI API, and gcloud lines of the same.

Sources: the API's v1 messages (UploadModelRequest, Endpoint, DeployModelRequest), and of the guide:
custom container requirements, deploying a model to an endpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.package.config import PackageConfig
from afterfit.package.places.machines import (
    Machine,
    image_parts,
    settings,
    smallest,
    write_json,
)
from afterfit.package.places.told import prepared, write_files

PLACE = "Vertex AI"
ARTIFACT_REGISTRY = (
    r"(?P<region>[a-z]+-[a-z]+\d+)-docker\.pkg\.dev/(?P<project>[a-z][a-z0-9:.-]*[a-z0-9])/"
    r"(?P<repository>[a-z][a-z0-9-]*)/[a-z0-9._/-]+"
)
EXAMPLE = "europe-west1-docker.pkg.dev/PROJECT/models/churn"
PREDICT, HEALTH = "/vertex", "/ping"
CPU_METRIC = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
MOST_START_S = 3600
MACHINES = (
    *(Machine(f"e2-standard-{cpus}", cpus, 4 * cpus) for cpus in (2, 4, 8, 16, 32)),
    *(Machine(f"e2-highmem-{cpus}", cpus, 8 * cpus) for cpus in (2, 4, 8, 16)),
    *(Machine(f"n2-standard-{cpus}", cpus, 4 * cpus) for cpus in (48, 64, 80)),
)
WITH_GPU = tuple(Machine(f"g2-standard-{cpus}", cpus, 4 * cpus, 1, "NVIDIA_L4")
                 for cpus in (4, 8, 12, 16, 32))  # fmt: skip


class Destination:
    """Writes three request bodies, three scripts of gcloud lines, README.md and the image."""

    def write(
        self, bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
    ) -> list[Finding]:
        """Return what was seen; raises UsageError and what making the image raises."""
        parts = image_parts(config, ARTIFACT_REGISTRY, EXAMPLE, PLACE)
        machines = WITH_GPU if config.accelerator == "cuda" else MACHINES
        machine, why = smallest(machines, config.sizes, PLACE)
        told, findings = prepared(bundle, folder, config, progress)
        version = f"v{config.number}" if config.number else f"v{bundle.digest[:12]}"
        environ = {"AFTERFIT_PLATFORM": "vertex"}
        measured = settings(config.sizes)
        environ |= {name: f"{each.value:g}" for name, each in measured.items()}
        model = f"projects/{parts['project']}/locations/{parts['region']}/models/{told['name']}"
        bodies = {
            "model.json": _upload(told, config, version, environ),
            "endpoint.json": {"displayName": told["name"]},
            "deployment.json": _deployment(f"{model}@{version}", told, machine, config, version),
        }
        for name, body in bodies.items():
            write_json(folder / name, body)
        write_files("vertex", folder, {
            **told, **parts, "machine": machine, "machine_why": why, "version": version,
            "resource": model, "predict": PREDICT, "ready": HEALTH, "environment": measured,
            "instances": told["rows"].replace('{"rows":', '{"instances":', 1),
            "variables": ",".join(f"{name}={value}" for name, value in environ.items()),
        })  # fmt: skip
        return findings


def _upload(
    told: dict[str, Any], config: PackageConfig, version: str, environ: dict[str, str]
) -> dict[str, Any]:
    """Return the body of UploadModel; the server finds port and paths in AIP_ variables."""
    probe = {"periodSeconds": 5, "timeoutSeconds": 2}
    tries = -(-min(MOST_START_S, config.sizes.start.whole) // 5)
    return {
        "modelId": told["name"],
        "model": {
            "displayName": told["name"],
            "versionAliases": [version],
            "versionDescription": f"bundle sha256:{told['digest']}",
            "containerSpec": {
                "imageUri": told["image"].reference,
                "predictRoute": PREDICT,
                "healthRoute": HEALTH,
                "ports": [{"containerPort": config.port}],
                "env": [{"name": name, "value": value} for name, value in environ.items()],
                "startupProbe": {
                    "httpGet": {"path": HEALTH, "port": config.port},
                    **probe,
                    "failureThreshold": tries,
                },
                "healthProbe": {"httpGet": {"path": HEALTH, "port": config.port}, **probe},
            },
        },
    }


def _deployment(
    model: str, told: dict[str, Any], machine: Machine, config: PackageConfig, version: str
) -> dict[str, Any]:
    """Return the body of DeployModel, with all traffic to this version."""
    sizes = config.sizes.by_cpu
    spec: dict[str, Any] = {"machineType": machine.name}
    if machine.gpus:
        spec |= {"acceleratorType": machine.gpu, "acceleratorCount": machine.gpus}
    return {
        "deployedModel": {
            "model": model,
            "displayName": f"{told['name']}-{version}",
            "dedicatedResources": {
                "machineSpec": spec,
                "minReplicaCount": sizes.least.whole,
                "maxReplicaCount": max(sizes.least.whole, sizes.most.whole),
                "autoscalingMetricSpecs": [
                    {"metricName": CPU_METRIC, "target": sizes.target.whole}
                ],
            },
        },
        "trafficSplit": {"0": 100},
    }
