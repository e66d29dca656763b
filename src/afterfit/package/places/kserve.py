"""The destination ``kserve``: an InferenceService with an image of its own."""

from __future__ import annotations

from pathlib import Path

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.package.config import PackageConfig
from afterfit.package.places.told import KEYS, arguments, prepared, write_files


class Destination:
    """Writes inferenceservice.yaml, README.md and the folder ``image``."""

    def write(
        self, bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
    ) -> list[Finding]:
        """Return what was seen; raises UsageError and what making the image raises."""
        told, findings = prepared(bundle, folder, config, progress)
        write_files("kserve", folder, {**told, "arguments": arguments(config, keys=KEYS)})
        return findings
