"""Which installed packages a model's objects and code come from."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version

__all__ = ["imported_since", "versions_of"]

# Distribution names that differ from the import, or that several builds answer to.
_KNOWN = {
    "catboost": ("catboost", ("catboost",)),
    "lightgbm": ("lightgbm", ("lightgbm",)),
    "sklearn": ("scikit-learn", ("scikit-learn",)),
    "torch": ("torch", ("torch",)),
    "xgboost": ("xgboost", ("xgboost", "xgboost-cpu")),
}
_NOT_THE_MODELS = frozenset({"afterfit", "numpy", "pip", "setuptools"})


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return distribution to version of importable packages; what is not installed is left out."""
    wanted = set(packages) - sys.stdlib_module_names - _NOT_THE_MODELS
    found: dict[str, str] = {}
    for package in sorted(wanted & set(_KNOWN)):
        name, builds = _KNOWN[package]
        number = next((each for each in map(_version, builds) if each), "")
        if number:
            found[name] = number
    for package in sorted(wanted - set(_KNOWN)):
        for name in _table().get(package, ()):
            found[name] = version(name)
    return found


def imported_since(before: set[str]) -> dict[str, str]:
    """Return distribution to version of what was imported after ``set(sys.modules)`` was taken."""
    return versions_of({name.partition(".")[0] for name in set(sys.modules) - before})


@cache
def _table() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
