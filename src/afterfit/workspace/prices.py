"""Price lists that were imported into a workspace: kept by digest, listed, forgotten, merged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from afterfit.core.digest import canonical_json
from afterfit.core.shell import shell_word
from afterfit.errors import IntegrityError, NotFoundError, UsageError
from afterfit.platforms.catalog import Catalog, builtin
from afterfit.platforms.importers import Imported, Priced, PriceFile, import_file
from afterfit.platforms.importers.discounts import discounted
from afterfit.platforms.shapes import Machine
from afterfit.store.files import is_temporary, os_errors, read_bytes, write_bytes

if TYPE_CHECKING:
    from afterfit.workspace.folder import WorkspaceFolder

__all__ = [
    "Merged", "PriceList", "age_days", "forget_prices", "import_prices", "imported", "price_lists",
]  # fmt: skip

SCHEMA = 1
FOLDER = "prices"


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """One imported file as the workspace keeps it.

    ``name`` has the format and the digest of the file, ``file`` is what it was called, and
    ``imported_at`` when that was (UTC, ISO 8601).
    """

    name: str
    file: str
    imported_at: str
    imported: Imported
    schema: int = SCHEMA

    @property
    def date(self) -> str:
        """The file's own date, empty where it has none."""
        return next((source.date for source in self.imported.sources.values()), "")


def import_prices(
    space: WorkspaceFolder,
    paths: Sequence[Path],
    *,
    format_: str = "",
    provider: str = "",
    regions: Sequence[str] = (),
    known: Sequence[Machine] | None = None,
) -> list[PriceList]:
    """Return what files hold after keeping it.

    ``known`` machines give sizes to Google's prices; those of the catalog without them.

    All files are read before any is kept, so that a bad one changes nothing. The same file again
    takes the place of itself. Raises InputError, UsageError or NotFoundError.
    """
    if not paths:
        raise UsageError("no file to import", fix="afterfit platforms import prices.csv")
    known = builtin().machines if known is None else known
    lists = []
    space.progress.step("import", len(paths))
    for path in paths:
        file = PriceFile(path, provider=provider, regions=frozenset(regions), known=known)
        lists.append(_list_of(path, import_file(file, format_)))
        space.progress.advance()
    for each in lists:
        write_bytes(_path(space, each.name), canonical_json(each))
    return lists


def _list_of(path: Path, found: Imported) -> PriceList:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    name = next(iter(found.sources))
    return PriceList(name=name, file=path.name, imported_at=now, imported=found)


def price_lists(space: WorkspaceFolder) -> list[PriceList]:
    """Return the lists, the oldest first and own sheets last: of two prices the later counts.

    Raises IntegrityError for one that cannot be read.
    """
    paths = sorted((space.folder / FOLDER).glob("*.json"))
    found = [_read(path) for path in paths if not is_temporary(path)]
    return sorted(
        found, key=lambda each: (bool(each.imported.discounts), each.date, each.imported_at)
    )


def forget_prices(space: WorkspaceFolder, name: str) -> PriceList:
    """Return a list after removing it; ``name`` may be its beginning, or the file's name."""
    lists = price_lists(space)
    matching = [each for each in lists if name and name in (each.name, each.file)]
    matching = matching or [each for each in lists if name and each.name.startswith(name)]
    if len(matching) != 1:
        what = "no" if not matching else f"{len(matching)}"
        raise (UsageError if matching else NotFoundError)(
            f"{what} imported prices are called {name!r}", where=str(space.folder / FOLDER),
            why=f"there are {', '.join(each.name for each in lists) or 'none'}",
            fix="afterfit platforms prices   # lists their names",
        )  # fmt: skip
    path = _path(space, matching[0].name)
    with os_errors(path, "remove"):
        path.unlink()
    return matching[0]


class Merged(NamedTuple):
    """The catalog with imported prices and discounts; ``prices`` came in, ``warnings`` to tell."""

    catalog: Catalog
    prices: int = 0
    discounted: int = 0
    warnings: tuple[str, ...] = ()


def imported(
    space: WorkspaceFolder, catalog: Catalog | None = None, today: date | None = None
) -> Merged:
    """Return the catalog (the one that ships, without another) with the workspace's lists.

    Of two lists the one with the later date counts, of one machine and term. Discounts are applied
    last. What did not come in (a machine of unknown size, a discount that has run out or fits
    nothing) is in the warnings. Raises IntegrityError for a list that cannot be read.
    """
    catalog = builtin() if catalog is None else catalog
    lists = price_lists(space)
    warnings, prices = [], 0
    for each in lists:
        found = each.imported
        catalog = catalog.merged(
            machines=found.machines, prices=found.prices, sources=found.sources
        )
        unknown = _unknown(catalog, found.prices)
        prices += len(found.prices) - sum(price.name in unknown for price in found.prices)
        prices += sum(len(machine.prices) for machine in found.machines)
        if unknown:
            names = f"{len(unknown)} machines, such as {', '.join(sorted(unknown)[:3])}"
            warnings.append(f"{each.file}: the sizes of {names}, are not known: left out")
    day = (today or datetime.now(tz=UTC).date()).isoformat()
    lines = [line for each in lists for line in each.imported.discounts]
    after = discounted(catalog.machines, lines, day, catalog.sources)
    sources = {**catalog.sources, **after.sources}
    catalog = replace(catalog, machines=after.machines, sources=sources)
    return Merged(catalog, prices, after.changed, (*warnings, *after.warnings))


def _unknown(catalog: Catalog, prices: Sequence[Priced]) -> set[str]:
    """Return the names of machines whose prices the catalog could not take in."""
    known = {machine.id for machine in catalog.machines}
    return {each.name for each in prices if f"{each.provider}/{each.region}/{each.name}" not in
            known}  # fmt: skip


def age_days(told: str, today: date | None = None) -> int | None:
    """Return the days since a date as sources tell it; None for less than a whole date."""
    try:
        then = date.fromisoformat(told[:10])
    except ValueError:
        return None
    return ((today or datetime.now(tz=UTC).date()) - then).days


def _path(space: WorkspaceFolder, name: str) -> Path:
    return space.folder / FOLDER / f"{name}.json"


def _read(path: Path) -> PriceList:
    try:
        return msgspec.json.decode(read_bytes(path), type=PriceList)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            "imported prices cannot be read", where=str(path), why=str(error),
            fix=f"rm {shell_word(path)}   # and import the file again",
        ) from None  # fmt: skip
