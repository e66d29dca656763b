"""Large files in little memory: what is walked, and what is no JSON or CSV."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afterfit.errors import InputError
from afterfit.platforms.importers import stream
from afterfit.platforms.importers.stream import EACH, csv_rows, json_members

if TYPE_CHECKING:
    from pathlib import Path

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=30)
@example(value={"a": {"b": 1e-05, "c": 1.5, "d": -2e300}}, chunk=1)
@given(
    value=st.dictionaries(st.text(), st.dictionaries(st.text(), VALUES, max_size=4), max_size=5),
    chunk=st.integers(1, 40),
)
def test_members_are_those_that_a_whole_read_finds(
    tmp_path_factory: pytest.TempPathFactory, value: Any, chunk: int
) -> None:
    """However the file is cut into chunks: through strings, numbers and escapes."""
    path = tmp_path_factory.getbasetemp() / "stream.json"
    path.write_text(json.dumps(value), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "CHUNK", chunk)
        found = list(json_members(path, ((), (EACH,))))
    expected = [((k, kk), vv) for k, v in value.items() for kk, vv in v.items()]
    assert found == expected


@pytest.mark.parametrize(("text", "message"), [
    ('{"a": {"b": 1', "ends too early"),
    ('{"a": {"b": "x', "ends too early"),
    ('{"a": {"b": 1}} trailing', "is no JSON"),
    ('{"a": {"b": 1,}}', "is no JSON"),
    ('{"a" {"b": 1}}', "is no JSON"),
    ('{"a": {"b": nonsense, "c": 1}, "d": "012345678901234567890123456789"}', "is no JSON"),
    ('{"a": {"b": ' + "[" * 200_000, "is no JSON"),
    ('{"a": {"b": ' + "9" * 10_000 + "}}", "is no JSON"),
])  # fmt: skip
def test_what_is_no_json_is_an_error_that_says_where(
    tmp_path: Path, text: str, message: str
) -> None:
    """A download that was cut short and a file of nonsense are told apart."""
    path = tmp_path / "bad.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message) as error:
        list(json_members(path, ((), (EACH,))))
    assert ", character " in error.value.where


def test_rows_follow_the_line_that_is_the_header(tmp_path: Path) -> None:
    """Lines before it are passed over; without one it is an error, and so are other bytes."""
    path = tmp_path / "rows.csv"
    path.write_text("about,x\n\na,SKU\n1,2\n3\n", "utf-8")
    assert list(csv_rows(path, "SKU")) == [{"a": "1", "SKU": "2"}, {"a": "3", "": "odd"}]
    with pytest.raises(InputError, match="no header"):
        list(csv_rows(path, "Price"))
    path.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(InputError, match="is no text") as error:
        list(csv_rows(path, "SKU"))
    assert "gunzip" in error.value.fix
    path.write_text('SKU\n"' + "x" * 200_000 + '"\n', "utf-8")
    with pytest.raises(InputError, match="is no CSV"):
        list(csv_rows(path, "SKU"))
