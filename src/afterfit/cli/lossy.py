"""The options of ``optimize`` and ``ship`` that let answers change."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from afterfit.cli.durations import seconds_of
from afterfit.errors import UsageError

__all__ = ["TECHNIQUES", "Lossy"]

TECHNIQUES = ("quantize", "prune", "distil", "recalibrate")


@Parameter(name="*")
@dataclass(frozen=True)
class Lossy:
    """Which variants may change answers, and how much may be lost by it."""

    allow: Annotated[
        str | None,
        Parameter(help=f"Techniques that may change answers: {','.join(TECHNIQUES)}."),
    ] = None
    max_drop: Annotated[
        float | None, Parameter(help="The largest loss of the metric that is certified.")
    ] = None
    metric: Annotated[str | None, Parameter(help="The metric that must not drop.")] = None
    batch: Annotated[
        int | None, Parameter(help="Rows a call that are measured beside single ones.")
    ] = None
    budget: Annotated[str | None, Parameter(help="The time for all of it: 180s, 5m.")] = None

    def overrides(self) -> dict[str, Any]:
        """Return what was given here as settings of the configuration."""
        return {
            "optimize.allow": None if self.allow is None else _techniques(self.allow),
            "optimize.max_drop": self.max_drop,
            "optimize.metric": self.metric,
            "optimize.batch": self.batch,
            "optimize.budget": None if self.budget is None else seconds_of(self.budget, "--budget"),
        }


def _techniques(text: str) -> list[str]:
    """Return the techniques of a list with commas; raises UsageError for one that is none."""
    found = [word.strip() for word in text.split(",") if word.strip()]
    for word in found:
        if word not in TECHNIQUES:
            near = difflib.get_close_matches(word, TECHNIQUES, 1)
            raise UsageError(
                f"no technique is called {word!r}" + (f": {near[0]}?" if near else ""),
                where="--allow",
                fix=f"--allow {','.join(TECHNIQUES)}, or some of them",
            )
    return found
