"""``afterfit labels add``: what turned out to be true, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.workspace.labelling import parse_columns


def add(
    name: str,
    file: Path,
    *,
    map: Annotated[  # noqa: A002 - the option's name
        str, Parameter(name="--map", help="Its columns: event_id=id,label=outcome,ts=day.")
    ] = "",
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Add true classes or values to predictions; adding the same file twice changes nothing.

    Each row names a prediction (event_id) or an entity, and its label or value; ts is when that was
    known. Of several labels of one prediction the latest counts.

    Parameters
    ----------
    name
        The model, such as churn, or a version of it.
    file
        CSV, Parquet or Arrow.

    """
    columns = parse_columns(map)
    with opened(common) as space:
        added = space.add_labels(name, file, columns)
    text = f"{added.accepted} labels added to {added.model}, {added.duplicates} were there already"
    if added.without_label:
        text += f"; {added.without_label} rows have none yet"
    return Answer(msgspec.to_builtins(added), text, warnings=space.warnings)
