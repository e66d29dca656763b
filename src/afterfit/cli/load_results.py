"""What is made of a load test beside its record: a comparison, a gate, a file for CI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from afterfit.cli.common import given_of
from afterfit.errors import UsageError
from afterfit.records.codec import Stored
from afterfit.records.loadtest import LoadtestRecord
from afterfit.report import number
from afterfit.report.junit import Demand, junit
from afterfit.store.files import write_bytes
from afterfit.workspace.load_export import Tool

__all__ = ["Results", "demands_of", "kept_for_ci"]


@Parameter(name="*", group=Group("Results", sort_key=6))
@dataclass(frozen=True)
class Results:
    """With what a load test is compared, and who is told of it."""

    baseline: Annotated[
        str | None,
        Parameter(help="Compare with: last, champion, NAME@1, a record's digest or its file."),
    ] = None
    anyway: Annotated[
        bool | None, Parameter(negative="", help="Compare what was measured otherwise, too.")
    ] = None
    fail_on_slower: Annotated[
        bool | None, Parameter(negative="", help="Exit 1 where anything is worse.")
    ] = None
    junit: Annotated[Path | None, Parameter(help="Write a JUnit file for CI.")] = None
    export: Annotated[
        Tool | None, Parameter(help="Fire nothing, and write the same as a script of that tool.")
    ] = None
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="Folder of the script.")
    ] = None

    def checked(self) -> Results:
        """Return them; raises UsageError for one that says nothing without another."""
        if self.output is not None and self.export is None:
            raise UsageError("--output says nothing without --export", fix="--export k6")
        beside = ("baseline", "anyway", "fail_on_slower", "junit")
        if self.export and (other := [n for n in beside if getattr(self, n) is not None]):
            raise UsageError(
                f"--export measures nothing, so --{other[0].replace('_', '-')} has nothing to say",
                where="--export",
                fix="leave one of both out",
            )
        for name, value in (("--anyway", self.anyway), ("--fail-on-slower", self.fail_on_slower)):
            if value and not self.baseline:
                raise UsageError(
                    f"{name} says nothing without --baseline", where=name, fix="--baseline last"
                )
        return self

    def given(self) -> list[str]:
        """Return the options that were given."""
        return given_of(self)


def demands_of(stored: Stored, at_rps: float | None, results: Results) -> list[Demand]:
    """Return what decides the exit code: the rate that was to be certified, and no loss."""
    record, found = stored.body, list[Demand]()
    if not isinstance(record, LoadtestRecord):
        return found
    if at_rps is not None:
        certified = record.certificate is not None
        code = next((f.message for f in record.findings if f.code == "L008"), "it was not tried")
        found.append(Demand(f"{at_rps:g} requests/s hold {record.slo}", certified, code))
    if results.fail_on_slower:
        found.append(_no_worse(record))
    return found


def _no_worse(record: LoadtestRecord) -> Demand:
    name = f"nothing is worse than the baseline {record.baseline[:12]}"
    if not record.verdicts:
        told = next((f.message for f in record.findings if f.code == "L022"), "not compared")
        return Demand(name, met=False, told=told)
    worse = [m for m in record.metrics if record.verdicts.get(m.name) == "worse"]
    told = "; ".join(f"{m.name}: {number.metric_text(m)}" for m in worse)
    return Demand(name, not worse, told or "no interval lies on the worse side")


def kept_for_ci(stored: Stored, demands: list[Demand], results: Results) -> list[str]:
    """Write the JUnit file that was asked for, and return lines that say so."""
    if results.junit is None:
        return []
    write_bytes(results.junit, junit(stored, demands))
    return [f"JUnit: {results.junit}"]
