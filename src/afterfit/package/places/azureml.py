"""The destination ``azureml``: an endpoint and a deployment for ``az ml``.

Sources: the CLI (v2) schemas of managed online endpoints and deployments, and of the guide: custom
containers, roles for endpoints, autoscaling of online endpoints.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.package.config import PackageConfig
from afterfit.package.places.machines import Machine, image_parts, settings, smallest, write_json
from afterfit.package.places.told import prepared, write_files
from afterfit.package.sizes import Sized
from afterfit.runtime.example import example_row

PLACE = "Azure ML"
ACR = r"(?P<registry>[a-z0-9]{5,50})\.azurecr\.(?:io|cn|us)/[a-z0-9][a-z0-9._/-]*"
EXAMPLE = "myregistry.azurecr.io/churn"
LEAST_NAME, MOST_NAME = 3, 32
MOST_TIMEOUT_MS = 180_000
MACHINES = tuple(
    Machine(f"Standard_D{cpus}as_v4", cpus, 4 * cpus) for cpus in (2, 4, 8, 16, 32, 48, 64)
)
WITH_GPU = tuple(
    Machine(f"Standard_NC{cpus}as_T4_v3", cpus, 7 * cpus, 1, "T4") for cpus in (4, 8, 16)
)


class Destination:
    """Writes endpoint.yml, deployment.yml, a role, three scripts, README.md and the image."""

    def write(
        self, bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
    ) -> list[Finding]:
        """Return what was seen; raises UsageError and what making the image raises."""
        parts = image_parts(config, ACR, EXAMPLE, PLACE)
        machines = WITH_GPU if config.accelerator == "cuda" else MACHINES
        machine, why = smallest(machines, config.sizes, PLACE)
        told, findings = prepared(bundle, folder, config, progress)
        version = config.number or bundle.digest[:12]
        endpoint = endpoint_name(told["name"])
        start = config.sizes.start
        write_json(folder / "scorer-role.json", _scorer(endpoint))
        write_json(folder / "request.json", _request(bundle))
        write_files("azureml", folder, {
            **told, **parts, "endpoint": endpoint, "deployment": f"version-{version}",
            "machine": Sized(0, why), "instance": machine.name,
            "environment": settings(config.sizes), "most_timeout_ms": MOST_TIMEOUT_MS,
            "tries": Sized(math.ceil(start.value / 5), f"of 5 s each: {start.why}"),
        })  # fmt: skip
        return findings


def endpoint_name(name: str) -> str:
    """Return a name of 3 to 32 characters; it must be the only one of its region."""
    cut = name[:MOST_NAME].rstrip("-")
    return cut if len(cut) >= LEAST_NAME else f"{cut}-model"


def _request(bundle: Bundle) -> dict[str, Any]:
    """Return one row that is made up, as Azure's own deployments take rows."""
    row = example_row(bundle.signature)
    split = {"columns": list(row), "index": [0], "data": [list(row.values())]}
    return {"input_data": split}


def _scorer(endpoint: str) -> dict[str, Any]:
    """Return a role that may call endpoints and nothing else."""
    return {
        "Name": f"Caller of {endpoint}",
        "Description": "May ask an online endpoint for predictions",
        "Actions": ["Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action"],
        "NotActions": [],
        "AssignableScopes": ["/subscriptions/SUBSCRIPTION"],
    }
