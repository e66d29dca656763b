"""What the package imports is declared: nothing comes by luck of another package."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING

from tests.architecture.sources import modules_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def imported(root: Path) -> Iterator[tuple[str, str]]:
    """Top-level name of every import of something that is not ours, and the module it is in."""
    for module in modules_of(root):
        for top in {name.partition(".")[0] for name in module.imports}:
            if top not in sys.stdlib_module_names and top != "afterfit":
                yield top, module.name


def normal(name: str) -> str:
    """The name of a distribution as PEP 503 writes it, without versions and extras."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", name.strip())[0]).lower()


def test_every_import_is_a_declared_dependency(project_root: Path) -> None:
    """A distribution that gives the import is among the dependencies or the extras."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {normal(line) for line in project["dependencies"]}
    declared |= {normal(line) for name, found in extras.items() if name != "dev" for line in found}
    gives = packages_distributions()
    undeclared = {
        f"{top} in {where}"
        for top, where in imported(project_root)
        if not {normal(name) for name in gives.get(top, [top])} & declared
    }
    assert undeclared == set()
