"""The errors a user can meet, each saying what is wrong, where, why, and what to do.

::

    AfterfitError
    ├── UsageError          the command line or the call is wrong
    ├── ConfigError         afterfit.toml is wrong
    ├── InputError          data that cannot be used as given
    ├── ModelError          a model that cannot be used as given
    ├── UntrustedError      a file holds something the audit does not know
    ├── IntegrityError      bytes are not what their digest says
    ├── NotFoundError       a file, name, version or record does not exist
    ├── ConflictError       somebody else changed it first, or it exists already
    ├── ForbiddenError      the operating system or a role refuses
    ├── UnavailableError    a service does not answer
    ├── DependencyError     an optional package is not installed
    ├── ResourceError       disk, memory or time ran out
    ├── InterruptedRun      the user pressed ctrl-C
    └── InternalError       a defect of Afterfit
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "RESTORE",
    "AfterfitError",
    "ConfigError",
    "ConflictError",
    "DependencyError",
    "ForbiddenError",
    "InputError",
    "IntegrityError",
    "InternalError",
    "InterruptedRun",
    "ModelError",
    "NotFoundError",
    "ResourceError",
    "UnavailableError",
    "UntrustedError",
    "UsageError",
    "error_from",
    "first_line",
    "in_record",
    "of_others",
]

RESTORE = "restore it from a copy of the workspace, or ship the model again"
"""The fix of bytes that are not what their digest says."""


class AfterfitError(Exception):
    """The root of the tree: ``message`` (what), ``where``, ``why``, ``fix`` and a ``code``."""

    kind: ClassVar[str] = "bug"
    exit_code: ClassVar[int] = 2

    def __init__(
        self, message: str, *, where: str = "", why: str = "", fix: str = "", code: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.why = why
        self.fix = fix
        self.code = code or self.kind

    def __str__(self) -> str:
        """Return the whole story, one line for each part that is known."""
        parts = [self.message]
        parts += [f"  {label}: {text}" for label, text in self.details() if text]
        return "\n".join(parts)

    def details(self) -> list[tuple[str, str]]:
        """Return (label, text) for where, why and fix, empty texts included."""
        return [("where", self.where), ("why", self.why), ("fix", self.fix)]

    def as_dict(self) -> dict[str, str]:
        """Return the ``error`` object of ``--json``."""
        return {
            "kind": self.kind,
            "code": self.code,
            "message": self.message,
            "where": self.where,
            "why": self.why,
            "fix": self.fix,
        }


class UsageError(AfterfitError):
    """The command line or the call is wrong."""

    kind = "usage"


class ConfigError(AfterfitError):
    """``afterfit.toml`` is wrong; ``where`` holds the path of the key."""

    kind = "config"


class InputError(AfterfitError):
    """Data that cannot be used as given; ``where`` names file, line, column or ``$.path``."""

    kind = "input"


class ModelError(AfterfitError):
    """A model that cannot be used as given."""

    kind = "model"


class UntrustedError(AfterfitError):
    """A model file holds something the audit does not know; ``found`` lists it."""

    kind = "untrusted"

    def __init__(
        self,
        message: str,
        *,
        where: str = "",
        why: str = "",
        fix: str = "",
        code: str = "",
        found: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, where=where, why=why, fix=fix, code=code)
        self.found = found


class IntegrityError(AfterfitError):
    """Bytes are not what their digest says; ``where`` names the file."""

    kind = "integrity"


class NotFoundError(AfterfitError):
    """A file, name, version or record does not exist."""

    kind = "not_found"


class ConflictError(AfterfitError):
    """Somebody else changed it first, or it exists already."""

    kind = "conflict"


class ForbiddenError(AfterfitError):
    """The operating system or a role refuses."""

    kind = "permission"


class UnavailableError(AfterfitError):
    """A service does not answer."""

    kind = "unavailable"


class DependencyError(AfterfitError):
    """An optional package is not installed; ``fix`` is the install command."""

    kind = "dependency"


class ResourceError(AfterfitError):
    """Disk, memory or time ran out."""

    kind = "resource"


class InterruptedRun(AfterfitError):
    """The user pressed ctrl-C; what was finished is kept."""

    kind = "interrupted"
    exit_code = 130


class InternalError(AfterfitError):
    """A defect of Afterfit; please report it."""

    kind = "bug"
    exit_code = 101


def error_from(told: Mapping[str, str], otherwise: type[AfterfitError]) -> AfterfitError:
    """Return the error that another process told by ``as_dict``, of a kind of this tree.

    One of no kind of it is taken for ``otherwise``.
    """
    kinds = {k.kind: k for k in AfterfitError.__subclasses__() if k.__module__ == __name__}
    parts = {name: told.get(name, "") for name in ("where", "why", "fix", "code")}
    kind = kinds.get(told.get("kind", ""), otherwise)
    return kind(told.get("message") or "unknown error", **parts)


_TYPE = re.compile(r"[A-Za-z_]\w{0,79}(?=:|$)")
_KIND = re.compile(r"\w+(?:Error|Exception|Warning|Interrupt|Exit)\Z")


def first_line(error: BaseException, most: int = 300) -> str:
    r"""Return the first line of what an error of others says, or its class where it says nothing.

    >>> first_line(ValueError("no\nmore")), first_line(AssertionError())
    ('no', 'AssertionError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def in_record(error: BaseException) -> str:
    """Return what a record may hold of an error: what failed, and the type of the exception.

    The words of a model or of a library may quote the values of a row, so they are left out, and
    with them every ``why``: records, pages and comments go where rows must not. Do not use it for
    errors whose ``message`` quotes values.
    """
    if not isinstance(error, AfterfitError):
        return f"{type(error).__name__} while predicting"
    found = _TYPE.match(error.why)
    # What a model's process tells begins with the type, whatever its author called it; the last
    # lines of one that died may begin with anything.
    named = of_others(error) and error.code != "child_died"
    if found and (named or _KIND.match(found[0])):
        return f"{error.message}: {found[0]}"
    return error.message


def of_others(error: AfterfitError) -> bool:
    """Return whether the ``why`` holds the words of a model's process."""
    return error.code in {"refused", "child_died"} or error.code.endswith("_failed")
