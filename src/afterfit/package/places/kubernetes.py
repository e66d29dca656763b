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
"""For the process that follows the alias: 115 MB were seen with a workspace on disk (2026-11-27);
the rest is for the clients of a database and an object store, which were not measured."""
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
        fleet = {"arguments": words, "following": following, "beside": BESIDE_MIB}
        write_files("kubernetes", folder, {**told, **fleet})
        wheels = folder / "following" / "wheels"
        wheels.mkdir()
        write_wheel(wheels)
        return findings
