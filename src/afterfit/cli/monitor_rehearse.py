"""``afterfit monitor rehearse``: scripted faults, and what the monitor says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.errors import UsageError
from afterfit.monitor.rehearse.config import RehearsalConfig
from afterfit.monitor.table import parse_mapping
from afterfit.report import html, text
from afterfit.report.build import record_page
from afterfit.store.files import write_bytes
from afterfit.workspace.rehearsing import rehearse_log, rehearse_version

USUAL = RehearsalConfig()


def rehearse(
    name: str = "",
    *,
    data: Annotated[Path | None, Parameter(help="Rows that the version answers.")] = None,
    ts: Annotated[str, Parameter(help="Their column of times.")] = "",
    log: Annotated[Path | None, Parameter(help="Predictions, in place of a version.")] = None,
    reference: Annotated[Path | None, Parameter(help="Earlier rows, beside --log.")] = None,
    map: Annotated[  # noqa: A002 - the option's name
        str, Parameter(name="--map", help="Its columns: score=prob,y=label,ts=time.")
    ] = "",
    positive: Annotated[str | None, Parameter(help="The positive class of the log.")] = None,
    replays: int = USUAL.replays,
    before: Annotated[int, Parameter(help="Windows before a fault.")] = USUAL.before,
    after: Annotated[int, Parameter(help="Windows with a fault, at most.")] = USUAL.after,
    label_delay: Annotated[
        int, Parameter(help="Windows until labels are known.")
    ] = USUAL.label_delay,
    window_rows: Annotated[int, Parameter(help="Rows of a window.")] = USUAL.window_rows,
    seconds: Annotated[float, Parameter(help="No replay begins after so long.")] = USUAL.seconds,
    seed: int | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Put faults into replayed traffic, and see which ones the monitor tells of, and when.

    The rows are drawn in blocks of time, answered by the version, and watched with the settings of
    afterfit.toml. Faults: a column times 100, in another unit, missing, standing still or drifting,
    a category renamed, classes in other proportions, labels flipped.

    Parameters
    ----------
    name
        A version, such as churn@champion; without one, give --log and --reference.
    output
        Where to write the page, as HTML.

    """
    with opened(common, create=log is not None) as space:
        config = RehearsalConfig(
            replays=replays,
            before=before,
            after=after,
            label_delay=label_delay,
            window_rows=window_rows,
            seconds=seconds,
            seed=space.config.line.seed if seed is None else seed,
        )
        _require_one_form(name, data, log, reference)
        if log is None or reference is None:
            stored = rehearse_version(space, name, data, config, ts=ts)  # type: ignore[arg-type]
        else:
            columns = parse_mapping(map) if map else {}
            stored = rehearse_log(space, log, reference, columns, config, positive=positive)
        path = output or space.reports / f"rehearsal-{stored.digest[:12]}.html"
    page = record_page(stored)
    write_bytes(path, html.render(page).encode())
    result = {**msgspec.to_builtins(stored), "report": str(path)}
    return Answer(result, f"{text.render(page)}\nPage: {path}", warnings=space.warnings)


def _require_one_form(
    name: str, data: Path | None, log: Path | None, reference: Path | None
) -> None:
    """Do nothing for a version with rows, or a log with a reference; raises UsageError."""
    given = tuple(map(bool, (name, data, log, reference)))
    if given not in ((True, True, False, False), (False, False, True, True)):
        raise UsageError(
            "a rehearsal is of a version and its rows, or of a log and earlier rows",
            where="afterfit monitor rehearse",
            why="it replays rows, and compares them with what the model was made of",
            fix="afterfit monitor rehearse NAME@champion --data rows.parquet",
        )
