"""The trust book."""

from __future__ import annotations

from pathlib import Path

import pytest

from afterfit.errors import IntegrityError, UsageError
from afterfit.models.trust import allow, load_allow, load_book

WHEN = "2026-11-23T10:00:00Z"


def test_names_are_bound_to_a_files_digest(tmp_path: Path) -> None:
    """What was allowed for one file is allowed for no other; later names are added."""
    book = tmp_path / "space" / "trust.json"
    assert load_allow(book, "a" * 64) == frozenset()
    allow(book, "a" * 64, ["mypkg.Encoder"], "ada", WHEN)
    grant = allow(book, "a" * 64, ["mypkg.sub.Scaler", "mypkg.Encoder"], "bob", WHEN)
    assert grant.who == "bob"
    assert load_allow(book, "a" * 64) == {"mypkg.Encoder", "mypkg.sub.Scaler"}
    assert load_allow(book, "b" * 64) == frozenset()
    assert load_book(book)["a" * 64] == grant
    assert [path.name for path in book.parent.iterdir()] == ["trust.json"]


@pytest.mark.parametrize("name", ["mypkg.*", "Encoder", "my pkg.X", "", "a..b"])
def test_only_exact_names_can_be_allowed(tmp_path: Path, name: str) -> None:
    """A pattern or half a name is refused, and the book is not touched."""
    with pytest.raises(UsageError, match="not an exact name"):
        allow(tmp_path / "trust.json", "a" * 64, [name], "ada", WHEN)
    assert not (tmp_path / "trust.json").exists()


def test_a_damaged_book_allows_nothing(tmp_path: Path) -> None:
    """A book that cannot be read is an error, never an empty allowance or an open door."""
    (tmp_path / "trust.json").write_text('{"a": 1}')
    with pytest.raises(IntegrityError, match="cannot be read"):
        load_allow(tmp_path / "trust.json", "a")
