"""What probes measured of a version: read once, kept, and known to every later choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from afterfit.core.digest import sha256_bytes, short
from afterfit.core.slo import slo_of
from afterfit.platforms.probe.results import found_in, read_result, read_results
from afterfit.platforms.shapes import Measured
from afterfit.store.files import read_bytes, write_bytes

if TYPE_CHECKING:
    from afterfit.registry.version import Version
    from afterfit.workspace.space import Workspace

__all__ = ["probes_of"]

FOLDER = "probes"


def probes_of(
    space: Workspace, version: Version, paths: Iterable[Path] = (), slo: str = ""
) -> tuple[Measured, ...]:
    """Return what probes measured of a version: those that were read before, and those at paths.

    What is read is kept in the workspace, so that later choices have it. Raises NotFoundError or
    InputError for what is no result of this version and objective; nothing is kept then. What a
    probe noted is in the warnings of the workspace.
    """
    kept = space.folder / FOLDER / version.digest
    files = [file for path in paths for file in found_in(path)]
    read_results(files, version.digest, slo)
    for file in files:
        content = read_bytes(file)
        write_bytes(kept / f"probe-result-{short(sha256_bytes(content))}.json", content)
    found = sorted(kept.glob("probe-result-*.json")) if kept.is_dir() else []
    newest = _newest(found, slo)
    for file in newest:
        result = read_result(file)
        name = result.measured.machine or result.cpu
        space.warnings += [f"the probe on {name}: {note}" for note in result.notes]
    return read_results(newest, version.digest, slo)


def _newest(files: Sequence[Path], slo: str) -> list[Path]:
    """Return the newest result of each machine at the objective; of unnamed ones all."""
    by_machine: dict[str, tuple[str, Path]] = {}
    for file in files:
        result = read_result(file)
        if not slo or slo_of(result.slo) == slo_of(slo):
            name = result.measured.machine or file.name
            by_machine[name] = max(by_machine.get(name, ("", file)), (result.date, file))
    return [file for _, file in by_machine.values()]
