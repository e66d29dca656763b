"""Rows of a JSON endpoint of any form: one object, or an array of rows with or without a name."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from afterfit.core.wire.answers import Layout, leaves
from afterfit.core.wire.client import Exchange
from afterfit.core.wire.documents import UnreadableError, json_of
from afterfit.core.wire.model import taken_apart, unusable_example
from afterfit.robustness.endpoint.fields import (
    ABSENT,
    Field,
    Path,
    kind_of,
    value_at,
    with_value,
)
from afterfit.robustness.endpoint.schema import described

READY = ("/v2/health/ready", "/readyz", "/ready", "/healthz", "/health", "/ping", "/livez", "/")


class Plain:
    """A route that takes JSON like the example.

    ``schema`` is the JSON Schema of one row, where the server has described it. The example is one
    row (an object of values), an array of rows, or an object with one array of rows in it.
    Raises InputError for an example of another form.
    """

    protocol: str = "JSON"

    def __init__(
        self, route: str, example: Any, *, schema: dict[str, Any] | None = None, seed: int = 0
    ) -> None:
        self.route = route
        self.example = example
        self.seed = seed
        self.holder, samples, self.batched = taken_apart(example)
        self.samples = samples
        self.fields = tuple(_fields(samples, schema or {}))
        if not self.fields:
            raise unusable_example("its rows have no number, text or boolean")
        self.ready: tuple[str, ...] = READY
        self.missing = f"{route.rstrip('/')}/afterfit-no-such-route"
        self.varied = True
        self._layout: Layout | None = None

    def rows(self, count: int, start: int = 0) -> list[Any]:
        """Return rows like those of the example, with numbers and words of their own."""
        return [self._row(row) for row in range(start, start + count)]

    def document(self, rows: Sequence[Any]) -> Any:
        """Return the example with other rows."""
        if not self.batched:
            return rows[0]
        if not self.holder:
            return list(rows)
        return {**self.example, self.holder: list(rows)}

    def misshapen(self, rows: Sequence[Any]) -> Any:
        """Return a request whose first field is an array of arrays."""
        field = self.fields[0]
        value = value_at(rows[0], field.path)
        return self.document([with_value(rows[0], field.path, [[value, value]]), *rows[1:]])

    def names(self, field: Field) -> list[str]:
        """Return the field's name."""
        return [field.name]

    def extra(self, row: Any) -> Any:
        """Return the row with a field, or a value, too many."""
        return {**row, ABSENT: 1} if isinstance(row, dict) else [*row, 0.0]

    def learn(self, exchange: Exchange, rows: int) -> None:
        """Find out where the answers stand; raises UnreadableError."""
        self._layout = Layout(json_of(exchange.body), rows) if self.batched else None

    def answers(self, exchange: Exchange, rows: int) -> list[Any]:
        """Return one answer a row; raises UnreadableError."""
        document = json_of(exchange.body)
        if self._layout is not None:
            return self._layout.read(document, rows)
        if not leaves(document):
            raise UnreadableError("the answer is empty")
        return [document]

    def _row(self, index: int) -> Any:
        sample = self.samples[index % len(self.samples)]
        if index < len(self.samples) or not self.varied:
            return copy.deepcopy(sample)
        random = np.random.default_rng((self.seed, index))
        for field in self.fields:
            value = _varied(field, value_at(sample, field.path), random)
            sample = with_value(sample, field.path, value)
        return sample


def _varied(field: Field, value: Any, random: np.random.Generator) -> Any:
    """Return another value that fits the field as well."""
    if value is None:
        return None
    if field.numeric:
        return _moved(field, value, random)
    if field.kind == "boolean":
        return bool(random.integers(0, 2))
    return str(random.choice(field.words)) if field.words else value


def _moved(field: Field, value: float, random: np.random.Generator) -> float:
    """Return a number near another, within the range where there is one."""
    low, high = sorted((0.9 * value, 1.1 * value)) if field.kind == "number" else (value, value + 3)
    if field.low is not None and field.high is not None and field.low < field.high:
        low, high = max(low, field.low), min(high, field.high)
    if low > high:
        return value
    if field.kind == "integer":
        return int(random.integers(int(low), int(high) + 1))
    return round(float(random.uniform(low, high)), 6)


def _fields(samples: list[Any], schema: dict[str, Any]) -> Iterator[Field]:
    for path in _paths(samples[0]):
        values = [value for row in samples for value in _there(row, path)]
        told = described(schema, path)
        found = next((kind for value in values if (kind := kind_of(value)) is not None), None)
        kind = told.kind or found
        if kind is None:
            continue
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        yield Field(
            name=str(path[-1]) if isinstance(path[-1], str) else _first_word(path),
            path=path,
            kind=kind,
            nullable=True if None in values else told.nullable,
            required=told.required,
            low=told.low if told.low is not None else min(numbers, default=None),
            high=told.high if told.high is not None else max(numbers, default=None),
            words=told.words,
        )


def _first_word(path: Path) -> str:
    """Return the name of the array that a value stands in, or its place where there is none."""
    return next((step for step in reversed(path) if isinstance(step, str)), str(path[-1]))


def _paths(row: Any) -> Iterator[Path]:
    """Yield where the plain values of a row stand: its own, and those of arrays and objects."""
    items = row.items() if isinstance(row, dict) else enumerate(row)
    for step, value in items:
        if value is None or kind_of(value) is not None:
            yield (step,)
        elif isinstance(value, dict | list):
            yield from ((step, *rest) for rest in _paths(value))


def _there(row: Any, path: Path) -> list[Any]:
    try:
        return [value_at(row, path)]
    except (KeyError, IndexError, TypeError):
        return []
