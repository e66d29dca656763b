"""Table files in batches, with the kinds of a signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.store.stream import open_table, stream_table


def signature(**kinds: str) -> Signature:
    """A signature of the columns; a kind that ends in ``?`` is nullable."""
    columns = tuple(
        Column(name=name, kind=kind.rstrip("?"), nullable=kind.endswith("?"))  # type: ignore[arg-type]
        for name, kind in kinds.items()
    )
    return Signature(task="regression", columns=columns)


def whole(path: Path, wanted: Signature, rows: int = 1000) -> dict[str, list[Any]]:
    """All values by column, from all batches."""
    batches = list(stream_table(path, wanted, rows))
    return {n: [v for b in batches for v in b.frame[n].tolist()] for n in wanted.names}


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow", "arrows"])
def test_every_file_gives_the_same_batches(tmp_path: Path, ending: str) -> None:
    """Rows come in order, at most ``batch_rows`` at once, numbered from 1, kinds by signature."""
    table = pd.DataFrame(
        {"extra": ["e"] * 10, "n": range(10), "w": ["a", "b"] * 5, "f": [True, False] * 5}
    )
    path = tmp_path / f"t.{ending}"
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    if ending == "csv":
        table.to_csv(path, index=False)
    elif ending == "parquet":
        pq.write_table(arrow, path)
    else:
        make = pyarrow.ipc.new_file if ending == "arrow" else pyarrow.ipc.new_stream
        with make(path, arrow.schema) as writer:
            writer.write_table(arrow)
    wanted = signature(w="category", n="number", f="boolean")
    batches = list(stream_table(path, wanted, 4, keep=("extra", "n")))
    assert [(batch.first_row, batch.rows) for batch in batches] == [(1, 4), (5, 4), (9, 2)]
    assert [str(array.dtype) for array in batches[0].frame.values()] == [
        "object",
        "float64",
        "bool",
    ]
    assert batches[0].kept.schema.names == ["extra", "n"]
    assert whole(path, wanted, 4)["n"] == [float(n) for n in range(10)]
    assert open_table(path).rows == {"csv": None, "parquet": 10}.get(ending)


@pytest.mark.parametrize(
    ("kind", "words", "values"),
    [
        ("number", ["1", "2.5", " 3 "], [1.0, 2.5, 3.0]),
        ("integer", ["1", "3.0", "-2"], [1, 3, -2]),
        ("integer", ["9007199254740993", "1", "2"], [9007199254740993, 1, 2]),
        ("integer?", ["1", "NA", "2"], [1.0, None, 2.0]),
        ("integer?", ["1.0", "", "2.0"], [1.0, None, 2.0]),
        ("boolean", ["true", "0", "False"], [True, False, False]),
        ("boolean?", ["1", "NA", "FALSE"], [True, None, False]),
        ("category", ["02139", "1.50", "true"], ["02139", "1.50", "true"]),
        ("category?", ["a", "None", "c"], ["a", None, "c"]),
        ("number?", ["1", "null", "nan"], [1.0, None, None]),
    ],
)
def test_words_are_read_by_the_signature(
    tmp_path: Path, kind: str, words: list[str], values: list[Any]
) -> None:
    """The kind decides, not what the words of this batch look like."""
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{word},1\n" for word in words))
    found = whole(path, signature(a=kind))["a"]
    found = [None if value is None or value != value else value for value in found]  # noqa: PLR0124 - NaN
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("kind", "word", "message"),
    [
        ("number", "abc", "'abc' is not a number"),
        ("number", "inf", "inf is not finite"),
        ("number", "", "a missing value"),
        ("integer", "2.5", "2.5 is not an integer"),
        ("integer", "x", "'x' is not an integer"),
        ("boolean", "yes", "'yes' is not true or false"),
        ("category", "NA", "a missing value"),
        ("number?", "12,5", "'12,5' is not a number"),
    ],
)
@pytest.mark.parametrize("row", [1, 7, 5000])
def test_a_wrong_word_names_file_row_and_column(
    tmp_path: Path, kind: str, word: str, message: str, row: int
) -> None:
    """Whether in the first batch or a later one, the row is the right one."""
    good = {"n": "1", "i": "1", "b": "true", "c": "x"}[kind[0]]
    words = [good] * 6000
    words[row - 1] = f'"{word}"' if "," in word else word
    path = tmp_path / "t.csv"
    path.write_text("id,a\n" + "".join(f"{n},{each}\n" for n, each in enumerate(words, 1)))
    with pytest.raises(InputError) as caught:
        whole(path, signature(a=kind))
    assert f"row {row}, column 'a'" in caught.value.message
    assert message in caught.value.message
    assert str(path) in caught.value.where


def test_a_late_word_of_another_form_changes_no_row(tmp_path: Path) -> None:
    """Rows before and after the first 3.0 in an integer column are all there, once."""
    path = tmp_path / "t.csv"
    numbers = [f"{n}.0" if n == 400_000 else str(n) for n in range(700_000)]
    path.write_text("a,pad\n" + "".join(f"{n},xxxxxxxxxx\n" for n in numbers))
    assert path.stat().st_size > 2 * (4 << 20), "the word must come after the first block"
    batches = list(stream_table(path, signature(a="integer"), keep=("a", "pad")))
    assert np.concatenate([batch.frame["a"] for batch in batches]).tolist() == list(range(700_000))
    assert {str(batch.kept.schema) for batch in batches} == {"a: int64\npad: string"}


def test_parquet_values_are_held_to_the_signature_too(tmp_path: Path) -> None:
    """NaN is missing, numbers may be integers, text is no number, a list is nothing."""
    path = tmp_path / "t.parquet"
    columns: dict[str, tuple[list[Any], str, str]] = {
        "nan": ([1.0, float("nan")], "number", "row 2, column 'nan': a missing value"),
        "half": ([1.0, 2.5], "integer", "row 2, column 'half': 2.5 is not an integer"),
        "text": (["1", "x"], "number", "row 2, column 'text': 'x' is not a number"),
        "flag": ([True, False], "number", "row 1, column 'flag': True is not a number"),
        "list": ([[1], [2]], "category", "row 1, column 'list': [1] is not text"),
        "float": ([1.5, 2.5], "category", "row 1, column 'float': 1.5 is not text"),
    }
    pq.write_table(pa.table({name: values for name, (values, _, _) in columns.items()}), path)
    for name, (_, kind, message) in columns.items():
        with pytest.raises(InputError) as caught:
            whole(path, signature(**{name: kind}))
        assert message in caught.value.message
    assert whole(path, signature(nan="number?"))["nan"][0] == 1.0


def test_missing_columns_are_named_before_a_row_is_read(tmp_path: Path) -> None:
    """Both what the model needs and what is to be kept must be there."""
    path = tmp_path / "t.csv"
    path.write_text("age,city\n1,x\n")
    with pytest.raises(InputError, match=r"the model needs: 'Age' is not there[\s\S]*'age'"):
        whole(path, signature(Age="number"))
    with pytest.raises(InputError, match="to keep"):
        list(stream_table(path, signature(age="number"), keep=("town",)))


def test_a_ragged_row_deep_in_the_file_has_its_line(tmp_path: Path) -> None:
    """The line number is that of an editor."""
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 5000 + "1,2,3\n" + "1,2\n" * 10)
    with pytest.raises(InputError) as caught:
        whole(path, signature(a="number"))
    assert caught.value.where.endswith("line 5002")
