"""docs/reference/configuration.md: every setting, its default, and the option that gives it."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from afterfit.cli.app import build
from afterfit.config import Config, flatten

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SECTION = re.compile(r"^## `\[(\w+)\]`")
ROW = re.compile(r"^\| `(\w+)` \|([^|]*)\|([^|]+)\|([^|]*)\|$")
COMMANDS = (["ship"], ["assess"], ["optimize"], ["serve"])


class Documented(NamedTuple):
    """What the page says of a setting; an empty default is none."""

    default: str
    option: str


def documented(page: str) -> dict[str, Documented]:
    """The settings of the page by their dotted names."""
    found: dict[str, Documented] = {}
    section = ""
    for line in page.splitlines():
        if line.startswith("## "):
            heading = SECTION.match(line)
            section = f"{heading[1]}." if heading else ""
        if row := ROW.match(line):
            found[f"{section}{row[1]}"] = Documented(row[2].strip(" `"), row[4].strip(" `"))
    return found


def page_of(project_root: Path) -> dict[str, Documented]:
    """The settings of the page of the repository."""
    path = project_root / "docs" / "reference" / "configuration.md"
    return documented(path.read_text("utf-8"))


def test_the_page_has_every_setting_with_its_default(project_root: Path) -> None:
    """Neither a setting nor its default can change without the page."""
    told = {
        name: tomllib.loads(f"value = {each.default}")["value"] if each.default else None
        for name, each in page_of(project_root).items()
    }
    usual: dict[str, Any] = dict(flatten(msgspec.to_builtins(Config())))
    assert told == {n: list(v) if isinstance(v, tuple) else v for n, v in usual.items()}


def test_the_options_that_it_names_exist(
    project_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each option is one of a command that takes settings."""
    for words in COMMANDS:
        build()([*words, "--help"], result_action="return_value")
    helped = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    named = {each.option for each in page_of(project_root).values()} - {""}
    assert named
    assert named <= helped
