"""The closed list of metric names, and gates checked against it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from afterfit.core.formulae import FORMULAE
from afterfit.core.gate import parse_gate
from afterfit.core.metric import Metric
from afterfit.core.metric_names import METRICS, is_alarm, judged, require_known
from afterfit.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

HEADING = re.compile(r"^## .*`(\w+)`$")
NAMES = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|")


def documented(page: str) -> dict[str, set[str]]:
    """The names in the first column of the tables, by the step of their heading."""
    found: dict[str, set[str]] = {}
    step = ""
    for line in page.splitlines():
        if heading := HEADING.match(line):
            step = heading[1]
        if row := NAMES.match(line):
            found.setdefault(step, set()).update(re.findall(r"`(\w+)`", row[1]))
    return found


def test_the_page_lists_every_name_and_no_other(project_root: Path) -> None:
    """docs/reference/metrics.md and the list are one; monitor's quality is that of assess."""
    page = (project_root / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    found = documented(page)
    found["monitor"] |= set(FORMULAE)
    assert found == {step: set(names) for step, names in METRICS.items()}


@pytest.mark.parametrize("step", METRICS)
def test_every_name_can_be_a_gate(step: str) -> None:
    """With its step and without, whatever the bound."""
    for name in METRICS[step]:
        for text in (f"{name} >= 1", f"{step}.{name} < 2", f"{step}.{name}.high == 0"):
            require_known(parse_gate(text))


@pytest.mark.parametrize(
    ("text", "message", "why"),
    [
        ("f1_score >= 0.8", "no step gives a metric 'f1_score'", "did you mean 'f1'?"),
        ("auc >= 0.8", "no step gives a metric 'auc'", "'pr_auc' or 'roc_auc'"),
        ("p99 <= 20", "no step gives a metric 'p99'", "'latency_p99_us' or 'latency_p99_ms'"),
        ("zzz >= 1", "no step gives a metric 'zzz'", "there are: roc_auc, pr_auc"),
        ("robustness.failed >= 1", "robustness gives no metric 'failed'", "mean 'failed_cases'?"),
        ("assess.error_rate <= 0", "assess gives no metric 'error_rate'", "a metric of loadtest"),
        ("loadtets.error_rate <= 0", "no step 'loadtets' gives metrics", "mean 'loadtest'?"),
        ("inspect.f1 >= 0", "no step 'inspect' gives metrics", "there are: assess, optimize"),
    ],
)
def test_a_gate_that_nothing_can_answer_is_refused_with_the_nearest_names(
    text: str, message: str, why: str
) -> None:
    """What was written, where, and what was probably meant."""
    with pytest.raises(ConfigError) as refused:
        require_known(parse_gate(text), where="$.gates[0]")
    assert refused.value.message == message
    assert why in refused.value.why
    assert refused.value.where == "$.gates[0]"


def test_only_gates_on_live_rows_alone_are_alarms() -> None:
    """By the step, or by a name that no step before serving gives."""
    alarms = ("monitor.f1 >= 0.8", "queue_p99_us <= 900", "monitor.missing_share <= 0.1")
    assert all(is_alarm(parse_gate(text)) for text in alarms)
    others = ("f1 >= 0.8", "assess.f1 >= 0.8", "latency_p99_us <= 900", "failed_cases <= 0")
    assert not any(is_alarm(parse_gate(text)) for text in others)


@pytest.mark.parametrize(
    ("text", "outcome", "why"),
    [
        ("f1 >= 0.8", "pass", ""),
        ("roc_auc >= 0.8", "missing", "assess gave no roc_auc"),
        ("assess.mae <= 1", "missing", "assess gave no mae"),
        ("latency_p99_ms <= 20", "missing", "there is no record of loadtest"),
        ("robustness.failed_cases == 0", "missing", "there is no record of robustness"),
        ("f1.low >= 0.8", "missing", "assess.f1 has no low"),
    ],
)
def test_a_missing_number_names_the_step_that_gives_it(text: str, outcome: str, why: str) -> None:
    """Whoever is refused sees which step to run, and no list of other metrics."""
    found = judged(parse_gate(text), {"assess": [Metric(name="f1", value=0.9)]})
    assert (found.outcome, found.why) == (outcome, why)
