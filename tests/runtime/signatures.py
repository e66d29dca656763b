"""Signatures whose names and values are as odd as a user's can be, and a model around each."""

from __future__ import annotations

from typing import NamedTuple

from tests.runtime.bundles import people_signature

from afterfit.core.signature import Column, Signature

SCRIPT = '<script>alert("1")</script>'
ODD_NAME = "über <b>{mich}</b>/x"
MANY = tuple(f"c{number}" for number in range(80))


class Described(NamedTuple):
    """What a document or a page says of a model."""

    signature: Signature
    version: int
    digest: str


def odd() -> Described:
    """A model whose column names are markup, quotes, escapes and words of other alphabets."""
    columns = (
        Column(name=SCRIPT, kind="category", categories=MANY, nullable=True),
        Column(name="größe / ~1 %7B 東京", kind="text"),
        Column(name="a'b\"c&d", kind="category", categories=("x<y", "'z'", ""), nullable=True),
        Column(name="flag", kind="boolean", nullable=True),
        Column(name="days", kind="integer", low=0, high=3650),
    )
    classes = (True, 1, "x'\"</p>")
    signature = Signature(task="multiclass", target="kind & kin", columns=columns, classes=classes)
    return Described(signature, 0, "ef" * 32)


def people() -> Described:
    """The model of the other tests of the runtime."""
    return Described(people_signature(), 3, "3f" * 32)


def numbers() -> Described:
    """A regression over numbers alone, some without a range."""
    columns = (
        Column(name="a", kind="number", low=-3, high=3),
        Column(name="b", kind="boolean", low=0, high=1),
        Column(name="n", kind="integer", nullable=True, low=0.5, high=0.9),
        Column(name="free", kind="number"),
    )
    signature = Signature(task="regression", target="price", columns=columns)
    return Described(signature, 12, "aa" * 32)
