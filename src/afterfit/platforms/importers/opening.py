"""The importer that a file means, told by its beginning or by name.

Others register a class of `Importer` as an entry point of the group ``afterfit.importers``, its
name that of the format; the ones here are registered in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from afterfit.errors import InputError, NotFoundError, UsageError
from afterfit.platforms.importers.base import Head, Imported, Importer, PriceFile
from afterfit.platforms.importers.stream import HEAD, opened_text

__all__ = ["formats", "import_file", "open_importer"]

GROUP = "afterfit.importers"
_HERE = "afterfit.platforms.importers"
# Works without installed metadata, as in a source tree.
BUILT_IN = {
    "aws": f"{_HERE}.aws_json:Format",
    "aws-csv": f"{_HERE}.aws_csv:Format",
    "aws-savings": f"{_HERE}.aws_savings:Format",
    "aws-savings-csv": f"{_HERE}.aws_savings:Csv",
    "azure": f"{_HERE}.azure:Format",
    "gcp": f"{_HERE}.gcp:Format",
    "gpuhunt": f"{_HERE}.gpuhunt:Format",
    "own": f"{_HERE}.own:Format",
    "skypilot": f"{_HERE}.skypilot:Format",
}


@cache
def _others() -> dict[str, EntryPoint]:
    """Return the formats that others registered; looking takes some milliseconds."""
    return {each.name: each for each in entry_points(group=GROUP) if each.name not in BUILT_IN}


def formats() -> tuple[str, ...]:
    """Return the names that ``--format`` takes: the ones here, then those of others."""
    return (*BUILT_IN, *sorted(_others()))


def open_importer(name: str) -> Importer:
    """Return the importer of a format; raises UsageError that lists what there is."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        built_in: Callable[[], Importer] = getattr(import_module(module), attribute)
        return built_in()
    if name in _others():
        other: Callable[[], Importer] = _others()[name].load()
        return other()
    raise UsageError(
        f"no format is called {name!r}", where="--format",
        why=f"there are {', '.join(formats())}", fix="leave --format out: files are looked at",
    )  # fmt: skip


def import_file(file: PriceFile, format_: str = "") -> Imported:
    """Return what a file holds; raises InputError, UsageError or NotFoundError."""
    if not file.path.is_file():
        raise NotFoundError("no such file", where=file.where, fix="look at the path")
    head = _head(file.path)
    if not head.text.strip():
        raise InputError(f"{file.path.name} is empty", where=file.where, fix="download it again")
    name = format_ or _told_by(head)
    return open_importer(name).read(file)


def _head(path: Path) -> Head:
    with opened_text(path) as stream:
        return Head(path, stream.read(HEAD))


def _told_by(head: Head) -> str:
    for name in formats():
        if open_importer(name).sniff(head):
            return name
    raise InputError(
        f"the format of {head.path.name} is not known",
        where=str(head.path),
        why=f"it begins as none of {', '.join(formats())} does: {head.first_line[:60]!r}",
        fix="give --format, or see docs/how-to/own-prices.md",
    )
