"""The sink that an address means, by its scheme.

``-`` is standard output, an address without ``scheme://`` a folder. Others register a function
``(address, worker) -> EventSink`` as an entry point of the group ``afterfit.sinks``, its name the
scheme; the ones here are registered in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from afterfit.errors import DependencyError, UsageError
from afterfit.runtime.sinks.base import EventSink

__all__ = ["folder_of", "open_sink"]

GROUP = "afterfit.sinks"
_HERE = "afterfit.runtime.sinks"
_STORES = ("s3", "gs", "gcs", "az", "abfs", "abfss", "memory", "local")
# Works without installed metadata, as in a source tree.
BUILT_IN = {
    "file": f"{_HERE}.segments:open_folder",
    "stdout": f"{_HERE}.stdout:open_stdout",
    **dict.fromkeys(_STORES, f"{_HERE}.object_store:open_object_store"),
    **dict.fromkeys(("postgresql", "postgres"), f"{_HERE}.postgres:open_postgres"),
}
Opener = Callable[[str, str], EventSink]


def open_sink(address: str, worker: str) -> EventSink:
    """Return the sink of an address; raises UsageError or DependencyError.

    Nothing is connected to yet: what is away when a server starts may come back.
    """
    return _opener(scheme_of(address))(address, worker)


def folder_of(address: str) -> Path | None:
    """Return the folder that an address means, which can hold live counts too; else None."""
    if not address or scheme_of(address) != "file":
        return None
    return Path(address.removeprefix("file://"))


def scheme_of(address: str) -> str:
    """Return ``stdout`` for ``-``, ``file`` for a path, else what stands before ``://``."""
    if address == "-":
        return "stdout"
    scheme, separator, _ = address.partition("://")
    return scheme.lower() if separator else "file"


def _opener(scheme: str) -> Opener:
    for point in entry_points(group=GROUP, name=scheme):
        found: Opener = point.load()
        return found
    module, _, name = BUILT_IN.get(scheme, "").partition(":")
    if not module:
        known = sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})
        raise UsageError(
            f"events cannot go to {scheme}://",
            where="events",
            why=f"the schemes are {', '.join(known)}",
            fix="give a folder, - for standard output, or an address such as s3://bucket/events",
        )
    built_in: Opener = getattr(import_module(module), name)
    return built_in


def needs(module: str, extra: str, address: str) -> Any:
    """Return an optional module; raises DependencyError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"events to {scheme_of(address)}:// need the package {module}",
            why=str(error),
            fix=f"pip install 'afterfit[{extra}]'",
        ) from None
