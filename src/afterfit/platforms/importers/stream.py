"""Large JSON and CSV files, in memory that does not grow with the file."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from afterfit.errors import InputError
from afterfit.store.files import os_errors

__all__ = ["EACH", "HEAD", "csv_rows", "json_members", "opened_text"]

HEAD = 1 << 16
"""Characters of the beginning, by which a format is told."""
CHUNK = 1 << 20
LONGEST = 1 << 28
"""No single value of a price list has as many characters; what seems to is no JSON."""
EACH = "*"
"""Stands for every key or item in a path."""
NEAR_END = 16
OF_A_NUMBER = len("e-")
"""So many characters may follow a number that is not over yet."""
_SPACE = " \t\r\n"

Path_ = tuple[str, ...]


@contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """Yield a file as UTF-8 text; raises InputError for other bytes, NotFoundError."""
    try:
        with os_errors(path, "read"), path.open(encoding="utf-8-sig", newline="") as stream:
            yield stream
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name} is no text", where=str(path), why=f"it is not UTF-8: {error.reason}",
            fix="unpack it first (gunzip, unzip), and give the CSV or JSON itself",
        ) from None  # fmt: skip


def json_members(path: Path, enter: Collection[Path_]) -> Iterator[tuple[Path_, Any]]:
    """Yield ``(path, value)`` of every member that is not entered, as the file is read.

    ``enter`` are the paths of objects and lists that are walked through, such as ``("products",)``;
    `EACH` stands for any key, and for items. Memory holds one value at a time, so it depends on the
    largest value and not on the file. Raises InputError for what is no JSON or ends too early.
    """
    with opened_text(path) as stream:
        reader = _Reader(stream, path, frozenset(enter))
        yield from reader.value(())
        reader.end()


def csv_rows(path: Path, first: str = "", keep: Collection[str] = ()) -> Iterator[dict[str, str]]:
    """Yield rows by their header, which is the first line or the one that has the column ``first``.

    Of files with many columns only those of ``keep`` are in a row, which takes a third of the time.
    Rows with more or fewer cells than the header have the key ``""``. Raises InputError.
    """
    with opened_text(path) as stream:
        reader = csv.reader(stream)
        header: list[str] = []
        kept: list[tuple[int, str]] = []
        try:
            for cells in reader:
                if not cells:
                    continue
                if not header:
                    found = [cell.strip() for cell in cells]
                    header = found if not first or first in found else []
                    kept = [
                        (at, name) for at, name in enumerate(header) if name in (keep or header)
                    ]
                    continue
                if len(cells) == len(header):
                    yield {name: cells[at] for at, name in kept}
                else:
                    yield {**dict(zip(header, cells, strict=False)), "": "odd"}
        except csv.Error as error:
            raise InputError(
                f"{path.name} is no CSV", where=f"{path}, line {reader.line_num}", why=str(error),
                fix="give the file as it was downloaded",
            ) from None  # fmt: skip
        if not header:
            why = f"no line has the column {first!r}" if first else "it has no line"
            raise InputError(f"{path.name} has no header", where=str(path), why=why,
                             fix="give the file as it was downloaded")  # fmt: skip


class _Reader:
    """Decodes values one after another from a window of text that moves on."""

    def __init__(self, stream: TextIO, path: Path, enter: frozenset[Path_]) -> None:
        self._stream = stream
        self._path = path
        self._enter = enter
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._before = 0
        self._ended = False

    def value(self, path: Path_) -> Iterator[tuple[Path_, Any]]:
        """Yield what is at a path: its members where it is entered, else itself."""
        opening = self._peek()
        if self._enters(path) and opening in "{[":
            yield from self._inside(path, named=opening == "{")
        else:
            yield path, self._decode()

    def end(self) -> None:
        """Raise InputError where something follows the whole."""
        if self._peek(at_end=True):
            raise self._wrong("something follows the end of the JSON")

    def _inside(self, path: Path_, *, named: bool) -> Iterator[tuple[Path_, Any]]:
        closing = "}" if named else "]"
        self._at += 1
        while self._peek() != closing:
            key = EACH
            if named:
                key = self._decode()
                self._take(":")
            yield from self.value((*path, key))
            if self._peek() != closing:
                self._take(",")
                if self._peek() == closing:
                    raise self._wrong("a comma before the end")
        self._at += 1

    def _enters(self, path: Path_) -> bool:
        return any(
            len(path) == len(each)
            and all(want in (EACH, have) for want, have in zip(each, path, strict=True))
            for each in self._enter
        )

    def _peek(self, *, at_end: bool = False) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                if at_end:
                    return ""
                raise self._cut()

    def _take(self, wanted: str) -> None:
        if self._peek() != wanted:
            raise self._wrong(f"expected {wanted!r}")
        self._at += 1

    def _decode(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._may_go_on(error) or len(self._text) - self._at > LONGEST:
                    raise self._wrong(error.msg, error.pos) from None
                if not self._more():
                    raise self._cut() from None
                continue
            except (ValueError, RecursionError) as error:
                raise self._wrong(str(error)) from None
            # A number that ends near the window's end may go on behind it: 1 of 1e-05 is one, too.
            if len(self._text) - end <= OF_A_NUMBER and self._more():
                continue
            self._at = end
            return value

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated") or error.pos >= len(self._text) - NEAR_END

    def _more(self) -> bool:
        """Return whether more text was read; what has been decoded goes."""
        if self._ended:
            return False
        rest = self._text[self._at :]
        # Doubled, so that a long value is not decoded anew too often.
        more = self._stream.read(max(CHUNK, len(rest)))
        self._ended = not more
        if more:
            self._before += self._at
            self._text, self._at = rest + more, 0
        return bool(more)

    def _cut(self) -> InputError:
        return InputError(
            f"{self._path.name} ends too early" if self._before + len(self._text) else
            f"{self._path.name} is empty",
            where=f"{self._path}, character {self._before + len(self._text)}",
            why="the JSON is not closed: the download was cut short",
            fix="download it again",
        )  # fmt: skip

    def _wrong(self, why: str, at: int | None = None) -> InputError:
        position = self._before + (self._at if at is None else at)
        return InputError(
            f"{self._path.name} is no JSON", where=f"{self._path}, character {position}", why=why,
            fix="give the file as it was downloaded",
        )  # fmt: skip
