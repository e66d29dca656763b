"""Ways to spoil free text: typos, other case, truncation, unknown words, emoji."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from afterfit.core.frame import Frame, missing_mask
from afterfit.robustness.corruption import SHARES, Corruption

if TYPE_CHECKING:
    from afterfit.robustness.evidence import Evidence

__all__ = ["text_corruptions"]

# Of a text, a share, and the generator of this row.
Rewrite = Callable[[str, float, np.random.Generator], str]
GATE = "text_drop"
TYPOS = (0.01, 0.02, 0.05, 0.1, 0.2)
CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)
CASES = (0.1, 0.25, 0.5, 0.75, 1.0)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
EMOJI = ("🙂", "👍🏽", "👩\N{ZERO WIDTH JOINER}💻", "🇪🇺", "שלום", "\N{RIGHT-TO-LEFT MARK}")


def text_corruptions(evidence: Evidence) -> list[Corruption]:
    """Return the ladders of the columns of free text; none where there are none."""
    columns = [column.name for column in evidence.signature.columns if column.kind == "text"]
    if not columns:
        return []
    words, letters = "of the words", "of the letters"
    kinds: list[tuple[str, str, tuple[float, float, float, float, float], Rewrite]] = [
        ("typos", letters, TYPOS, _typos),
        ("words in other case", words, CASES, _cases),
        ("truncation", "of each text", CUTS, _cut),
        ("unknown words", words, SHARES, _unknown),
        ("emoji and right-to-left words", words, SHARES, _emoji),
    ]
    return [
        Corruption(name, GATE, unit, levels, partial(_rewritten, columns=columns, rewrite=rewrite))
        for name, unit, levels, rewrite in kinds
    ]


def _rewritten(
    rows: Frame,
    level: float,
    random: np.random.Generator,
    *,
    columns: list[str],
    rewrite: Rewrite,
) -> dict[str, np.ndarray]:
    changed = {}
    for name in columns:
        values = rows[name]
        gone = missing_mask(values)
        # A generator a row: what one text draws moves no other, whatever the level.
        seeds = random.integers(0, 2**32, len(values)).tolist()
        out = values.astype(object)
        for row in np.flatnonzero(~gone).tolist():
            out[row] = rewrite(str(values[row]), level, np.random.default_rng(seeds[row]))
        changed[name] = out
    return changed


def _typos(text: str, level: float, random: np.random.Generator) -> str:
    """Return the text with a share of its letters swapped, doubled, dropped or replaced."""
    drawn = random.random(len(text))
    kinds = random.integers(0, 4, len(text)).tolist()
    others = random.integers(0, len(LETTERS), len(text)).tolist()
    out = []
    place = 0
    while place < len(text):
        letter = text[place]
        if letter.isspace() or drawn[place] >= level:
            out.append(letter)
        elif kinds[place] == 0 and place + 1 < len(text):
            out += [text[place + 1], letter]
            place += 1
        elif kinds[place] == 1:
            out += [letter, letter]
        elif kinds[place] == 2:
            out.append(LETTERS[others[place]])
        place += 1
    return "".join(out)


def _by_word(
    text: str, change: Callable[[str, float, int], str], random: np.random.Generator
) -> str:
    words = text.split(" ")
    drawn = random.random(len(words)).tolist()
    picks = random.integers(0, 2**31, len(words)).tolist()
    return " ".join(change(*each) for each in zip(words, drawn, picks, strict=True))


def _cases(text: str, level: float, random: np.random.Generator) -> str:
    return _by_word(text, lambda word, drawn, _: word.swapcase() if drawn < level else word, random)


def _cut(text: str, level: float, _random: np.random.Generator) -> str:
    return text[: round(len(text) * (1.0 - level))]


def _unknown(text: str, level: float, random: np.random.Generator) -> str:
    return _by_word(
        text, lambda word, drawn, pick: _nonsense(pick) if drawn < level else word, random
    )


def _nonsense(pick: int) -> str:
    """Return a word of eight letters that no language has."""
    letters = []
    for _ in range(8):
        pick, letter = divmod(pick * 31 + 7, len(LETTERS))
        letters.append(LETTERS[letter])
    return "zq" + "".join(letters)


def _emoji(text: str, level: float, random: np.random.Generator) -> str:
    return _by_word(
        text,
        lambda word, drawn, pick: f"{word} {EMOJI[pick % len(EMOJI)]}" if drawn < level else word,
        random,
    )
