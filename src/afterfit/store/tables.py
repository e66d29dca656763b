"""Tables at the door: a file or any DataFrame becomes a Dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from afterfit.core.dataset import Dataset
from afterfit.core.shell import shell_word
from afterfit.errors import InputError
from afterfit.store.arrow import column_to_numpy, columns_to_frame
from afterfit.store.csv_file import MISSING_WORDS, check_names, read_csv
from afterfit.store.files import os_errors
from afterfit.store.sniff import broken_file, ipc_reader, kind_of, missing_columns, no_rows
from afterfit.store.stream import Batch, open_table, stream_table

__all__ = [
    "MISSING_WORDS",
    "Batch",
    "columns_to_frame",
    "open_table",
    "read_dataset",
    "read_frame",
    "stream_table",
    "to_column",
]

_ROLES = ("time", "group", "entity")
_SCALARS = (str, int, float, bool, np.generic)


def read_dataset(
    source: object,
    *,
    target: str | None = None,
    time: str | None = None,
    group: str | None = None,
    entity: str | None = None,
    y: object = None,
    feature_names: Sequence[str] | None = None,
    features: Collection[str] = (),
) -> Dataset:
    """Return a table with its target and roles.

    ``source`` is a CSV, Parquet or Arrow file, or a pandas, polars or Arrow table, a mapping of
    columns, or a numpy array of [n, columns] whose columns are ``feature_names`` or x0, x1, …
    ``y`` is the target where it is no column. The target and the columns with a role leave the
    frame, but for a role's column that ``features`` (those of the model) names.

    Raises NotFoundError or InputError with what to do.
    """
    if isinstance(source, Dataset):
        return source
    frame, where = _columns(source, feature_names)
    check_rows(frame, where)
    wanted = {"time": time, "group": group, "entity": entity}
    roles = {role: name for role, name in wanted.items() if name}
    named = {"target": target, **roles} if y is None and target else roles
    for role, name in named.items():
        if name not in frame:
            raise missing_columns([str(name)], list(frame), where, f"is to be the {role}")
    arrays = {role: frame[name] for role, name in roles.items()}
    labels = frame[target] if y is None and target else to_labels(y, frame, where)
    out = {name for name in roles.values() if name not in features}
    if y is None and target:
        out.add(target)
    return Dataset(
        frame={name: array for name, array in frame.items() if name not in out},
        target=labels,
        target_name=target or _name_of(y),
        source=where,
        roles=roles,
        **arrays,
    )


def read_frame(source: object) -> dict[str, np.ndarray]:
    """Return all columns of a file or table, without roles; raises as ``read_dataset`` does."""
    return _columns(source, None)[0]


def to_column(values: object, name: str, where: str = "memory") -> np.ndarray:
    """Return a Series, array or list of one value a row as a frame has it.

    Values of several types become their text. Raises InputError for values that are no scalars.
    """
    if type(values).__module__.partition(".")[0] == "polars":
        values = values.to_arrow()  # type: ignore[attr-defined]
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return values.astype(np.float64)
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else None
        if array is None:
            array = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return _texts(values, name, where)
    return column_to_numpy(array, name, where)


def to_labels(y: object, frame: Mapping[str, np.ndarray], where: str) -> np.ndarray | None:
    """Return ``y`` as an array of [n], or None; raises InputError for another length."""
    if y is None:
        return None
    if getattr(y, "ndim", 1) == 2 and getattr(y, "shape", (0, 0))[1] == 1:
        y = np.asarray(y)[:, 0]
    if getattr(y, "ndim", 1) != 1:
        raise InputError("y has more than one value a row", where=where, fix="give one column")
    labels = to_column(y, "y", where)
    n = len(next(iter(frame.values())))
    if len(labels) != n:
        raise InputError(
            f"y has {len(labels)} values, the table {n} rows",
            where=where,
            fix="give one label for each row",
        )
    return labels


def check_rows(frame: Mapping[str, np.ndarray], where: str) -> None:
    """Raise InputError for a table without columns or rows."""
    if not frame:
        raise InputError(
            "the table has no columns", where=where, fix="give a table with at least one column"
        )
    if not len(next(iter(frame.values()))):
        raise no_rows(where)


def _columns(
    source: object, feature_names: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], str]:
    if isinstance(source, str | Path):
        path = Path(source)
        _check_local(str(source))
        table = _read_file(path)
        check_names(table.column_names, str(path))
        return columns_to_frame(table, str(path)), str(path)
    if isinstance(source, np.ndarray):
        return _from_array(source, feature_names), "memory"
    if isinstance(source, pa.Table | pa.RecordBatch):
        check_names(list(source.schema.names), "memory")
        return columns_to_frame(source, "memory"), "memory"
    if isinstance(source, Mapping):
        return _from_columns([(str(k), v) for k, v in source.items()]), "memory"
    return _from_dataframe(source), "memory"


def _check_local(source: str) -> None:
    if "://" in source:
        raise InputError(
            "a table is read from a file",
            where=source,
            fix=f"curl -LO {shell_word(source)}, then its name",
        )


def _read_file(path: Path) -> pa.Table:
    kind = kind_of(path)
    if kind == "csv":
        return read_csv(path)
    with os_errors(path, "read"), broken_file(path):
        if kind == "parquet":
            with pq.ParquetFile(path) as parquet:
                check_names(parquet.schema_arrow.names, str(path))
                return parquet.read()
        with pa.memory_map(str(path)) as file, ipc_reader(file, kind) as reader:
            return reader.read_all()


def _from_array(array: np.ndarray, feature_names: Sequence[str] | None) -> dict[str, np.ndarray]:
    if array.ndim != 2:
        raise InputError(
            f"an array of {array.ndim} dimensions is no table",
            why="a table is of [n, columns]",
            fix="array.reshape(-1, 1) for one column, array.reshape(1, -1) for one row",
        )
    names = [f"x{i}" for i in range(array.shape[1])] if feature_names is None else feature_names
    if len(names) != array.shape[1]:
        raise InputError(
            f"{len(names)} feature names for {array.shape[1]} columns",
            fix="give one name for each column of the array",
        )
    return _from_columns([(str(name), array[:, i]) for i, name in enumerate(names)])


def _from_dataframe(source: Any) -> dict[str, np.ndarray]:
    import narwhals as nw

    try:
        frame = nw.from_native(source)
    except TypeError:
        raise InputError(
            f"an object of the type {type(source).__name__} is no table",
            why="a table is a file, a DataFrame, an Arrow table or an array of [n, columns]",
            fix="pandas.DataFrame(…) around it",
        ) from None
    except ValueError as error:
        # pandas allows the same column name more than once, narwhals does not.
        raise InputError(
            "the DataFrame's columns are unclear",
            why=str(error),
            fix="rename the columns so that each name stands once",
        ) from None
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, nw.DataFrame):
        raise InputError("one column is no table", fix="series.to_frame()")
    return _from_columns([(str(each.name), each.to_native()) for each in frame.iter_columns()])


def _from_columns(columns: list[tuple[str, Any]]) -> dict[str, np.ndarray]:
    check_names([name for name, _ in columns], "memory")
    frame = {name: to_column(values, name) for name, values in columns}
    sizes = {len(array) for array in frame.values()}
    if len(sizes) > 1:
        raise InputError(
            f"columns of {len(sizes)} lengths: {sorted(sizes)}",
            where="memory",
            fix="give columns of one length",
        )
    return frame


def _texts(values: Any, name: str, where: str) -> np.ndarray:
    items = list(values)
    out = np.empty(len(items), dtype=object)
    for row, value in enumerate(items):
        if value is None or value != value:  # noqa: PLR0124 - NaN is the value unequal to itself
            out[row] = None
        elif isinstance(value, _SCALARS):
            out[row] = str(value)
        else:
            raise InputError(
                f"row {row + 1}, column {name!r}: a {type(value).__name__} is no plain value",
                where=where,
                why="a column holds numbers, booleans, text or dates, one value a row",
                fix=f"frame[{name!r}] = frame[{name!r}].astype(str)   # or leave the column out",
            )
    return out


def _name_of(y: object) -> str | None:
    if y is None:
        return None
    name = getattr(y, "name", None)
    return name if isinstance(name, str) and name else "target"
