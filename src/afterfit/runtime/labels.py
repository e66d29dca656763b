"""Labels that came later, from JSON, JSON lines, CSV or columns, checked by the signature.

A label names the prediction (``event_id``) or the ``entity`` that it is of, the true class or value
(``label`` or ``value``), and when it was known (``ts``). Of several labels the one with the
greatest ``ts`` counts, so ``ts`` is a time: ISO 8601, or a number since 1970 whose size tells
seconds, ms, µs or ns. Without it, a label is of the moment that it came in.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from afterfit.core.dataset import encode_labels
from afterfit.core.signature import Signature
from afterfit.runtime.columns import MAX_PROBLEMS, FieldError, Problem
from afterfit.runtime.decode import MAX_ENTITY, Limits, MalformedError, TooLargeError, parse_json
from afterfit.runtime.event_blocks import LabelRows
from afterfit.runtime.event_schema import label_text

__all__ = ["FIELDS", "Given", "RecentLabels", "check_labels", "moment_us", "parse_labels"]

FIELDS = ("event_id", "entity", "label", "value", "ts")
DAY_US = 86_400_000_000
# A number of 2026 in seconds has 10 digits, in ms 13, in µs 16, in ns 19.
_SCALES = ((1e11, 1_000_000), (1e14, 1000), (1e17, 1))
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORDS = "expected one of event_id and entity, one of label and value, and ts if it is known"
Where = Callable[[int, str], str]
"""(number of a label, name of a field) to the path of that field in what was sent."""


class Given(NamedTuple):
    """Labels as they were given: their fields, and where each of them stands."""

    items: Sequence[Mapping[str, Any]]
    where: Where


def parse_labels(body: bytes, content_type: str, limits: Limits) -> Given:
    """Return the labels of a body; raises MalformedError, FieldError or TooLargeError."""
    if content_type == "csv":
        return _from_csv(body, limits)
    if content_type == "lines":
        return _from_lines(body, limits)
    document = parse_json(body)
    if not isinstance(document, dict) or document.keys() != {"labels"}:
        raise _wrong("$", 'expected an object: {"labels": [{"event_id": …, "label": …}, …]}')
    items = document["labels"]
    if not isinstance(items, list) or not items:
        raise _wrong("$.labels", "expected an array with at least one label")
    _check_count(len(items), limits)
    return Given(items, "$.labels[{}].{}".format)


def check_labels(
    given: Given, signature: Signature, model: str, *, now_us: int, default_us: int | None = None
) -> LabelRows:
    """Return the labels, each one once; raises FieldError with the path of each wrong field.

    ``default_us`` is the time of those that name none, the present where it is None.
    """
    default_us = now_us if default_us is None else default_us
    problems: list[Problem] = []
    ids, entities, truths, times = [], [], [], []
    for row, item in enumerate(given.items):
        found = _fields(item, partial(given.where, row), problems)
        if len(problems) >= MAX_PROBLEMS:
            break
        if found is not None:
            ids.append(found.get("event_id", ""))
            entities.append(found.get("entity", ""))
            truths.append(found["label"] if "label" in found else found["value"])
            ts, where = found.get("ts"), partial(given.where, row, "ts")
            times.append(default_us if ts is None else _time(ts, where, now_us, problems))
    words, values = None, None
    if not problems and signature.task == "regression":
        values = [_value(truth, row, given, problems) for row, truth in enumerate(truths)]
    elif not problems:
        words = _class_words(truths, given, signature, problems)
    if problems:
        raise FieldError(problems)
    rows = LabelRows(
        model=model, event_ids=ids, entities=entities, ts=times, words=words, values=values
    )
    return take(rows, list({key: row for row, key in enumerate(keys_of(rows))}.values()))


def take(rows: LabelRows, places: Sequence[int]) -> LabelRows:
    """Return some of the labels."""
    if len(places) == len(rows):
        return rows

    def part(values: list[Any] | None) -> list[Any] | None:
        return None if values is None else [values[place] for place in places]

    return LabelRows(
        model=rows.model,
        event_ids=part(rows.event_ids) or [],
        entities=part(rows.entities) or [],
        ts=part(rows.ts) or [],
        words=part(rows.words),
        values=part(rows.values),
    )


def keys_of(rows: LabelRows) -> list[tuple[Any, ...]]:
    """Return what makes each label the same as another: id, entity, ts and value."""
    truths: list[Any] = rows.words or rows.values or []
    return list(zip(rows.event_ids, rows.entities, rows.ts, truths, strict=True))


class RecentLabels:
    """Which labels a worker has kept lately, by hashes; at most ``most``, the oldest go first."""

    def __init__(self, most: int = 65_536) -> None:
        self.most = most
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def new(self, rows: LabelRows) -> list[int]:
        """Return the places of the labels that are not known."""
        known = (self._recent, self._older)
        return [
            place
            for place, key in enumerate(keys_of(rows))
            if not any(hash((rows.model, *key)) in each for each in known)
        ]

    def add(self, rows: LabelRows) -> None:
        """Remember labels that are kept."""
        self._recent.update(hash((rows.model, *key)) for key in keys_of(rows))
        if len(self._recent) > self.most // 2:
            self._recent, self._older = set(), self._recent


def moment_us(value: Any) -> int | None:
    """Return a moment as microseconds since 1970, or None for what is none."""
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return moment_us(float(text))
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1_000_000)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if abs(value) >= 1e17:
        return round(value / 1000)
    return round(value * next(scale for limit, scale in _SCALES if abs(value) < limit))


def _fields(
    item: Any, where: Callable[[str], str], problems: list[Problem]
) -> dict[str, Any] | None:
    """Return the fields that are set, or None for a label that has not what it needs."""
    if not isinstance(item, Mapping):
        problems.append(Problem(where("").rstrip("."), "expected an object"))
        return None
    unknown = [name for name in item if name not in FIELDS]
    problems += [Problem(where(str(name)[:80]), f"unknown field; {_WORDS}") for name in unknown]
    found = {name: value for name, value in item.items() if value is not None}
    one_of = ({"event_id", "entity"}, {"label", "value"})
    if unknown or any(len(found.keys() & names) != 1 for names in one_of):
        if not unknown:
            problems.append(Problem(where("").rstrip("."), _WORDS))
        return None
    name = "event_id" if "event_id" in found else "entity"
    text = found[name]
    if not isinstance(text, str) or not 0 < len(text) <= MAX_ENTITY:
        problems.append(Problem(where(name), f"expected a string of 1 to {MAX_ENTITY} characters"))
        return None
    return found


def _time(value: Any, where: Callable[[], str], now_us: int, problems: list[Problem]) -> int:
    found = moment_us(value)
    if found is None or found < 0:
        problems.append(Problem(where(), "no time since 1970; write ISO 8601 or a number"))
    elif found > now_us + DAY_US:
        # It would win over each label that comes later.
        problems.append(Problem(where(), "more than a day after the server's own time"))
    return found or 0


def _value(truth: Any, row: int, given: Given, problems: list[Problem]) -> float:
    if isinstance(truth, int | float) and not isinstance(truth, bool) and math.isfinite(truth):
        return float(truth)
    if isinstance(truth, _Text) and _NUMBER.fullmatch(truth):
        value = float(truth)
        if math.isfinite(value):
            return value
    name = "label" if "label" in given.items[row] else "value"
    problems.append(Problem(given.where(row, name), "expected a finite number"))
    return math.nan


def _class_words(
    truths: list[Any], given: Given, signature: Signature, problems: list[Problem]
) -> list[str]:
    """Return the class of each label as events hold it."""
    plain = [t if isinstance(t, str | int | float) else None for t in truths]
    array = np.empty(len(plain), dtype=object)
    array[:] = [str(t) if isinstance(t, _Text) else t for t in plain]
    codes = encode_labels(array, signature.classes)
    words = [label_text(label) for label in signature.classes]
    known = ", ".join(words[:10]) + (", …" if len(words) > 10 else "")
    for row in np.flatnonzero(codes < 0)[:MAX_PROBLEMS].tolist():
        name = "label" if given.items[row].get("label") is not None else "value"
        message = f"{str(truths[row])[:80]!r} is no class; the classes are {known}"
        problems.append(Problem(given.where(row, name), message))
    return [words[code] for code in codes.tolist()]


class _Text(str):
    """A field of a file that has no types: a number may be in it."""

    __slots__ = ()


def _from_csv(body: bytes, limits: Limits) -> Given:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError("the CSV is not UTF-8", why=str(error)) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    items: list[dict[str, Any]] = []
    lines: list[int] = []
    try:
        for fields in reader:
            if None in fields or None in fields.values():
                raise _wrong(f"line {reader.line_num}", "another number of fields than the header")
            items.append({name: _Text(value) if value else None for name, value in fields.items()})
            lines.append(reader.line_num)
            _check_count(len(items), limits)
    except csv.Error as error:
        raise MalformedError(
            f"line {reader.line_num}: the CSV cannot be read", why=str(error)
        ) from None
    if not items:
        raise MalformedError("the CSV has no label; expected a header and at least one line")

    def where(row: int, name: str) -> str:
        return f"line {lines[row]}, column {name!r}" if name else f"line {lines[row]}"

    return Given(items, where)


def _from_lines(body: bytes, limits: Limits) -> Given:
    items: list[Any] = []
    lines: list[int] = []
    for number, line in enumerate(io.BytesIO(body), start=1):
        if line.strip():
            try:
                items.append(parse_json(line))
            except MalformedError as error:
                raise MalformedError(f"line {number}: {error.message}", why=error.why) from None
            lines.append(number)
            _check_count(len(items), limits)
    if not items:
        raise MalformedError("the body has no line; expected a JSON object a line")
    return Given(items, lambda row, name: f"line {lines[row]}, $.{name}")


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.rows:
        raise TooLargeError(
            f"more than {limits.rows} labels, the limit of one request",
            fix="send several smaller requests",
        )


def _wrong(path: str, message: str) -> FieldError:
    return FieldError([Problem(path, message)])
