"""Reads the YAML that MLflow and DVC write: blocks of mappings, lists and plain or quoted scalars.

Anchors, tags, flow collections with content, block scalars and several documents are none of it:
they are refused, so that nothing is read as something else.
Source: YAML 1.2.2, chapters 6 to 8.
"""

from __future__ import annotations

import re
from typing import Any

from afterfit.errors import InputError

__all__ = ["read_yaml"]

_KEY = re.compile(
    r"""((?:"(?:[^"\\]|\\.)*")|(?:'(?:[^']|'')*')|[^\s#\-][^#]*?|-[^\s#][^#]*?):(?:\s+|$)"""
)
_NUMBER = re.compile(r"[-+]?(?:\d+)")
_FLOAT = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?:\.\d*)?[eE][-+]?\d+)(?:[eE][-+]?\d+)?")
_WORDS: dict[str, Any] = {
    "null": None, "~": None, "": None, "true": True, "false": False, "[]": [], "{}": {},
}  # fmt: skip
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r",
    "e": "\x1b", " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0",
}  # fmt: skip
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_MOST_BYTES = 16 << 20
_DEEPEST = 50


def read_yaml(text: str, where: str) -> Any:
    """Return what a document holds: dicts, lists, texts, numbers, booleans and None.

    Raises InputError naming the line of what is broken, or is none of the YAML that is read here.
    """
    if len(text) > _MOST_BYTES:
        raise InputError(
            "the file is too large to be a description", where=where, fix="look at what it holds"
        )
    reader = _Reader(text, where)
    value = reader.block(0, 0)
    reader.require_end()
    return value


class _Reader:
    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._lines = text.replace("\r\n", "\n").split("\n")
        self._at = 0
        if self._lines and self._lines[0].rstrip() == "---":
            self._at = 1

    def block(self, indent: int, depth: int) -> Any:
        """Return the mapping, list or scalar that begins here, ``indent`` columns in or more."""
        if depth > _DEEPEST:
            raise self._wrong("it is nested too deeply")
        line = self._next()
        if line is None or _indent(line) < indent:
            return None
        column = _indent(line)
        rest = line[column:]
        if _is_item(rest):
            return self._list(column, depth)
        if _KEY.match(rest):
            return self._mapping(column, depth)
        self._at += 1
        return self._scalar(rest, column - 1)

    def require_end(self) -> None:
        """Raise InputError where something is left."""
        line = self._next()
        if line is not None and line.rstrip() != "...":
            raise self._wrong("it stands further out or in than what is before it")

    def _mapping(self, column: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (line := self._next()) is not None and _indent(line) == column:
            match = _KEY.match(line[column:])
            if match is None or _is_item(line[column:]):
                break
            key = str(_plain_key(match[1]))
            if key in found:
                raise self._wrong(f"{key!r} stands there twice")
            found[key] = self._value(line[column + match.end() :], column, depth)
        return found

    def _list(self, column: int, depth: int) -> list[Any]:
        found: list[Any] = []
        while (line := self._next()) is not None and _indent(line) == column:
            rest = line[column:]
            if not _is_item(rest):
                break
            inner = rest[1:].lstrip(" ")
            if _KEY.match(inner) or _is_item(inner):
                # The dash stands where the mapping's indentation would.
                start = column + len(rest) - len(inner)
                self._lines[self._at] = " " * start + inner
                found.append(self.block(start, depth + 1))
            else:
                found.append(self._value(inner, column, depth, of_list=True))
        return found

    def _value(self, rest: str, column: int, depth: int, *, of_list: bool = False) -> Any:
        text = rest.strip()
        self._at += 1
        if text and not text.startswith("#"):
            return self._scalar(rest.strip(), column)
        line = self._next()
        if line is None:
            return None
        # A list may stand below its key without being further in.
        inside = _indent(line) > column
        if inside or (not of_list and _indent(line) == column and _is_item(line[column:])):
            return self.block(_indent(line), depth + 1)
        return None

    def _scalar(self, first: str, column: int) -> Any:
        """Return a scalar whose first line was taken; what follows further in goes on with it."""
        began = self._at
        if first[0] in "\"'":
            return self._quoted(first, began)
        parts = [_uncommented(first)]
        while self._at < len(self._lines) and len(parts[-1]) == len(parts[-1].rstrip()):
            line = self._lines[self._at]
            if not line.strip():
                following = self._after_blank()
                if following is None or _indent(following) <= column:
                    break
                raise self._wrong("a blank line inside of a text is not read", began)
            if _indent(line) <= column or line.lstrip().startswith("#"):
                break
            if _KEY.match(line.strip()):
                raise self._wrong("a mapping stands inside of a text", began)
            parts.append(_uncommented(line.strip()))
            self._at += 1
        text = " ".join(parts)
        if text[:1] in "&*!|>%@`" and text:
            raise self._wrong(f"{text[:1]!r} at the beginning of a value is not read", began)
        if text[:1] in "[{" and text not in _WORDS:
            raise self._wrong("a list or mapping in one line is not read", began)
        return _typed(text)

    def _quoted(self, first: str, began: int) -> str:
        quote, text = first[0], first
        while (end := _end_of(text, quote)) is None:
            if self._at >= len(self._lines):
                raise self._wrong("a quotation mark is not closed", began)
            text = _folded(text, self._lines[self._at].strip(), quote)
            self._at += 1
        if text[end + 1 :].strip() and not text[end + 1 :].lstrip().startswith("#"):
            raise self._wrong("something follows a quoted text", began)
        inner = text[1:end].replace(_BREAK, "\n")
        if quote == "'":
            return inner.replace("''", "'")
        return _ESCAPE.sub(self._unescaped, inner)

    def _unescaped(self, match: re.Match[str]) -> str:
        if code := match[1] or match[2] or match[3]:
            number = int(code, 16)
            if number > 0x10FFFF:
                raise self._wrong("an escape names no character")
            return chr(number)
        if match[4] not in _ESCAPES:
            raise self._wrong(f"an escape is unknown: \\{match[4]}")
        return _ESCAPES[match[4]]

    def _next(self) -> str | None:
        """Return the next line with something on it; None at the end."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip() and not line.lstrip().startswith("#"):
                if line.lstrip(" ").startswith("\t"):
                    raise self._wrong("a tab indents it")
                return line
            self._at += 1
        return None

    def _after_blank(self) -> str | None:
        return next((line for line in self._lines[self._at :] if line.strip()), None)

    def _wrong(self, why: str, began: int = 0) -> InputError:
        """Return the error of the line that is read, or of the one where a value ``began``."""
        line = began or min(self._at + 1, len(self._lines))
        return InputError(
            "cannot be read as YAML",
            where=f"{self._where}:{line}",
            why=why,
            fix="look at that line; MLflow and DVC write blocks of plain values",
        )


_BREAK = "\ue000"
"""Stands for a line break inside of quotation marks until escapes are read."""


def _folded(text: str, line: str, quote: str) -> str:
    """Return a quoted text with one more line: a break is a space, a blank line is a break."""
    if not line:
        return text.rstrip(" ") + _BREAK
    if quote == '"' and _odd_backslash(text):
        return text[:-1] + line
    kept = text if quote == '"' and text.endswith("\\ ") else text.rstrip(" ")
    return kept + line if kept.endswith(_BREAK) else f"{kept} {line}"


def _odd_backslash(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _end_of(text: str, quote: str) -> int | None:
    """Return where the closing quotation mark stands; None where the text goes on."""
    at = 1
    while at < len(text):
        if quote == '"' and text[at] == "\\":
            at += 2
        elif text[at] == quote:
            if quote == "'" and text[at + 1 : at + 2] == "'":
                at += 2
            else:
                return at
        else:
            at += 1
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _is_item(rest: str) -> bool:
    return rest == "-" or rest.startswith("- ")


def _uncommented(text: str) -> str:
    return re.split(r"\s#", text, maxsplit=1)[0].strip()


def _plain_key(text: str) -> Any:
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    return text[1:-1] if text[0] == '"' else text.strip()


def _typed(text: str) -> Any:
    if text in _WORDS or text.lower() in {"null", "true", "false"}:
        value = _WORDS[text if text in _WORDS else text.lower()]
        return type(value)() if isinstance(value, list | dict) else value
    if _NUMBER.fullmatch(text) and (
        text.lstrip("+-") == "0" or not text.lstrip("+-").startswith("0")
    ):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
