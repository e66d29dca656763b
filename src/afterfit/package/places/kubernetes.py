"""The destination ``kubernetes``: a Kustomize base, and an overlay for each way to run a fleet."""

from __future__ import annotations

from pathlib import Path

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.package.config import PackageConfig
from afterfit.package.places.told import KEYS, arguments, prepared, write_files
from afterfit.package.wheel import write_wheel

BESIDE_MIB = 256
"""For the process that follows the alias: 128 MB were seen with a workspace in PostgreSQL and blobs
on disk (2026-11-27); the rest is for the client of an object store, which was not measured."""
FIRST_S = 30
"""To open a workspace and fetch the first version: such a server was ready in 2.1 s, on a
busy machine; the rest is for an object store far away, which was not measured."""
OF_RUNTIME = "--admission-rps"
"""An option that ``afterfit serve`` has in its configuration only."""


class Destination:
    """Writes ``base``, ``overlays``, ``following``, README.md and the folder ``image``."""

    def write(
        self, bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
    ) -> list[Finding]:
        """Return what was seen; raises UsageError and what making the image raises."""
        told, findings = prepared(bundle, folder, config, progress)
        words = arguments(config, keys=KEYS)
        following = [each for each in words if not each.word.startswith(OF_RUNTIME)]
        fleet = {"arguments": words, "following": following, "under": _under(config),
                 "beside": BESIDE_MIB, "first": FIRST_S}  # fmt: skip
        write_files("kubernetes", folder, {**told, **fleet})
        wheels = folder / "following" / "wheels"
        wheels.mkdir()
        write_wheel(wheels)
        return findings


def _under(config: PackageConfig) -> str:
    """Return the base of the image that follows: a builder takes none from a folder."""
    if config.base.startswith("oci:"):
        return f"python:{config.python}-slim-bookworm"
    return config.base
