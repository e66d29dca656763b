"""Tables of plain text: aligned columns in the room there is, with words and intervals whole."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from afterfit.report.page import Table
from afterfit.report.printable import printable

LEAST_COLUMN = 9
MOST_LINES = 3
_GAP = 2
# A printable text holds no control character, so that this one can stand for a space that holds.
_GLUE = "\x1f"
_INTERVAL = re.compile(r"\[[^\[\]]{1,40}\]")
_PERCENT = re.compile(r"(?<=\d) %")

_Cells = Sequence[Sequence[str]]


class _Wrapper(textwrap.TextWrapper):
    """Breaks lines at spaces, and within a name only behind an underscore, slash or hyphen."""

    wordsep_simple_re = re.compile(r"([\t\n\x0b\x0c\r ]+|(?<=\w[_/])(?=\w)|(?<=[a-z]-)(?=[a-z]))")


def table_lines(table: Table, width: int) -> list[str]:
    """Return aligned columns, or one block a row where the columns would get too narrow.

    The widest columns give way first, and a long cell goes on in the next line. Words of a last
    column that would take more than three lines stand below their row, over the whole width.
    """
    cells = [[printable(text) for text in table.columns]]
    cells += [[printable(item.text) for item in row] for row in table.rows]
    lines = _wrapped(table.caption, width)
    return [*lines, *_body(cells, table.numeric, width), *_wrapped(table.note, width)]


def _body(cells: _Cells, numeric: Sequence[int], width: int) -> list[str]:
    """Return the first layout that fits: intervals whole, then broken, then one block a row."""
    for held in ((_PERCENT, _INTERVAL), (_PERCENT,), ()):
        found = _aligned([[_glued(text, held) for text in row] for row in cells], numeric, width)
        if found:
            return [line.replace(_GLUE, " ") for line in found]
    return _stacked(cells, width)


def _aligned(cells: _Cells, numeric: Sequence[int], width: int) -> list[str]:
    """Return aligned columns, the last one below its rows where it is long; nothing if too wide."""
    last = len(cells[0]) - 1
    widths = _widths(cells, width)
    if last >= 2 and last not in numeric:
        if widths and _most_lines(cells, last, widths[last]) <= MOST_LINES:
            return list(_rows(cells, widths, numeric))
        widths = _widths([row[:last] for row in cells], width)
    return list(_rows(cells, widths, numeric, width)) if widths else []


def _rows(
    cells: _Cells, widths: Sequence[int], numeric: Sequence[int], width: int = 0
) -> Iterator[str]:
    """Yield the lines of all rows; a column that has no width stands below its row."""
    shown = len(widths)
    for place, row in enumerate(cells):
        yield from _row(row[:shown], widths, numeric)
        if place == 0:
            yield (" " * _GAP).join("-" * size for size in widths)
            continue
        for name, text in zip(cells[0][shown:], row[shown:], strict=True):
            yield from _wrapped(f"{name}: {text}", width, "    ") if text else ()


def _stacked(cells: _Cells, width: int) -> list[str]:
    names, lines = cells[0], []
    for row in cells[1:]:
        for place, (name, text) in enumerate(zip(names, row, strict=True)):
            indent = "  " if place else ""
            lines += _wrapped(f"{name}: {text}", width, indent) if text else []
    return lines


def _widths(cells: _Cells, width: int) -> list[int]:
    """Return the widths of the columns, each at least its longest word; nothing if too wide."""
    columns = list(zip(*cells, strict=True))
    widths = [max(1, *map(len, column)) for column in columns]
    least = [
        max(min(LEAST_COLUMN, full), *map(_longest_word, column))
        for column, full in zip(columns, widths, strict=True)
    ]
    room = width - _GAP * (len(widths) - 1)
    if sum(least) > room:
        return []
    while sum(widths) > room:
        spare = [size if size > low else 0 for size, low in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


def _longest_word(text: str) -> int:
    return max(len(part.strip(" ")) for part in _Wrapper.wordsep_simple_re.split(text))


def _most_lines(cells: _Cells, place: int, size: int) -> int:
    return max(len(_cell(row[place], size)) for row in cells)


def _row(row: Sequence[str], widths: Sequence[int], numeric: Sequence[int]) -> Iterator[str]:
    parts = [_cell(text, size) for text, size in zip(row, widths, strict=True)]
    for line in range(max(map(len, parts))):
        pieces = []
        for place, (part, size) in enumerate(zip(parts, widths, strict=True)):
            text = part[line] if line < len(part) else ""
            pieces.append(text.rjust(size) if place in numeric else text.ljust(size))
        yield (" " * _GAP).join(pieces).rstrip()


def _cell(text: str, size: int) -> list[str]:
    return _Wrapper(size, break_on_hyphens=False).wrap(text) or [""]


def _glued(text: str, held: Sequence[re.Pattern[str]]) -> str:
    """Return a text with no space to break at inside what is held together."""
    for pattern in held:
        text = pattern.sub(lambda match: match.group().replace(" ", _GLUE), text)
    return text


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        printable(text.replace(_GLUE, " ")),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
