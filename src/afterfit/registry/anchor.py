"""The end of the audit log, kept where those who may write the workspace cannot.

Somebody who may write every file or table can rebuild a whole chain. An anchor is the number and
the hash of one line, put into a file, into a note of Git or sent to a web address: a log that was
rebuilt since no longer has that line. Anchors are JSON, one a line.
"""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from afterfit.core.digest import canonical_json
from afterfit.errors import (
    InputError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
    first_line,
)
from afterfit.registry.audit import Entry, utc_now
from afterfit.registry.registry import Registry
from afterfit.store.files import os_errors, read_bytes, write_bytes
from afterfit.store.remote.secret import redacted

__all__ = ["GIT_NOTE", "Anchor", "anchor", "check_anchors", "known_places"]

GIT_NOTE = "git-note"
_REF = "afterfit"
_TIMEOUT_S = 20.0
_WEB = ("http://", "https://")


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """Line ``line`` of the log whose first line has the hash ``log`` had the hash ``hash``."""

    schema: int = 1
    log: str
    line: int
    hash: str
    time: str
    who: str


class AnchorCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How many anchors the log agrees with, where they were, and the newest line among them."""

    anchors: int
    places: tuple[str, ...]
    line: int


def anchor(registry: Registry, places: Sequence[str], *, who: str) -> Anchor:
    """Return the end of the log after putting it into each of ``places``.

    A place is a file, ``git-note`` (the note of the commit that is checked out here) or a web
    address that takes a POST. Files and notes are remembered beside the workspace, so that
    ``version verify`` looks there. Raises UsageError for an empty log, UnavailableError.
    """
    entries = list(registry.log())
    if not entries:
        raise UsageError(
            "there is nothing to anchor: the audit log is empty", fix="afterfit ship MODEL"
        )
    made = Anchor(
        log=entries[0].hash,
        line=entries[-1].seq,
        hash=entries[-1].hash,
        time=utc_now().isoformat(timespec="seconds"),
        who=who,
    )
    for place in places:
        _put(place, made)
    kept = [p if p == GIT_NOTE else str(Path(p).resolve()) for p in places if not _is_web(p)]
    _remember(registry.folder, kept)
    return made


def check_anchors(entries: Iterable[Entry], places: Sequence[str]) -> AnchorCheck:
    """Return what the anchors in ``places`` say of a log; raises IntegrityError where they differ.

    Raises NotFoundError for a place without anchors: what is gone cannot vouch for anything.
    """
    hashes = {entry.seq: entry.hash for entry in entries}
    count = newest = 0
    for place in places:
        found = _read(place)
        mine = [each for each in found if each.log == hashes.get(1)]
        if not mine:
            raise _other_log(place, found)
        for each in mine:
            if hashes.get(each.line) != each.hash:
                raise _rebuilt(place, each, len(hashes))
        count += len(mine)
        newest = max(newest, *(each.line for each in mine))
    return AnchorCheck(anchors=count, places=tuple(places), line=newest)


def known_places(folder: Path) -> tuple[str, ...]:
    """Return the files and notes that anchors of this workspace were put into."""
    path = _list_of(folder)
    if not path.exists():
        return ()
    try:
        return msgspec.json.decode(read_bytes(path), type=tuple[str, ...])
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            "the list of anchors cannot be read",
            where=str(path),
            why=str(error),
            fix="restore it from a copy, or name them: afterfit version verify --anchors FILE",
        ) from None


def _put(place: str, made: Anchor) -> None:
    line = canonical_json(made)
    if _is_web(place):
        _post(place, line)
    elif place == GIT_NOTE:
        _git("notes", f"--ref={_REF}", "append", "-m", line.decode(), "HEAD")
    else:
        path = Path(place)
        with os_errors(path, "write"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                stream.write(line + b"\n")
                stream.flush()
                os.fsync(stream.fileno())


def _read(place: str) -> list[Anchor]:
    if place == GIT_NOTE:
        listed = _git("notes", f"--ref={_REF}", "list").split()[::2]
        lines = [line for note in listed for line in _git("cat-file", "-p", note).splitlines()]
    else:
        lines = read_bytes(Path(place)).decode("utf-8", "replace").splitlines()
    found = [_decoded(line, place, n) for n, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise NotFoundError(
            "there are no anchors",
            where=place,
            why="they were never put there, or they were removed",
            fix=f"afterfit version anchor --to {place}",
        )
    return found


def _decoded(line: str, place: str, number: int) -> Anchor:
    try:
        return msgspec.json.decode(line.encode(), type=Anchor)
    except msgspec.MsgspecError as error:
        raise InputError(
            "not an anchor",
            where=f"{place}:{number}",
            why=str(error),
            fix="an anchor is one line of JSON, as afterfit version anchor writes it",
        ) from None


def _post(address: str, line: bytes) -> None:
    request = urllib.request.Request(  # noqa: S310 - http and https alone come here
        address, data=line, headers={"content-type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310 - as above
            pass
    except (OSError, ValueError) as error:
        raise UnavailableError(
            "the web address did not take the anchor",
            where=redacted(address),
            why=redacted(first_line(error)),
            fix="look at the address, then run the same command again",
        ) from None


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words],  # noqa: S607 - the user's own git
            capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(
            "git cannot be run", why=first_line(error), fix="install git, or anchor to a file"
        ) from None
    if done.returncode:
        raise UsageError(
            "git did not take or give the anchor",
            where=str(Path.cwd()),
            why=(done.stderr.strip().splitlines() or ["no reason was given"])[0],
            fix="run it in a repository that has a commit, or anchor to a file",
        )
    return done.stdout


def _remember(folder: Path, places: Sequence[str]) -> None:
    both = sorted({*known_places(folder), *places})
    if places:
        write_bytes(_list_of(folder), canonical_json(both))


def _list_of(folder: Path) -> Path:
    return folder / "anchors.json"


def _is_web(place: str) -> bool:
    return place.startswith(_WEB)


def _other_log(place: str, found: list[Anchor]) -> IntegrityError:
    return IntegrityError(
        "the audit log is not the one that was anchored",
        where=place,
        why=f"none of its {len(found)} anchors has the first line of this log",
        fix="look who could rebuild it; restore the workspace from a copy from before",
    )


def _rebuilt(place: str, each: Anchor, lines: int) -> IntegrityError:
    what = "is gone" if each.line > lines else "has another hash now"
    return IntegrityError(
        f"the audit log was rebuilt: line {each.line} {what}",
        where=place,
        why=f"{each.who} anchored it at {each.time} with {each.hash[:16]}…",
        fix="look who could rebuild it; restore the workspace from a copy from before",
    )
