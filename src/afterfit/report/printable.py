"""Texts of unknown origin, made fit to be shown: no character that steers what shows it."""

from __future__ import annotations

import unicodedata
from typing import Any

# Control, format (which reorders what is read), line and paragraph separators, halves of pairs,
# and code points that mean nothing: an XML reader refuses some of them, a terminal obeys others.
_STEERING = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Cn"})
LONGEST = 300


def printable(text: str) -> str:
    """Return a text with a space for every character that is not there to be seen."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if unicodedata.category(letter) in _STEERING else letter for letter in text)


def clipped(text: str, longest: int = LONGEST) -> str:
    """Return a printable text of at most ``longest`` characters, the cut marked."""
    shown = printable(text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def clipped_values(value: Any) -> Any:
    """Return plain values (dicts, lists, texts, numbers) with every text clipped."""
    if isinstance(value, str):
        return clipped(value)
    if isinstance(value, dict):
        return {name: clipped_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clipped_values(item) for item in value]
    return value
