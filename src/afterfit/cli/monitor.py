"""``afterfit monitor report``: what a version, or anyone's prediction log, saw and said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.table import parse_mapping
from afterfit.report import html, text
from afterfit.report.build import monitor_page
from afterfit.store.files import write_bytes


def report(
    name: str = "",
    *,
    log: Annotated[str | None, Parameter(help="Predictions: tables, events, a database.")] = None,
    query: Annotated[str, Parameter(help="SQL whose rows are the log.")] = "",
    map: Annotated[  # noqa: A002 - the option's name
        str, Parameter(name="--map", help="Its columns: score=prob,y=label,ts=time.")
    ] = "",
    reference: Annotated[Path | None, Parameter(help="Earlier rows to judge by.")] = None,
    positive: Annotated[str | None, Parameter(help="The positive class of the log.")] = None,
    since: str = "",
    until: str = "",
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Show counts, latency and distributions of a period beside the reference.

    --log takes a CSV, Parquet or Arrow file of predictions, a folder of such files, or the folder
    of serve --events; with --query a database: postgresql://…, or a file of DuckDB.

    Parameters
    ----------
    name
        A version, such as churn or churn@3; its own events are read without --log.
    since
        Only predictions from this moment on (ISO 8601); live counts are of whole hours.
    until
        Only predictions before this moment.
    output
        Where to write the page, as HTML.

    """
    anyones = log is not None or bool(query)
    with opened(common, create=anyones) as space:
        config = MonitorConfig(
            gates=space.config.gates, since=since, until=until, seed=space.config.line.seed
        )
        if not anyones:
            stored = space.monitor(name, config, rows=reference)
        else:
            mapping = parse_mapping(map) if map else {}
            stored = space.monitor_log(
                log or "",
                mapping,
                config,
                ref=name,
                reference=reference,
                positive=positive,
                query=query,
            )
        path = output or space.reports / f"monitor-{stored.digest[:12]}.html"
        space.progress.step("draw the page")
        page = monitor_page(stored.body)  # type: ignore[arg-type]
        write_bytes(path, html.render(page).encode())
    result = {**msgspec.to_builtins(stored), "report": str(path)}
    return Answer(result, f"{text.render(page)}\nPage: {path}", warnings=space.warnings)
