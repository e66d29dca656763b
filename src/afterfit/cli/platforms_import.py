"""``afterfit platforms import|prices|forget``: price lists of providers, and one's own sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer, table
from afterfit.workspace.prices import (
    PriceList,
    age_days,
    forget_prices,
    import_prices,
    price_lists,
)

__all__ = ["forget", "import_", "prices"]

STALE_DAYS = 90


def import_(
    *files: Path,
    format: Annotated[  # noqa: A002 - the option's name
        str, Parameter(help="Of all the files; they are looked at without it.")
    ] = "",
    regions: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, negative="", help="Keep these only, such as us-east-1."),
    ] = None,
    provider: Annotated[str, Parameter(help="Where a file does not say whose it is.")] = "",
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Take price lists into the workspace, where choices of platforms use them.

    Formats: aws, aws-csv, aws-savings, aws-savings-csv, azure, gcp, skypilot, gpuhunt, and own for
    a sheet of your discounts and prices. What is left out is counted with its reason.

    Parameters
    ----------
    files
        Price lists as they were downloaded; nothing is fetched.

    """
    with opened(common, create=True) as space:
        lists = import_prices(
            space, files, format_=format, provider=provider, regions=regions or ()
        )
        warnings = [note for each in lists for note in each.imported.notes]
    text = "\n\n".join(_imported_text(each) for each in lists)
    result = [_told(each) for each in lists]
    return Answer(result, text, warnings=[*space.warnings, *warnings])


def prices(*, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """List the prices that were imported, with their age."""
    with opened(common) as space:
        lists = price_lists(space)
    if not lists:
        return Answer([], "No prices were imported: afterfit platforms import FILE")
    rows = [_row(each) for each in lists]
    headings = ("name", "file", "prices", "discounts", "regions", "date", "age")
    stale = [each.name for each in lists if (_age(each) or 0) > STALE_DAYS]
    warnings = [f"{name} is older than {STALE_DAYS} days: prices may have changed"
                for name in stale]  # fmt: skip
    return Answer([_told(each) for each in lists], table(rows, headings), warnings=warnings)


def forget(name: str, *, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """Remove imported prices from the workspace.

    Parameters
    ----------
    name
        As `afterfit platforms prices` lists it, its beginning, or the file's name.

    """
    with opened(common) as space:
        gone = forget_prices(space, name)
    return Answer({"forgotten": gone.name}, f"Forgotten: {gone.name} ({gone.file})")


def _imported_text(each: PriceList) -> str:
    found = each.imported
    sized = sum(len(machine.prices) for machine in found.machines)
    lines = [f"{each.file}: kept as {each.name}, {_dated(each)}"]
    counts = {
        f"prices of {len(found.machines)} machines with their sizes": sized,
        "prices of machines by name": len(found.prices),
        "discounts": len(found.discounts),
    }
    rows = [(f"{count:,}", what) for what, count in counts.items() if count]
    rows += [(f"{count:,}", f"left out: {why}") for why, count in found.skipped.items()]
    width = max(len(count) for count, _ in rows)
    return "\n".join([*lines, *(f"  {count.rjust(width)}  {what}" for count, what in rows)])


def _row(each: PriceList) -> tuple[Any, ...]:
    told = _told(each)
    age = told["age_days"]
    return (
        each.name, each.file, told["prices"], told["discounts"], len(told["regions"]),
        each.date or "unknown", "unknown" if age is None else f"{age} days",
    )  # fmt: skip


def _told(each: PriceList) -> dict[str, Any]:
    """Return what a list holds, in numbers."""
    found = each.imported
    return {
        "name": each.name,
        "file": each.file,
        "format": found.format,
        "date": each.date,
        "age_days": _age(each),
        "imported_at": each.imported_at,
        "machines": len(found.machines),
        "prices": len(found.prices) + sum(len(machine.prices) for machine in found.machines),
        "discounts": len(found.discounts),
        "regions": sorted(
            {m.region for m in found.machines} | {price.region for price in found.prices}
        ),
        "skipped": found.skipped,
        "sources": msgspec.to_builtins(found.sources),
    }


def _age(each: PriceList) -> int | None:
    return age_days(each.date)


def _dated(each: PriceList) -> str:
    return f"prices of {each.date}" if each.date else "the file does not say of when it is"
