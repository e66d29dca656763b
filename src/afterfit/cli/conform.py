"""``afterfit conform``: whether a server keeps the Open Inference Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common
from afterfit.cli.output import EXIT_GATE_FAILED, Answer, table
from afterfit.cli.requests import header_of, json_file
from afterfit.testing import conformance
from afterfit.testing.conformance import Outcome, Report

_LEVELS: tuple[Any, ...] = ("must", "should", "extension")
_STATUSES: tuple[Any, ...] = ("pass", "fail", "skipped", "not_applicable")


def conform(
    url: str,
    *,
    model: Annotated[str, Parameter(help="Default: the first that the server lists.")] = "",
    version: Annotated[str, Parameter(help="Default: what the server chooses.")] = "",
    header: Annotated[
        list[str] | None,
        Parameter(negative="", help="Sent with every request, as 'authorization: Bearer …'."),
    ] = None,
    input_: Annotated[
        Path | None,
        Parameter(name="--input", help="A request in JSON whose rows are sent, not made-up ones."),
    ] = None,
    seed: Annotated[int, Parameter(help="Of the made-up rows.")] = 0,
    timeout: Annotated[float, Parameter(help="Seconds that one answer may take.")] = 10.0,
    strict: Annotated[
        bool, Parameter(negative="", help="Exit 1 for should and extension too.")
    ] = False,
    every: Annotated[
        bool, Parameter(name="--all", negative="", help="List every check, not only failures.")
    ] = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Check any server of the Open Inference Protocol v2 over REST, clause by clause.

    Exit 1 where a clause of level must fails. Only the URL's address is contacted, with some
    hundreds of requests.

    Parameters
    ----------
    url
        Where the server is, such as http://127.0.0.1:8080.

    """
    report = conformance.run(
        url,
        model=model,
        version=version,
        headers=[header_of(text) for text in header or ()],
        request=None if input_ is None else json_file(input_, "--input"),
        seed=seed,
        timeout=timeout,
    )
    failed = report.failed() if strict else report.failed("must")
    result = {"conforms": report.conforms, "counts": _counts(report), **msgspec.to_builtins(report)}
    return Answer(result, _text(report, every=every), exit=EXIT_GATE_FAILED if failed else 0)


def _counts(report: Report) -> dict[str, dict[str, int]]:
    return {
        level: {status: report.counts(level)[status] for status in _STATUSES} for level in _LEVELS
    }


def _text(report: Report, *, every: bool) -> str:
    version = f" version {report.version}" if report.version else ""
    effort = f"{len(report.outcomes)} checks, {report.requests} requests, {report.seconds} s"
    head = f"{report.model}{version} at {report.url} ({report.server}): {effort}"
    parts = [head, _summary(report)]
    if every:
        rows = [(o.level, o.check, o.status, o.why[:100]) for o in report.outcomes]
        parts.append(table(rows, ("level", "check", "outcome", "why")))
    failures = [o for level in _LEVELS for o in report.failed(level)]
    if failures:
        rows_ = [(o.level, o.check, o.section, o.clause) for o in failures]
        parts.append(table(rows_, ("failed", "check", "section", "clause")))
        parts += [_detail(outcome) for outcome in failures]
    if not every:
        parts += _skipped(report)
    return "\n\n".join(parts)


def _summary(report: Report) -> str:
    counts = _counts(report)
    rows = [(level, *counts[level].values()) for level in _LEVELS]
    return table(rows, ("level", "passed", "failed", "skipped", "not applicable"))


def _detail(outcome: Outcome) -> str:
    lines = [("why", outcome.why), ("sent", outcome.sent), ("came", outcome.came)]
    return "\n".join([outcome.check, *(f"  {name}: {text}" for name, text in lines if text)])


def _skipped(report: Report) -> list[str]:
    """Return one line for each reason for which checks were skipped."""
    reasons: dict[str, list[str]] = {}
    for outcome in report.outcomes:
        if outcome.status == "skipped":
            reasons.setdefault(outcome.why, []).append(outcome.check)
    return [
        f"skipped {', '.join(checks[:3])}"
        + (f" and {len(checks) - 3} more" if len(checks) > 3 else "")
        + f": {why}"
        for why, checks in reasons.items()
    ]
