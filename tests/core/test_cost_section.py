"""``[cost]``: two costs that belong together, told with their path where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from afterfit.assess.config import DecisionCosts
from afterfit.config import Config, load_config, template
from afterfit.core.sections import CostSection
from afterfit.errors import ConfigError
from afterfit.workspace.effort import assess_config

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Path, text: str) -> Config:
    """The configuration of a folder with this table in it."""
    (folder / "afterfit.toml").write_text(f"[cost]\n{text}\n", encoding="utf-8")
    return load_config(folder, environ={}).config


def test_costs_reach_assess(tmp_path: Path) -> None:
    """As they are written; without any there are none, and gains alone ask for the costs."""
    config = written(tmp_path, "false_negative = 50\nfalse_positive = 1\ntrue_positive = 2.5")
    assert assess_config(config, "", 1.0).costs == DecisionCosts(
        false_negative=50, false_positive=1, true_positive=2.5
    )
    assert assess_config(Config(), "", 1.0).costs is None
    assert CostSection().problem() is None


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ("false_negative = 50", "$.cost.false_positive", "give it too"),
        ("false_positive = 1", "$.cost.false_negative", "give it too"),
        ("true_positive = 3", "$.cost.false_negative", "give it too"),
        ("false_negative = 0\nfalse_positive = 0", "$.cost.false_positive", "above 0"),
        ("false_negative = 0\nfalse_positive = 1", "$.cost.false_negative", "above 0"),
        (
            "false_negative = 5\nfalse_positive = 1\ntrue_negative = -1",
            "$.cost.false_positive",
            "above 0",
        ),
        ("false_negative = inf\nfalse_positive = 1", "$.cost.false_negative", "finite"),
        ("false_negative = nan\nfalse_positive = 1", "$.cost.false_negative", ""),
        ("false_negative = -1\nfalse_positive = 1", "$.cost.false_negative", ">= 0"),
        ('false_negative = "much"\nfalse_positive = 1', "$.cost.false_negative", "Expected"),
        ("false_negatives = 1", "$.cost.false_negatives", "did you mean"),
    ],
)
def test_costs_that_say_nothing_are_refused_with_their_path(
    tmp_path: Path, text: str, path: str, why: str
) -> None:
    """One problem each, named where it is written."""
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, text)
    assert path in caught.value.why
    assert why in caught.value.why
    assert caught.value.message.startswith("1 problem ")


def test_the_template_names_them() -> None:
    """``afterfit init`` shows what can be written."""
    assert "[cost]\n# false_negative = 50" in template()


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("AFTERFIT_LINE_EFFORT", "fast", "'quick', 'standard', 'full'"),
        ("AFTERFIT_MODEL_TASK", "yes", "'binary', 'multiclass', 'regression'"),
        ("AFTERFIT_OPTIMIZE_ALLOW", '["magic"]', "'quantize', 'prune', 'distil'"),
    ],
)
def test_a_word_that_is_no_choice_is_told_with_the_choices(
    variable: str, text: str, words: str, tmp_path: Path
) -> None:
    """One word, one that may be missing, and a list of words."""
    with pytest.raises(ConfigError) as told:
        load_config(tmp_path, environ={variable: text})
    assert f"choose from {words}" in told.value.why
