"""The trust book: what a person allowed a model file to hold, bound to the file's digest."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import msgspec

from afterfit.errors import IntegrityError, UsageError
from afterfit.runtime.endpoint import write_atomic

__all__ = ["Grant", "allow", "check_exact", "load_allow", "load_book"]


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The names that ``who`` allowed in one file, and when (ISO 8601, UTC)."""

    allow: tuple[str, ...]
    who: str
    when: str


def load_book(path: Path) -> dict[str, Grant]:
    """Return file digest to grant; empty where there is no book yet. Raises IntegrityError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        return msgspec.json.decode(data, type=dict[str, Grant])
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            "the trust book cannot be read",
            where=str(path),
            why=str(error),
            fix=f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.bad')}   # then allow again: "
            "afterfit trust FILE --allow NAME",
        ) from None


def load_allow(path: Path, digest: str) -> frozenset[str]:
    """Return the names allowed for the file of that digest; raises IntegrityError."""
    grant = load_book(path).get(digest)
    return frozenset(grant.allow) if grant else frozenset()


def check_exact(names: Iterable[str]) -> None:
    """Do nothing for names such as ``module.Name``; raises UsageError for any other.

    Patterns would allow the unknown.
    """
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")) or "." not in name:
            raise UsageError(
                f"{name!r} is not an exact name",
                why="only whole names such as mypkg.Encoder can be allowed",
                fix="afterfit trust FILE --allow mypkg.Encoder",
            )


def allow(path: Path, digest: str, names: Iterable[str], who: str, when: str) -> Grant:
    """Return the file's grant after adding exact names to it; the book is replaced atomically.

    What is read and written back wants a lock around it (``Workspace.trust`` holds one), or one of
    two grants at a time is lost. Raises UsageError as ``check_exact`` does.
    """
    wanted = tuple(names)
    check_exact(wanted)
    book = load_book(path)
    before = book[digest].allow if digest in book else ()
    grant = Grant(allow=tuple(sorted({*before, *wanted})), who=who, when=when)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.encode({**book, digest: grant}, order="sorted"))
    return grant
