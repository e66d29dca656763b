"""Numbers, nulls and words at the edge: a finite answer or 4xx, and no NaN in or out."""

from __future__ import annotations

import math
import struct
from typing import Any

from afterfit.core.wire.answers import differences
from afterfit.robustness.endpoint import findings
from afterfit.robustness.endpoint.check import FailedError, NotApplicableError, clause
from afterfit.robustness.endpoint.fields import Field, raw, value_at
from afterfit.robustness.endpoint.target import Target

INT64 = 2**63
TINY = 5e-324
LONG = 1 << 20


@clause("nonfinite.tokens", "must", findings.NonFiniteTaken)
def tokens(target: Target) -> None:
    """NaN and Infinity are no JSON: refused, or read as null where null is taken."""
    for field in target.fields("number", "integer"):
        for token in ("NaN", "Infinity", "-Infinity"):
            _refused_or_null(target, field, raw(token), f"the token {token}")


@clause("nonfinite.texts", "must", findings.NonFiniteTaken)
def texts(target: Target) -> None:
    """The texts "NaN" and "Infinity" are no numbers: refused, or read as null."""
    for field in target.fields("number", "integer"):
        for text in ("NaN", "Infinity", "-inf"):
            _refused_or_null(target, field, text, f"the text {text!r}")


@clause("nonfinite.overflow", "must", findings.NonFiniteTaken)
def overflow(target: Target) -> None:
    """1e309 is beyond float64: refused, or read as null."""
    for field in target.fields("number", "integer"):
        for number in ("1e309", "-1e309"):
            _refused_or_null(target, field, raw(number), number)


@clause("null.declared", "must", findings.NullMisread)
def null(target: Target) -> None:
    """Null is answered where it is allowed, and refused by the field's name where it is not."""
    for field in target.fields("number", "integer", "boolean", "text"):
        body, what = target.spoiled(field, None), f"null for {field.name!r}"
        if field.nullable is False:
            names = target.dialect.names(field)
            target.refused(body, what, names=names, kind=findings.NullMisread)
        elif target.fine(body, target.count, what) is None and field.nullable:
            why = f"{what} is refused, and declared as allowed"
            raise FailedError(findings.NullMisread, why, target.last)


@clause("extreme.range", "must", findings.NonFiniteAnswered)
def out_of_range(target: Target) -> None:
    """Numbers around and far beyond the range (by 1, 10 and 1e6 times) get finite answers."""
    for field in target.fields("number", "integer"):
        low, high = _range(target, field)
        size = max(abs(low), abs(high), 1.0)
        for value in (low - 1, high + 1, 10 * size, -10 * size, 1e6 * size, -1e6 * size):
            _fine(target, field, value)


@clause("extreme.tiny", "must", findings.NonFiniteAnswered)
def tiny(target: Target) -> None:
    """Denormal numbers get finite answers or 4xx."""
    for field in target.fields("number"):
        for value in (TINY, -TINY, 2.3e-308):
            _fine(target, field, value)


@clause("extreme.minus-zero", "should", findings.NegativeZero)
def minus_zero(target: Target) -> None:
    """-0.0 is answered as 0."""
    target.need_repeatable()
    for field in target.fields("number"):
        zero = target.fine(target.spoiled(field, 0.0), target.count, "0")
        body = target.spoiled(field, -0.0)
        minus = target.fine(body, target.count, "-0.0")
        told = differences(zero, minus) if zero is not None and minus is not None else ""
        if told:
            why = f"{field.name!r} = -0.0: {told}"
            raise FailedError(findings.NegativeZero, why, target.last)


@clause("extreme.int64", "must", findings.NonFiniteAnswered)
def int64(target: Target) -> None:
    """Whole numbers beyond int64, and floats near the largest, get finite answers or 4xx."""
    for field in target.fields("number", "integer"):
        for number in (INT64 - 1, INT64, -INT64 - 1, 1 << 70):
            what = f"{field.name!r} = {number}"
            target.fine(target.spoiled(field, raw(str(number))), target.count, what)
        if field.kind == "number":
            _fine(target, field, 1.7e308)


@clause("extreme.float32", "must", findings.NonFiniteAnswered)
def float32(target: Target) -> None:
    """Numbers that were rounded to float32 get finite answers or 4xx."""
    row = target.rows(1)[0]
    for field in target.fields("number"):
        value = value_at(row, field.path)
        if isinstance(value, int | float) and abs(value) < 1e38:
            _fine(target, field, struct.unpack("<f", struct.pack("<f", value + 0.1))[0])


@clause("words.unseen", "must", findings.NonFiniteAnswered)
def unseen(target: Target) -> None:
    """A word that was never seen gets a finite answer or 4xx."""
    for field in target.fields("text"):
        for word in ("a word never seen", "0", "None", "' OR 1=1 --", "{{7*7}}"):
            _fine(target, field, word)


@clause("words.spelling", "must", findings.NonFiniteAnswered)
def spelling(target: Target) -> None:
    """Known words with spaces and in another case get finite answers or 4xx."""
    row = target.rows(1)[0]
    for field in target.fields("text"):
        word = str(value_at(row, field.path) or "word")
        for other in (f" {word} ", word.swapcase(), f"{word}\n", word.replace("a", "\u00a0")):
            _fine(target, field, other)


@clause("words.unicode", "must", findings.NonFiniteAnswered)
def unicode(target: Target) -> None:
    """Texts composed and decomposed, right to left, joined, with NUL: a finite answer or 4xx."""
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    for field in target.fields("text"):
        for text in ("caf\u00e9", "cafe\u0301", "\u202e\u05d0\u05d1\u202c", family, "a\x00b"):
            _fine(target, field, text)
        body = target.spoiled(field, raw('"\\ud800"'))
        target.fine(body, target.count, "an unpaired surrogate")


@clause("words.long", "must", findings.NonFiniteAnswered, abusive=True)
def long(target: Target) -> None:
    """A text of 1 MB gets a finite answer or 4xx."""
    target.fine(target.spoiled(target.text_field(), "a" * LONG), target.count, "a text of 1 MB")


def _refused_or_null(target: Target, field: Field, value: Any, what: str) -> None:
    """Raise FailedError where a value is scored, unless null is answered in the same way."""
    body = target.spoiled(field, value)
    answers = target.fine(body, target.count, f"{what} for {field.name!r}")
    if answers is None:
        return
    exchange = target.last
    as_null = None if field.nullable is False else target.missing(field)
    if as_null is None or (target.repeatable and differences(as_null, answers)):
        why = f"{what} for {field.name!r} is scored, and not as null is"
        raise FailedError(findings.NonFiniteTaken, why, exchange)


def _fine(target: Target, field: Field, value: Any) -> None:
    whole = field.kind == "integer" and isinstance(value, float) and value.is_integer()
    shown = raw(str(int(value))) if whole else value
    target.fine(target.spoiled(field, shown), target.count, f"{field.name!r} = {str(value)[:40]}")


def _range(target: Target, field: Field) -> tuple[float, float]:
    value = value_at(target.rows(1)[0], field.path)
    known = value if isinstance(value, int | float) else 0.0
    low = known if field.low is None else field.low
    high = known if field.high is None else field.high
    if not (math.isfinite(low) and math.isfinite(high)):
        raise NotApplicableError(f"the range of {field.name!r} is not finite")
    return float(low), float(high)
