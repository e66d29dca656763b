"""A gate: a metric, a comparison and a threshold, as written in ``afterfit.toml``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from afterfit.core.metric import Metric
from afterfit.errors import ConfigError

GateOutcome = Literal["pass", "fail", "missing"]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_GRAMMAR = re.compile(
    r"^\s*(?:(?P<step>[a-z]+)\.)?(?P<metric>(?!(?:low|high)\b)[A-Za-z_][\w@%-]*?)"
    r"(?:\.(?P<bound>low|high))?"
    r"\s*(?P<op>>=|<=|==|>|<)\s*(?P<limit>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*$"
)


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """``[step.]metric[.low|.high] op limit``; a bare metric means its point value."""

    metric: str
    op: Literal[">=", "<=", ">", "<", "=="]
    limit: float
    bound: Literal["value", "low", "high"] = "value"
    step: str = ""

    def __str__(self) -> str:
        """Return the gate as one writes it."""
        step = f"{self.step}." if self.step else ""
        bound = "" if self.bound == "value" else f".{self.bound}"
        limit = f"{self.limit:g}"
        # Six digits read best, as long as they are all there are.
        exact = limit if float(limit) == self.limit else repr(self.limit)
        return f"{step}{self.metric}{bound} {self.op} {exact}"


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate said: ``outcome``, the number it looked at, and why it is missing if it is."""

    gate: str
    outcome: GateOutcome
    value: float | None = None
    limit: float
    step: str = ""
    metric: Metric | None = None
    why: str = ""


def parse_gate(text: str, *, where: str = "") -> Gate:
    """Return the gate written in ``text``; raises ConfigError that shows the grammar."""
    match = _GRAMMAR.match(text)
    if match is None:
        raise ConfigError(
            f"not a gate: {text!r}",
            where=where,
            why="a gate is: [step.]metric[.low|.high] followed by >=, <=, >, < or == and a number",
            fix='write, for example: "f1 >= 0.80" or "loadtest.latency_p99_ms <= 20"',
        )
    parts = match.groupdict()
    return msgspec.convert(
        {
            "metric": parts["metric"],
            "op": parts["op"],
            "limit": float(parts["limit"]),
            "bound": parts["bound"] or "value",
            "step": parts["step"] or "",
        },
        Gate,
    )


def passes(gate: Gate, value: float) -> bool:
    """Return whether a number is on the good side of the gate's limit."""
    return _OPERATORS[gate.op](value, gate.limit)


def evaluate(gate: Gate, evidence: Mapping[str, Sequence[Metric]]) -> GateResult:
    """Return the gate's result on metrics by step; what is not there is ``missing``, not passed.

    Without a step the first step that has the metric is taken; within a step the first of that
    name, which by convention is the one that describes what ships.
    """
    steps = [gate.step] if gate.step else list(evidence)
    for step in steps:
        for metric in evidence.get(step, ()):
            if metric.name == gate.metric:
                return _judge(gate, step, metric)
    if gate.step and gate.step not in evidence:
        why = f"no record of a step {gate.step!r}; there are: {', '.join(evidence) or 'none'}"
        return GateResult(
            gate=str(gate), outcome="missing", limit=gate.limit, step=gate.step, why=why
        )
    known = sorted({metric.name for metrics in evidence.values() for metric in metrics})
    why = f"no record has {gate.metric!r}; there are: {', '.join(known) or 'none'}"
    return GateResult(gate=str(gate), outcome="missing", limit=gate.limit, step=gate.step, why=why)


def _judge(gate: Gate, step: str, metric: Metric) -> GateResult:
    value = metric.part(gate.bound)
    if value is None or math.isnan(value):
        why = f"{step}.{metric.name} has no {gate.bound}"
        return GateResult(
            gate=str(gate), outcome="missing", limit=gate.limit, step=step, metric=metric, why=why
        )
    passed = passes(gate, value)
    return GateResult(
        gate=str(gate),
        outcome="pass" if passed else "fail",
        value=value,
        limit=gate.limit,
        step=step,
        metric=metric,
    )
