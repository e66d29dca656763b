"""What a destination is, and how one is found."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import Progress
from afterfit.errors import UsageError
from afterfit.package.config import PackageConfig

GROUP = "afterfit.destinations"


class DestinationWriter(Protocol):
    """A place that a bundle can be packaged for; a class of one is named by an entry point."""

    def write(self, bundle: Bundle, folder: Path, config: PackageConfig) -> list[Finding]:
        """Return what was seen while everything the place needs was written into ``folder``.

        The folder is empty, and the bundle's bytes have been checked. The same bundle and config
        must give the same files. A writer that takes long may take a fourth argument, ``progress``
        (a `Progress`), and tell there what it is at.
        """
        ...


def write_for(
    writer: DestinationWriter,
    bundle: Bundle,
    folder: Path,
    config: PackageConfig,
    progress: Progress,
) -> list[Finding]:
    """Return what a writer saw; it is handed ``progress`` where it takes one."""
    takes = inspect.signature(writer.write).parameters
    told = {"progress": progress} if "progress" in takes else {}
    return writer.write(bundle, folder, config, **told)


def destinations() -> tuple[str, ...]:
    """Return the names that ``--for`` takes, sorted."""
    return tuple(sorted({each.name for each in entry_points(group=GROUP)}))


def open_destination(name: str) -> DestinationWriter:
    """Return the destination called ``name``; raises UsageError that lists what there is."""
    for each in entry_points(group=GROUP):
        if each.name == name:
            writer: DestinationWriter = each.load()()
            return writer
    raise UsageError(
        f"no destination is called {name!r}",
        why=f"there are: {', '.join(destinations()) or 'none, as Afterfit is not installed'}",
        fix="afterfit package MODEL --for dockerfile",
    )
