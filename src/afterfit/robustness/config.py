"""What may be asked of ``robustness``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import msgspec

from afterfit.core.effort import Effort
from afterfit.core.sections import Direction
from afterfit.core.signature import Signature
from afterfit.errors import ConfigError

LADDER_SHARE = 20


class RobustnessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``rows`` real rows are spoiled for each case, drawn with ``seed``.

    ``seconds`` bounds the whole step; what was not reached is told as skipped, by name, with the
    effort beyond ``effort`` that would reach it.
    ``monotone`` says of columns that the answer may only rise (``up``) or fall (``down``) with
    them; ``fixed`` names columns that nobody can move. The ladders take 20 times as many labelled
    rows, because they measure a metric.
    """

    rows: int = 100
    seed: int = 0
    effort: Effort = "standard"
    seconds: float = float("inf")
    monotone: dict[str, Direction] = {}
    fixed: tuple[str, ...] = ()

    @property
    def flip_rows(self) -> int:
        """The rows whose smallest change is looked for, at most."""
        return max(1, self.rows // 2)

    @property
    def ladder_rows(self) -> int:
        """The labelled rows of a ladder, at most."""
        return LADDER_SHARE * max(1, self.rows)


def require_fixed(fixed: Sequence[str], signature: Signature) -> None:
    """Do nothing if every fixed column is one of the model; raises ConfigError that names it."""
    for name in fixed:
        _require_column(name, signature, f"afterfit.toml: [robustness] fixed, {name!r}")


def _require_column(name: str, signature: Signature, where: str) -> None:
    if name in signature.names:
        return
    near = difflib.get_close_matches(name, signature.names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"the model has no column {name!r}",
        where=where,
        why=f"its columns are: {', '.join(signature.names[:20])}{hint}",
        fix="name a column of the model",
    )


def require_monotone(declared: dict[str, Direction], signature: Signature) -> None:
    """Do nothing if every declared column is one of numbers; raises ConfigError that names it."""
    for name in declared:
        where = f"afterfit.toml: [robustness] monotone, {name!r}"
        _require_column(name, signature, where)
        if not signature.column(name).numeric:
            kind = signature.column(name).kind
            raise ConfigError(
                f"the column {name!r} has no order",
                where=where,
                why=f"its values are of the kind {kind}; only numbers and booleans rise and fall",
                fix=f"take {name!r} out of monotone",
            )
    if declared and signature.task == "multiclass":
        raise ConfigError(
            "the answers of a model of several classes do not rise or fall",
            where="afterfit.toml: [robustness] monotone",
            why=f"it decides between {len(signature.classes)} classes",
            fix="take monotone out",
        )
