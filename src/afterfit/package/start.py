"""How the server in an image is started, and what the image says of itself."""

from __future__ import annotations

from collections.abc import Mapping

from afterfit.package.config import PackageConfig

__all__ = ["ENVIRONMENT", "HEALTH", "environment", "labels", "server_words"]

ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}
HEALTH = {"interval_s": 10, "timeout_s": 5, "start_period_s": 30, "retries": 3}


def environment(config: PackageConfig) -> dict[str, str]:
    """Return the variables that an image sets for its server."""
    if config.accelerator == "cpu":
        return dict(ENVIRONMENT)
    # How the container runtime of NVIDIA knows what to hand in; a base made for it says so itself.
    devices = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    return {**ENVIRONMENT, "AFTERFIT_ACCELERATOR": config.accelerator, **devices}


def server_words(digest: str, config: PackageConfig, python: str) -> list[str]:
    """Return the command that serves the bundle ``digest`` at ``/bundle``."""
    model = f"{config.name}@{config.number}" if config.number else config.name
    server = [python, "-m", "afterfit.runtime", "--host", "0.0.0.0"]  # noqa: S104 - inside a container
    # The port is no option here: a platform's, or whoever sets PORT, must win over the image's.
    server += ["--name", config.name, "--events", "-", "--bundle", f"{model}=/bundle"]
    # The bundle that was packaged may bring code; one that is put in its place may not.
    return [*server, "--trust", f"sha256:{digest}"]


def labels(digest: str, afterfit: str, config: PackageConfig) -> Mapping[str, str]:
    """Return what an image says of itself, by the names of the OCI specification where it has one.

    Nothing of it depends on when, where or by whom the image was made.
    """
    told = {
        "afterfit.bundle": f"sha256:{digest}",
        "afterfit.version": afterfit,
        "org.opencontainers.image.title": config.name,
        "org.opencontainers.image.version": f"{config.name}@{config.number}"
        if config.number
        else "",
        "org.opencontainers.image.revision": config.git_commit,
        "com.amazonaws.sagemaker.capabilities.accept-bind-to-port": "true",
    }
    return {name: value for name, value in told.items() if value}
