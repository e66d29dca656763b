"""Files and DataFrames that become datasets."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from afterfit.errors import AfterfitError, InputError, NotFoundError
from afterfit.store.tables import MISSING_WORDS, read_dataset, read_frame

ReadText = Callable[..., Any]


@pytest.fixture
def read(tmp_path: Path) -> ReadText:
    """A function from the bytes of a CSV file to (dtype, values) by column."""

    def of(data: bytes | str) -> dict[str, tuple[str, list[Any]]]:
        path = tmp_path / "t.csv"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        frame = read_frame(path)
        return {name: (str(array.dtype), array.tolist()) for name, array in frame.items()}

    return of


@pytest.mark.parametrize(
    ("words", "dtype", "values"),
    [
        (["1", "2"], "int64", [1, 2]),
        (["9007199254740993", "-1"], "int64", [9007199254740993, -1]),
        (["1.5", "2"], "float64", [1.5, 2.0]),
        (["1e3", "inf"], "float64", [1000.0, np.inf]),
        (["true", "False"], "bool", [True, False]),
        (["TRUE", "NA"], "object", [True, None]),
        (["1", "true"], "object", ["1", "true"]),
        (["0", "1"], "int64", [0, 1]),
        (["02139", "10001"], "object", ["02139", "10001"]),
        (["02139", "NA"], "object", ["02139", None]),
        (["0", "-0"], "int64", [0, 0]),
        (["0.5", "00.5"], "float64", [0.5, 0.5]),
        (["2020-01-31", "2020-02-01"], "object", ["2020-01-31", "2020-02-01"]),
        (["2020-01-31 10:00:00", "NA"], "object", ["2020-01-31 10:00:00", None]),
        (["10:11:12", "00:00:00"], "object", ["10:11:12", "00:00:00"]),
        (["39", "?"], "object", ["39", "?"]),
        (["x", "None"], "object", ["x", None]),
        (['"a,b"', '"c\nd"'], "object", ["a,b", "c\nd"]),
    ],
)
def test_a_csv_column_has_the_kind_that_holds_all_its_words(
    read: ReadText, words: list[str], dtype: str, values: list[Any]
) -> None:
    """Integers, numbers, booleans and text are told apart; dates and zip codes stay text."""
    text = "a,b\n" + "".join(f"{word},1\n" for word in words)
    assert read(text)["a"] == (dtype, values)


def test_the_words_for_missing_are_those_of_pandas(read: ReadText, tmp_path: Path) -> None:
    """Every word that pandas takes for missing is missing here, and no other."""
    parsers = importlib.import_module("pandas._libs.parsers")
    assert set(MISSING_WORDS) == parsers.STR_NA_VALUES
    rows = [*MISSING_WORDS, "?", "na", "-", "missing", "NONE"]
    read("a,b\n" + "".join(f"{word},1\n" for word in rows))
    ours = [value is None for value in read_frame(tmp_path / "t.csv")["a"]]
    assert ours == pd.read_csv(tmp_path / "t.csv")["a"].isna().tolist()


def test_gaps_make_an_integer_column_numbers(read: ReadText) -> None:
    """As pandas has it: float64 with NaN; a column of gaps alone is numbers too."""
    dtype, values = read("a,b\n1,\n,NA\n")["a"]
    assert dtype == "float64"
    assert values[0] == 1.0
    assert np.isnan(values[1])
    assert read("a,b\n1,\n,NA\n")["b"][0] == "float64"


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa,b\n1,x\n",
        b"a,b\r\n1,x\r\n",
        b"\n\na,b\n1,x",
        b"a;b\n1;x\n",
        b"a\tb\n1\tx\n",
        b'"a","b"\n"1","x"\n',
    ],
)
def test_the_same_table_in_other_clothes(read: ReadText, data: bytes) -> None:
    """A byte order mark, line ends, blank lines, other delimiters and quotes change nothing."""
    assert read(data) == {"a": ("int64", [1]), "b": ("object", ["x"])}


def test_the_index_that_pandas_writes_has_pandas_name(read: ReadText) -> None:
    """A header without a word is Unnamed: 0."""
    assert list(read(",a\n0,1\n")) == ["Unnamed: 0", "a"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.csv", b"", ["t.csv is empty"]),
        ("t.csv", b" \n\n", ["t.csv is empty"]),
        ("t.csv", b"a,b\n", ["has no rows", "only the header"]),
        ("t.csv", b"a,b", ["has no rows"]),
        ("t.csv", b"a,b,a\n1,2,3\n", ["more than once: 'a'"]),
        ("t.csv", b"a,b\n1,2\n\n3\n", ["1 fields where 2", "line 4", "sed -n 4p"]),
        ("t.csv", b"a,b\n1,2\n3,4,5\n", ["3 fields where 2", "line 3"]),
        ("t.csv", b"a,b\n1,2\n3,caf\xe9\n", ["not UTF-8", "line 3", "iconv -f LATIN1"]),
        ("t.csv", b"a\xe9,b\n1,2\n", ["not UTF-8", "line 1"]),
        ("t.csv", "a,b\n1,é\n".encode("utf-16"), ["not UTF-8", "iconv -f UTF-16"]),
        ("t.csv", b"\x80\x04\x95", ["a pickle"]),
        ("t.csv", b"PK\x03\x04", ["Excel", "pandas.read_excel("]),
        ("t.csv", b"\x1f\x8b\x08", ["gzip", "gunzip -k"]),
        ("t.csv", b'{"a": 1}', ["JSON", "pandas.read_json("]),
        ("t.csv", b"abc\x00\x01\x02", ["a binary file"]),
        ("t.parquet", b"a,b\n1,2\n", ["not the parquet file its name says"]),
        ("t.parquet", b"PAR1" + b"x" * 50, ["t.parquet is damaged"]),
        ("t.arrow", b"ARROW1" + b"x" * 50, ["t.arrow is damaged"]),
        ("t.arrows", b"\xff\xff\xff\xff" + b"x" * 50, ["t.arrows is damaged"]),
    ],
)
def test_each_bad_file_has_its_own_error(
    tmp_path: Path, name: str, data: bytes, words: list[str]
) -> None:
    """What is wrong, where and the fix; the path stands in the error."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_dataset(path)
    text = str(caught.value)
    assert [word for word in words if word not in text] == []
    assert str(path) in caught.value.where
    assert caught.value.exit_code == 2


def test_a_path_that_is_no_file_says_so(tmp_path: Path) -> None:
    """A typo gets the closest name, a folder and a URL their own words."""
    (tmp_path / "churn.csv").write_text("a\n1\n")
    with pytest.raises(NotFoundError, match=r"did you mean .*churn\.csv"):
        read_dataset(tmp_path / "chrun.csv")
    with pytest.raises(InputError, match=r"\. is a folder"):
        read_dataset(Path())
    with pytest.raises(InputError, match="is a folder"):
        read_dataset(tmp_path)
    with pytest.raises(InputError, match="curl"):
        read_dataset("https://example.org/t.csv")


def test_an_absent_target_names_the_columns_and_the_closest(tmp_path: Path) -> None:
    """The user reads which columns exist and which one was probably meant."""
    path = tmp_path / "t.csv"
    path.write_text("age,Income\n1,2\n")
    with pytest.raises(InputError) as caught:
        read_dataset(path, target="income")
    assert "'age', 'Income'" in caught.value.why
    assert caught.value.fix == "did you mean 'Income'?"


def test_target_and_roles_leave_the_frame_but_for_the_models_features() -> None:
    """A column with a role is an input only if the model's own names say so."""
    table = pd.DataFrame({"a": [1, 2], "day": ["x", "y"], "who": [7, 8], "label": ["n", "p"]})
    dataset = read_dataset(table, target="label", time="day", entity="who")
    assert list(dataset.frame) == ["a"]
    assert dataset.target_name == "label"
    assert dataset.roles == {"time": "day", "entity": "who"}
    assert dataset.time is not None
    assert dataset.time.tolist() == ["x", "y"]
    assert list(read_dataset(table, target="label", time="day", features=["day"]).frame) == [
        "a",
        "day",
        "who",
    ]
    with pytest.raises(InputError, match="is to be the group"):
        read_dataset(table, group="nothing")


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "arrows", "pandas", "pyarrow", "dict"])
def test_every_source_of_the_same_rows_has_the_same_digest(tmp_path: Path, form: str) -> None:
    """CSV, Parquet, both forms of Arrow and tables in memory are one dataset."""
    table = pd.DataFrame(
        {
            "number": [1.5, None, -2.0],
            "whole": [1, 2, 3],
            "gaps": [1.0, None, 3.0],
            "flag": [True, False, True],
            "maybe": pd.array([True, None, False], dtype="boolean"),
            "word": ["x", None, "é"],
            "label": ["p", "n", "p"],
        }
    )
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    path = tmp_path / f"t.{form}"
    source: Any = path
    if form == "csv":
        table.to_csv(path, index=False)
    elif form == "parquet":
        pq.write_table(arrow, path)
    elif form in {"arrow", "arrows"}:
        make = pyarrow.ipc.new_file if form == "arrow" else pyarrow.ipc.new_stream
        with make(path, arrow.schema) as writer:
            writer.write_table(arrow, max_chunksize=2)
    else:
        source = {"pandas": table, "pyarrow": arrow, "dict": dict(table.items())}[form]
    assert read_dataset(source, target="label").digest == read_dataset(table, target="label").digest


def test_columns_of_pandas_that_csv_has_not() -> None:
    """Categories, nullable integers, dates and mixed objects have their place in a frame."""
    frame = read_frame(
        pd.DataFrame(
            {
                "category": pd.Categorical(["u", None, "u"]),
                "codes": pd.Categorical([1, 2, 1]),
                "nullable": pd.array([1, None, 3], dtype="Int64"),
                "day": pd.Series(["2020-01-31", None, "2020-02-01"], dtype="datetime64[us]"),
                "mixed": [1, "a", None],
                7: [np.float32(0.5), np.float32(1), np.float32(2)],
            }
        )
    )
    assert frame["category"].tolist() == ["u", None, "u"]
    assert frame["codes"].dtype == np.int64
    assert np.isnan(frame["nullable"][1])
    assert frame["day"].tolist() == ["2020-01-31 00:00:00", None, "2020-02-01 00:00:00"]
    assert frame["mixed"].tolist() == ["1", "a", None]
    assert frame["7"].dtype == np.float64


def test_an_array_needs_names_or_gets_them() -> None:
    """Columns are x0, x1, … or those given; y is the target and its name is kept."""
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    dataset = read_dataset(array, y=pd.Series(["a", "b", "a"], name="label"))
    assert list(dataset.frame) == ["x0", "x1"]
    assert dataset.frame["x1"].dtype == np.float64
    assert dataset.target_name == "label"
    assert list(read_dataset(array, feature_names=["p", "q"]).frame) == ["p", "q"]
    assert read_dataset(array, y=[1, 0, 1]).target_name == "target"
    assert read_dataset(array, y=np.array([[1], [0], [1]])).target is not None


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (np.zeros(3), {}),
        (np.zeros((3, 2)), {"feature_names": ["a"]}),
        (np.zeros((3, 2)), {"feature_names": ["a", "a"]}),
        (np.zeros((3, 2)), {"y": [1, 2]}),
        (np.zeros((3, 2)), {"y": np.zeros((3, 2))}),
        (np.zeros((0, 2)), {}),
        (np.zeros((2, 0)), {}),
        (pd.Series([1]), {}),
        (pd.DataFrame({"a": [[1, 2], [3]]}), {}),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}),
        ({"a": [1], "b": [1, 2]}, {}),
        (pa.table({"a": [{"b": 1}]}), {}),
        (42, {}),
        (None, {}),
    ],
)
def test_what_is_no_table_is_an_input_error(source: object, options: dict[str, Any]) -> None:
    """No shape of a wrong argument ends in a traceback of another library."""
    with pytest.raises(AfterfitError) as caught:
        read_dataset(source, **options)
    assert isinstance(caught.value, InputError)


def test_a_dataset_is_itself() -> None:
    """Reading a dataset gives the same object."""
    dataset = read_dataset(np.zeros((1, 1)))
    assert read_dataset(dataset) is dataset


def test_adult_reads_as_pandas_reads_it(shared_data: Callable[[str], Path]) -> None:
    """On real data every value is that of pandas.read_csv."""
    path = shared_data("adult_train.csv")
    frame, expected = read_frame(path), pd.read_csv(path)
    assert list(frame) == list(expected.columns)
    for name, array in frame.items():
        theirs = expected[name]
        gone = theirs.isna().to_numpy()
        if array.dtype == object:
            assert [value is None for value in array] == gone.tolist()
        assert (array[~gone] == theirs[~gone].to_numpy()).all()
    assert len(frame["age"]) == 32_561
