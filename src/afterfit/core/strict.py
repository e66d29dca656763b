"""A table as it was written, made into a struct, with every problem at once and where it is."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["Problem", "choices_of", "converted"]

Problem = tuple[str, str]
"""The path of a key (``$.serve.port``) and what is wrong there."""


def converted(
    tree: Any,
    kind: Any,
    path: str,
    problems: list[Problem],
    together: Callable[[Any, str], list[Problem]] = lambda _section, _path: [],
) -> Any:
    """Return ``tree`` as a struct of ``kind``, adding every problem with its path.

    ``together`` says what is wrong with the settings of a section that are right one by one; it
    gets None for a section that is not. None where there is any problem.
    """
    if not isinstance(tree, dict):
        problems.append((path, f"it is a table, not {tree!r}"))
        return None
    hints = get_type_hints(kind, include_extras=True)
    known = {field.name: hints[field.name] for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in tree.items():
        here = f"{path}.{key}"
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            problems.append((here, f"not a setting{hint}"))
        elif isinstance(known[key], type) and issubclass(known[key], msgspec.Struct):
            values[key] = converted(value, known[key], here, problems, together)
            problems += together(values[key], here)
        else:
            try:
                values[key] = msgspec.convert(value, known[key])
            except msgspec.ValidationError as error:
                choices = ", ".join(map(repr, choices_of(known[key])))
                problems.append(
                    (here, f"{error}; choose from {choices}" if choices else str(error))
                )
    return None if problems else kind(**values)


def choices_of(kind: Any) -> tuple[Any, ...]:
    """Return the words of which a setting is one, or has several; none where it is no word."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(word for part in get_args(kind) for word in choices_of(part))
