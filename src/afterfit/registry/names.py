"""Names of models and aliases, and the references that people write: ``churn@champion``."""

from __future__ import annotations

import re

import msgspec

from afterfit.errors import UsageError

CHAMPION = "champion"
MAX_NAME = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_FILES = frozenset({"head", "lock"})
"""Files that stand beside the folders of models: see `registry.shelf`."""
_ALIAS = re.compile(r"[a-z][a-z0-9_-]*")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})")
_SELECTOR = re.compile(r"[a-z0-9_:-]{1,100}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class Reference(msgspec.Struct, frozen=True):
    """What a person wrote: a name, and after ``@`` an alias, a number, a digest or nothing."""

    name: str
    selector: str = ""

    @property
    def number(self) -> int | None:
        """The selector as a version number, where it is one."""
        return int(self.selector) if _NUMBER.fullmatch(self.selector) else None

    @property
    def prefix(self) -> str | None:
        """The selector as the beginning of a digest, where it can be one (6 digits or more)."""
        match = _DIGEST.fullmatch(self.selector)
        return match[1] if match else None

    def __str__(self) -> str:
        """Return the reference as one writes it."""
        return f"{self.name}@{self.selector}" if self.selector else self.name


def check_name(name: str) -> str:
    """Return ``name``; raises UsageError where it cannot name a model."""
    if name in _FILES:
        raise UsageError(
            f"a model cannot be called {name!r}",
            why="the registry has a file of that name",
            fix=f"call it, for example: {name}-model",
        )
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return name
    raise UsageError(
        f"not a name for a model: {name[:MAX_NAME]!r}",
        why=f"a name has 1 to {MAX_NAME} of a-z, 0-9, '.', '_' and '-', "
        "and begins with a letter or a digit",
        fix=f"call it, for example: {_suggestion(name)}",
    )


def check_alias(alias: str) -> str:
    """Return ``alias``; raises UsageError where it cannot be one or reads like a digest."""
    if _ALIAS.fullmatch(alias) and len(alias) <= MAX_NAME and not _DIGEST.fullmatch(alias):
        return alias
    raise UsageError(
        f"not an alias: {alias[:MAX_NAME]!r}",
        why="an alias begins with a letter, has a-z, 0-9, '_' and '-', "
        "and does not read like a digest",
        fix=f"use {CHAMPION} or challenger",
    )


def parse_reference(text: str) -> Reference:
    """Return the reference written in ``text``; raises UsageError that shows the grammar."""
    name, at, selector = text.strip().partition("@")
    if at and not selector:
        raise UsageError(
            f"nothing after the @ of {text[:MAX_NAME]!r}",
            why="a reference is NAME, NAME@ALIAS, NAME@NUMBER or NAME@DIGEST",
            fix=f"write, for example: {_suggestion(name)}@{CHAMPION}",
        )
    if selector and not _SELECTOR.fullmatch(selector):
        raise UsageError(
            f"not a version: {text[:MAX_NAME]!r}",
            why="after the @ stands an alias, a number, or a digest",
            fix=f"write, for example: {_suggestion(name)}@{CHAMPION}",
        )
    return Reference(check_name(name), selector)


def _suggestion(name: str) -> str:
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-")[:MAX_NAME]
    return plain or "churn"
