"""The public names of the package."""

from __future__ import annotations

import ast
import pkgutil
import tomllib
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

import afterfit

if TYPE_CHECKING:
    from pathlib import Path


def test_all_is_sorted_and_is_what_dir_lists() -> None:
    """`__all__`, `dir()` and the lazy names agree, in order."""
    assert afterfit.__all__ == sorted(set(afterfit.__all__))
    assert dir(afterfit) == afterfit.__all__
    assert set(afterfit.__all__) == {*afterfit._LAZY, "__version__"}


@pytest.mark.parametrize("name", afterfit.__all__)
def test_every_public_name_loads(name: str) -> None:
    """Each name resolves to something, and the same thing twice."""
    assert getattr(afterfit, name) is not None
    assert getattr(afterfit, name) is getattr(afterfit, name)


def test_type_checkers_see_the_lazy_names(project_root: Path) -> None:
    """What is written under TYPE_CHECKING is the lazy table, name by name."""
    tree = ast.parse((project_root / "src" / "afterfit" / "__init__.py").read_text("utf-8"))
    written = {
        alias.name: f"{node.module}:{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("afterfit.")
        for alias in node.names
    }
    assert written == afterfit._LAZY


def test_no_public_name_is_also_a_submodule() -> None:
    """A submodule would replace the public object when it is imported (docs/decisions/0001)."""
    submodules = {module.name for module in pkgutil.iter_modules(afterfit.__path__)}
    assert {"assess", "errors", "serve"} <= submodules
    assert submodules & set(afterfit.__all__) == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A typing error reads as Python's own."""
    with pytest.raises(AttributeError, match="module 'afterfit' has no attribute 'shp'"):
        afterfit.shp  # noqa: B018  # reading the attribute is the test


def test_the_installed_version_is_the_version_of_the_source() -> None:
    """One number, read from the package by the build."""
    assert version("afterfit") == afterfit.__version__


def test_every_entry_point_names_what_exists(project_root: Path) -> None:
    """The built-in plugins and the console script load as they are declared."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["scripts"], *project["entry-points"].values()]
    values = [value for group in groups for value in group.values()]
    assert len(values) >= len(groups)
    for value in values:
        module, _, attribute = value.partition(":")
        assert hasattr(import_module(module), attribute), value
