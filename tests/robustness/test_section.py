"""``[robustness]``: directions by column, from a file or a variable, told where they are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from afterfit.cli.app import build
from afterfit.cli.steps import robustness
from afterfit.config import Config, changed, load_config
from afterfit.errors import ConfigError
from afterfit.robustness.config import RobustnessConfig
from afterfit.workspace.asked import asked_of
from afterfit.workspace.effort import robustness_config
from afterfit.workspace.sources import Sources

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, text: str) -> None:
    """Write the configuration of a folder."""
    (folder / "afterfit.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        '[robustness]\nmonotone = {income = "up", "a.b" = "down"}\n',
        '[robustness.monotone]\nincome = "up"\n"a.b" = "down"\n',
    ],
)
def test_directions_reach_the_step_and_its_record(tmp_path: Path, text: str) -> None:
    """One setting whatever the columns are called; its origin is known and it is what was asked."""
    write(tmp_path, text)
    loaded = load_config(tmp_path, environ={})
    declared = {"income": "up", "a.b": "down"}
    assert robustness_config(loaded.config, 5.0).monotone == declared
    assert changed(loaded.config) == {"robustness.monotone": declared}
    assert loaded.origins["robustness.monotone"] == "afterfit.toml"
    asked = asked_of("robustness", Sources(model="m", data="d"), loaded.given)
    assert asked == {"robustness.monotone": declared}


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    """As for every setting, written as in TOML."""
    write(tmp_path, '[robustness]\nmonotone = {income = "up"}\n')
    environ = {"AFTERFIT_ROBUSTNESS_MONOTONE": '{age = "down"}'}
    config = load_config(tmp_path, environ=environ).config
    assert robustness_config(config, 5.0).monotone == {"age": "down"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[robustness]\nmonotone = {income = "sideways"}\n', "'sideways'"),
        ('[robustness]\nmonotone = ["income"]\n', "Expected `object`"),
        ('[robustness]\nmonoton = {income = "up"}\n', "did you mean 'monotone'?"),
    ],
)
def test_what_is_no_direction_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    """The file, the line, what is wrong and what to change."""
    write(tmp_path, text)
    with pytest.raises(ConfigError) as told:
        load_config(tmp_path, environ={})
    assert words in told.value.why
    assert "line 2" in told.value.where
    assert told.value.fix


def test_nothing_is_declared_where_nothing_is_said() -> None:
    """Ladders take twenty times as many rows as cases do."""
    asked = robustness_config(Config(), 5.0)
    assert asked.monotone == {}
    assert (asked.rows, asked.ladder_rows) == (100, 2000)
    assert RobustnessConfig(rows=0).ladder_rows == 20


def test_the_name_of_the_model_reaches_the_step(tmp_path: Path) -> None:
    """Earlier versions are found by it, so ``--name`` is an option, and what was asked."""
    command, bound, _ = build().parse_args(["robustness", "m.skops", "--name", "churn"])
    assert (command, bound.arguments["name"]) == (robustness, "churn")
    loaded = load_config(tmp_path, overrides={"model.name": "churn"}, environ={})
    asked = asked_of("robustness", Sources(model="m", data="d"), loaded.given)
    assert asked == {"model.name": "churn"}
