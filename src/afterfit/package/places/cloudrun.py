"""The destination ``cloudrun``: a service.yaml for ``gcloud run services replace``.

Sources: cloud.google.com/run/docs/reference/yaml/v1, /configuring/services/cpu and memory-limits,
/reference/container-contract.
"""

from __future__ import annotations

from pathlib import Path

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.package.config import PackageConfig
from afterfit.package.places.told import arguments, prepared, write_files
from afterfit.package.sizes import Sized, Sizes

CPUS = (1, 2, 4, 6, 8)
LEAST_MIB, MOST_MIB = 512, 32 * 1024
MIB_A_CPU = 4096
GRACE = Sized(8.0, "Cloud Run ends an instance 10 s after it has told it to stop")
MOST_CONCURRENCY = 1000


class Destination:
    """Writes service.yaml, README.md and the folder ``image``."""

    def write(
        self, bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
    ) -> list[Finding]:
        """Return what was seen; raises UsageError and what making the image raises."""
        told, findings = prepared(bundle, folder, config, progress)
        cpu, memory = rounded(config.sizes)
        most = config.sizes.concurrency
        write_files("cloudrun", folder, {
            **told, "cpu": cpu, "memory": memory, "arguments": arguments(config, grace=GRACE),
            "concurrency": Sized(min(most.value, MOST_CONCURRENCY), most.why),
        })  # fmt: skip
        return findings


def rounded(sizes: Sizes) -> tuple[Sized, Sized]:
    """Return CPU (processors) and memory (MiB) as Cloud Run takes them: the next that it has."""
    memory = min(MOST_MIB, max(LEAST_MIB, sizes.memory_limit.value))
    wanted = max(sizes.cpu_request.value, memory / MIB_A_CPU)
    cpu = next((each for each in CPUS if each >= wanted), CPUS[-1])
    return (
        Sized(cpu, _why(sizes.cpu_request, cpu, "processors")),
        Sized(memory, _why(sizes.memory_limit, memory, "MiB")),
    )


def _why(asked: Sized, given: float, unit: str) -> str:
    if asked.value == given:
        return asked.why
    return f"{asked.value:g} {unit}, as far as Cloud Run has it: {asked.why}"
