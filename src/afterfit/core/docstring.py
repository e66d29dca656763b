"""Docstrings that are texts for people: pages of findings, clauses of checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["docstring", "sentence"]


def docstring(owner: type[Any] | Callable[..., Any]) -> str:
    """Return the docstring of a class or function; ``python -OO`` leaves it out: it is read anew.

    Empty where there is none.
    """
    if owner.__doc__ is not None:
        return owner.__doc__
    import ast
    import inspect
    import textwrap

    written = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    if isinstance(written, ast.ClassDef | ast.FunctionDef):
        return ast.get_docstring(written) or ""
    return ""


def sentence(function: Callable[..., Any]) -> str:
    """Return the docstring of a function in one line, without the dot at its end."""
    return " ".join(docstring(function).split()).removesuffix(".")
