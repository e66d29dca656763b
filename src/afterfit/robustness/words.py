"""Strange words, and other ways to write the same one."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import numpy as np

from afterfit.core.frame import missing_mask

__all__ = ["LOOKS", "SPELLINGS", "TEXTS", "UNSEEN", "changed_words"]

UNSEEN = "afterfit-unseen-category"
LONG_CHARACTERS = 10_000
ZERO_WIDTH_JOINER = "\N{ZERO WIDTH JOINER}"
RIGHT_TO_LEFT_MARK = "\N{RIGHT-TO-LEFT MARK}"

TEXTS = {
    "unseen category": UNSEEN,
    "empty string": "",
    "only spaces": "   ",
    "not Latin": "数据-данные-🙂",  # letters that look Latin are the point
    "right to left": "שלום عالم",
    "emoji of several characters": ZERO_WIDTH_JOINER.join("👩👩👧") + "🏳️",
    "very long": "x" * LONG_CHARACTERS,
    "NUL inside": "a\0b",
}
"""What is sent in place of a word."""


def _spaced(word: str) -> str:
    return f" {word} "


def _lines(word: str) -> str:
    return f"{word}\r\n"


def _decomposed(word: str) -> str:
    return unicodedata.normalize("NFD", word)


def _composed(word: str) -> str:
    return unicodedata.normalize("NFC", word)


def _joined(word: str) -> str:
    return word[:1] + ZERO_WIDTH_JOINER + word[1:]


def _marked(word: str) -> str:
    return RIGHT_TO_LEFT_MARK + word


def _hard_spaces(word: str) -> str:
    return word.replace(" ", "\N{NO-BREAK SPACE}")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "stray space": _spaced,
    "line end behind it": _lines,
    "other case": str.swapcase,
}
"""Other spellings of the same word, as people and exports write them."""

LOOKS: dict[str, Callable[[str], str]] = {
    "decomposed letters (NFD)": _decomposed,
    "composed letters (NFC)": _composed,
    "zero-width joiner inside": _joined,
    "right-to-left mark before it": _marked,
    "no-break spaces": _hard_spaces,
}
"""Other characters for a text that looks the same (Unicode Standard Annex 15, 9)."""


def changed_words(values: np.ndarray, change: Callable[[str], str]) -> np.ndarray:
    """Return object of [n] with every word changed; what is missing stays missing."""
    gone = missing_mask(values)
    out = np.empty(len(values), dtype=object)
    for row, value in enumerate(values.tolist()):
        out[row] = None if gone[row] else change(str(value))
    return out
