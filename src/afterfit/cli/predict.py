"""``afterfit predict``: score a file with a version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.predict.config import PredictConfig


def predict(
    ref: str,
    rows: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="CSV, Parquet or Arrow.")],
    keep: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, negative="", help="Input columns to keep; default all."),
    ] = None,
    only_scores: Annotated[bool, Parameter(negative="", help="Keep no input column.")] = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Score every row of a file: the same answers as over HTTP, in constant memory.

    The output appears whole or not at all.

    Parameters
    ----------
    ref
        A version, such as churn@champion.
    rows
        CSV, Parquet or Arrow.

    """
    config = PredictConfig(keep=None if keep is None else tuple(keep), only_scores=only_scores)
    with opened(common) as space:
        stored = space.predict(ref, rows, output, config)
    record = stored.body
    flags = ", ".join(f"{n} {name}" for name, n in getattr(record, "flagged", {}).items() if n)
    text = f"{getattr(record, 'rows', 0)} rows scored into {output}"
    text += f" ({flags})" if flags else ""
    return Answer(msgspec.to_builtins(stored), text, warnings=space.warnings)
