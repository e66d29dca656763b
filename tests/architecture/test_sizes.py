"""The sizes of functions and modules: ugliness lives in the tail, so the tail has limits."""

from __future__ import annotations

import ast
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_FUNCTION = 60
P90_FUNCTION = 30
LONGEST_MODULE = 400


class Function(NamedTuple):
    """One function of the package and how many lines it has."""

    lines: int
    where: str


def functions_of(name: str, source: str) -> Iterator[Function]:
    """Every function and method in the source, nested ones included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(lines, f"{name}:{node.lineno} {node.name}")


def percentile_90(values: list[int]) -> int:
    """The smallest value that at least nine in ten values do not exceed."""
    ordered = sorted(values)
    return ordered[-(-9 * len(ordered) // 10) - 1]


@pytest.fixture(scope="module")
def modules(project_root: Path) -> list[tuple[str, str]]:
    """Path below src/afterfit and text of every module of the package."""
    base = project_root / "src" / "afterfit"
    paths = sorted(base.rglob("*.py"))
    return [(path.relative_to(base).as_posix(), path.read_text("utf-8")) for path in paths]


@pytest.fixture(scope="module")
def functions(modules: list[tuple[str, str]]) -> list[Function]:
    """Every function of the package."""
    found = [function for each in starmap(functions_of, modules) for function in each]
    assert found, "no function was found in src/afterfit: this check would pass on nothing"
    return found


def test_no_function_is_longer_than_sixty_lines(functions: list[Function]) -> None:
    """A function that does not fit on a screen fails, by name."""
    assert [function for function in functions if function.lines > LONGEST_FUNCTION] == []


def test_nine_in_ten_functions_have_at_most_thirty_lines(functions: list[Function]) -> None:
    """The 90th percentile of function length stays at or under 30 lines."""
    longest = sorted(functions, reverse=True)[:10]
    assert percentile_90([function.lines for function in functions]) <= P90_FUNCTION, longest


def test_no_module_is_longer_than_four_hundred_lines(modules: list[tuple[str, str]]) -> None:
    """A module that grew past one subject fails, by name."""
    sizes = {name: len(text.splitlines()) for name, text in modules}
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
    assert list(functions_of("m.py", source)) == [Function(4, "m.py:2 f")]
