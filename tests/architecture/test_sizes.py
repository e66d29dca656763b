"""The sizes of functions and modules: ugliness lives in the tail, so the tail has limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.architecture.sources import Function, Module, module_of, modules_of

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_FUNCTION = 60
P90_FUNCTION = 30
LONGEST_MODULE = 400


def percentile_90(values: list[int]) -> int:
    """The smallest value that at least nine in ten values do not exceed."""
    ordered = sorted(values)
    return ordered[-(-9 * len(ordered) // 10) - 1]


@pytest.fixture(scope="module")
def modules(project_root: Path) -> tuple[Module, ...]:
    """Every module of the package."""
    return modules_of(project_root)


@pytest.fixture(scope="module")
def functions(modules: tuple[Module, ...]) -> list[Function]:
    """Every function of the package."""
    found = [function for module in modules for function in module.functions]
    assert found, "no function was found in src/afterfit: this check would pass on nothing"
    return found


def test_no_function_is_longer_than_sixty_lines(functions: list[Function]) -> None:
    """A function that does not fit on a screen fails, by name."""
    assert [function for function in functions if function.lines > LONGEST_FUNCTION] == []


def test_nine_in_ten_functions_have_at_most_thirty_lines(functions: list[Function]) -> None:
    """The 90th percentile of function length stays at or under 30 lines."""
    longest = sorted(functions, reverse=True)[:10]
    assert percentile_90([function.lines for function in functions]) <= P90_FUNCTION, longest


def test_no_module_is_longer_than_four_hundred_lines(modules: tuple[Module, ...]) -> None:
    """A module that grew past one subject fails, by name."""
    sizes = {module.name: len(module.text.splitlines()) for module in modules}
    assert {name: size for name, size in sizes.items() if size > LONGEST_MODULE} == {}


@pytest.mark.parametrize(
    ("values", "expected"), [([7], 7), (list(range(1, 11)), 9), (list(range(1, 101)), 90)]
)
def test_percentile_counts_at_least_nine_in_ten(values: list[int], expected: int) -> None:
    """The percentile is a value of the list, by the nearest-rank definition."""
    assert percentile_90(values) == expected


def test_a_function_length_counts_from_def_to_its_last_line() -> None:
    """Blank lines, the docstring and the body count; decorators do not."""
    source = "@cache\ndef f():\n    'doc'\n\n    return 1\n"
    assert list(module_of("m.py", source).functions) == [Function(4, "m.py:2 f")]
