"""Options that name a model and its tables, shared by every command that takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from afterfit.cli.common import given_of
from afterfit.core.effort import Effort
from afterfit.core.signature import Label, Task
from afterfit.errors import UsageError


@Parameter(name="*", group=Group("The model and its tables", sort_key=1))
@dataclass(frozen=True)
class Tables:
    """The tables and what the model's file does not tell."""

    data: Annotated[str | None, Parameter(help="Held-out rows: CSV, Parquet or Arrow.")] = None
    target: Annotated[str | None, Parameter(help="The column with the labels.")] = None
    train: Annotated[str | None, Parameter(help="The rows the model was trained on.")] = None
    time: Annotated[str | None, Parameter(help="Column that orders the rows.")] = None
    group: Annotated[str | None, Parameter(help="Column whose rows belong together.")] = None
    entity: Annotated[str | None, Parameter(help="Column that identifies a row's subject.")] = None
    positive: Annotated[str | None, Parameter(help="The positive class, in your words.")] = None
    classes: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            negative="",
            help="Labels in the model's order, where it has none.",
        ),
    ] = None
    threshold: Annotated[
        float | None, Parameter(help="Probability of the positive class from which it is decided.")
    ] = None
    task: Annotated[Task | None, Parameter(help="What the model does, where unclear.")] = None
    code: Annotated[Path | None, Parameter(help="Folder of your own code that it needs.")] = None
    refit: Annotated[
        str | None, Parameter(name=["--refit", "--fit"], help="module:function that fits it anew.")
    ] = None
    effort: Annotated[Effort | None, Parameter(help="How much time to take.")] = None
    seed: Annotated[int | None, Parameter(help="Seed of everything random.")] = None
    folds: Annotated[int | None, Parameter(help="Folds of the cross-validation; 0 for none.")] = (
        None
    )
    goal: Annotated[
        Literal["latency", "throughput", "size"] | None,
        Parameter(help="What counts of two forms: one row, many, or the size of the file."),
    ] = None
    fairness: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            negative="",
            help="Columns whose groups are compared, such as sex.",
        ),
    ] = None
    fresh: Annotated[bool, Parameter(negative="", help="Reuse no record.")] = False

    def overrides(self) -> dict[str, Any]:
        """Return what was given here as settings of the configuration."""
        return {
            "data.data": self.data,
            "data.target": self.target,
            "data.train": self.train,
            "data.time": self.time,
            "data.group": self.group,
            "data.entity": self.entity,
            "model.positive": label(self.positive),
            "model.classes": None if self.classes is None else [label(c) for c in self.classes],
            "model.threshold": self.threshold,
            "model.task": self.task,
            "model.code": None if self.code is None else str(self.code),
            "line.refit": self.refit,
            "line.effort": self.effort,
            "line.seed": self.seed,
            "line.folds": self.folds,
            "line.goal": self.goal,
            "fairness.columns": self.fairness,
        }


def require_used(tables: Tables, where: str, *used: str) -> None:
    """Do nothing where each option that was given says something of an endpoint; else UsageError.

    ``used`` are those that do; to reuse nothing is what an endpoint always does.
    """
    left = [name for name in given_of(tables) if name not in {"--fresh", *used}]
    if left:
        raise UsageError(
            f"{', '.join(left)}: only for a model, not for what serves",
            where=where,
            fix="leave it out" if len(left) == 1 else "leave them out",
        )


def label(text: str | None) -> Label | None:
    """Return a label typed on the command line; it matches a class by its text."""
    return text
