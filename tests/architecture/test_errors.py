"""Every error that a user's mistake can reach says what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.architecture.sources import Call, Module, modules_of

from afterfit import errors
from afterfit.errors import AfterfitError, ModelError, UnavailableError, error_from
from afterfit.runtime.columns import FieldError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A defect is reported and an interruption was wanted: neither is a user's mistake.
NO_FIX = {"InternalError", "InterruptedRun"}
KINDS = {
    name
    for name in errors.__all__
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, AfterfitError)
} - NO_FIX
# What these raise reaches nobody as an error: the reasons why a conversion or a baseline cannot be
# had are texts of a record, and the formulae check what other code hands to them.
REASONS = ("core/formulae.py", "models/baseline.py", "models/convert", "stats/")
# Errors still without a fix, by module. The list may only get shorter.
WITHOUT: dict[str, int] = {}


def raised(module: Module) -> Iterator[Call]:
    """Every error that a module makes."""
    return (call for call in module.calls if call.name in KINDS)


def modules(root: Path) -> Iterator[Module]:
    """Every module, but those that hold reasons."""
    return (module for module in modules_of(root) if not module.name.startswith(REASONS))


def test_every_error_has_a_fix(project_root: Path) -> None:
    """What is wrong, where and why are half of a message; the other half is what to do."""
    found: dict[str, list[int]] = {}
    for module in modules(project_root):
        for line, _, keywords in raised(module):
            if not keywords & {"fix", None}:
                found.setdefault(module.name, []).append(line)
    more = {name: lines for name, lines in found.items() if len(lines) > WITHOUT.get(name, 0)}
    assert more == {}, "say what to do: fix=…"
    fewer = {name for name, count in WITHOUT.items() if len(found.get(name, [])) < count}
    assert fewer == set(), "take these off the list"


def test_no_error_is_of_no_kind(project_root: Path) -> None:
    """The root of the tree calls itself a defect: a mistake is of one of the kinds below it."""
    assert [
        f"{module.name}:{line}"
        for module in modules(project_root)
        for line, kind, _ in raised(module)
        if kind == "AfterfitError"
    ] == []


@pytest.mark.parametrize("name", sorted(KINDS - {"AfterfitError"}))
def test_an_error_of_another_process_is_of_its_kind_again(name: str) -> None:
    """What a model's process, a worker or an admin API told is raised as it was met there."""
    kind = getattr(errors, name)
    error = kind("what", where="here", why="because", fix="this", code="c1")
    again = error_from(error.as_dict(), ModelError)
    assert type(again) is kind
    assert again.as_dict() == error.as_dict()


def test_an_error_of_no_known_kind_is_what_the_asker_takes_it_for() -> None:
    """A newer process may tell of kinds that this one has not."""
    again = error_from({"kind": "weather", "message": "rain"}, UnavailableError)
    assert (type(again), again.message) == (UnavailableError, "rain")
    assert error_from({}, ModelError).message == "unknown error"
    # FieldError is made of problems, not of a message: it comes back as its parent.
    told = FieldError([Problem("$.a", "missing")]).as_dict()
    assert type(error_from(told, ModelError)) is errors.InputError
