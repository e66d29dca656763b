"""What stands on the stack of a pickle that is read and never run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["NOTHING", "DictValue", "Global", "Made", "Opaque", "RefusedError", "SetValue", "Value"]


class RefusedError(Exception):
    """A stream that cannot be followed to its end; ``offset`` is the byte it happened at."""

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


@dataclass(slots=True, eq=False, frozen=True)
class Global:
    """A module attribute that loading would import; ``name`` may be dotted (a nested name)."""

    module: str
    name: str

    @property
    def full(self) -> str:
        """Return ``module.name``."""
        return f"{self.module}.{self.name}"

    @property
    def pair(self) -> tuple[str, str]:
        """Return (module, name)."""
        return self.module, self.name


@dataclass(slots=True, eq=False)
class Made:
    """An object that loading would make by calling ``maker`` or its ``__new__`` with ``args``."""

    maker: Global
    args: Value = ()
    states: list[Value] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class DictValue:
    """A dict; keys and values are abstract, in the order written."""

    items: list[tuple[Value, Value]] = field(default_factory=list)

    def get(self, key: str) -> Value:
        """Return the last value written under the constant ``key``, or ``NOTHING``."""
        for written, value in reversed(self.items):
            if isinstance(written, str) and written == key:
                return value
        return NOTHING


@dataclass(slots=True, eq=False)
class SetValue:
    """A set or frozenset."""

    items: list[Value] = field(default_factory=list)


@dataclass(slots=True, eq=False, frozen=True)
class Opaque:
    """A constant that is of no interest (a very long text) or whose content is not known."""

    what: str


NOTHING = Opaque("absent")

Value: TypeAlias = (
    Global
    | Made
    | DictValue
    | SetValue
    | Opaque
    | list["Value"]
    | tuple["Value", ...]
    | str
    | bytes
    | memoryview
    | int
    | float
    | None
)
