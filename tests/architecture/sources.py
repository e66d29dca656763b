"""The modules of the package, each read and walked once for all that is asked of them."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Call(NamedTuple):
    """Where a plain name is called, and with which keywords; None is ``**``."""

    line: int
    name: str
    keywords: frozenset[str | None]


class Function(NamedTuple):
    """One function of the package and how many lines it has."""

    lines: int
    where: str


class Module(NamedTuple):
    """Path below src/afterfit, text, and what is asked of it: the trees would fill the memory."""

    name: str
    text: str
    calls: tuple[Call, ...]
    imports: frozenset[str]
    functions: tuple[Function, ...]


def module_of(name: str, text: str) -> Module:
    """The module of this text; functions are in their order, nested ones after their outer one."""
    calls: list[Call] = []
    imports: set[str] = set()
    functions: list[Function] = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Name(id=called)):
                keywords = frozenset(keyword.arg for keyword in node.keywords)
                calls.append(Call(node.lineno, called, keywords))
            case ast.Import():
                imports.update(alias.name for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                imports.add(module)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                functions.append(Function(lines, f"{name}:{node.lineno} {node.name}"))
    return Module(name, text, tuple(calls), frozenset(imports), tuple(functions))


@cache
def modules_of(root: Path) -> tuple[Module, ...]:
    """Every module of the package, by name; ``root`` is the folder of pyproject.toml."""
    base = root / "src" / "afterfit"
    return tuple(
        module_of(path.relative_to(base).as_posix(), path.read_text("utf-8"))
        for path in sorted(base.rglob("*.py"))
    )
