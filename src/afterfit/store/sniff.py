"""What a data file is, by its first bytes; and what to do with one that is no table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.ipc

from afterfit.errors import InputError, NotFoundError, first_line
from afterfit.store.files import os_errors

__all__ = ["FileKind", "broken_file", "ipc_reader", "kind_of", "missing_columns", "no_rows"]

FileKind = Literal["csv", "parquet", "arrow-file", "arrow-stream"]

_TABLES: dict[bytes, FileKind] = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow-file",
    b"\xff\xff\xff\xff": "arrow-stream",
}
_TO_CSV = "python -c \"import pandas; pandas.{}('{}').to_csv('{}.csv', index=False)\""
_OTHERS: dict[bytes, tuple[str, str]] = {
    b"\x80": ("a pickle", "save the table as CSV or Parquet, where it was made"),
    b"PK\x03\x04": ("an Excel workbook or a zip archive", _TO_CSV.replace("{}", "read_excel", 1)),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", _TO_CSV.replace("{}", "read_excel", 1)),
    b"\x1f\x8b": ("compressed by gzip", "gunzip -k '{}'"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unzstd '{}'"),
    b"BZh": ("compressed by bzip2", "bunzip2 -k '{}'"),
    b"\xfd7zXZ": ("compressed by xz", "unxz -k '{}'"),
    b"SQLite format 3": ("a SQLite database", "sqlite3 -header -csv '{}' 'select …' > '{}.csv'"),
    b"\x93NUMPY": ("a NumPy array", "give the array itself to the Python API"),
    b"\x89HDF": ("an HDF5 file", _TO_CSV.replace("{}", "read_hdf", 1)),
    b"{": ("JSON", _TO_CSV.replace("{}", "read_json", 1)),
    b"[{": ("JSON", _TO_CSV.replace("{}", "read_json", 1)),
}
_NAMED = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow-file",
    ".feather": "arrow-file",
    ".ipc": "arrow-file",
    ".arrows": "arrow-stream",
}
_READABLE = "a data file is CSV, Parquet or Arrow"


def kind_of(path: Path) -> FileKind:
    """Return what the file is; raises NotFoundError, or InputError for what is no table."""
    head = _head(path)
    for magic, kind in _TABLES.items():
        if head.startswith(magic):
            return kind
    for magic, (what, fix) in _OTHERS.items():
        if head.startswith(magic):
            raise InputError(
                f"{path.name} is {what}, not a table",
                where=str(path),
                why=_READABLE,
                fix=fix.format(path, path.stem),
            )
    if path.suffix.lower() in _NAMED:
        raise InputError(
            f"{path.name} is not the {_NAMED[path.suffix.lower()]} file its name says",
            where=str(path),
            why="its first bytes are those of another format, or it was cut off",
            fix="write it again, or name it .csv if it is one",
        )
    if b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(
            f"{path.name} is a binary file, not a table",
            where=str(path),
            why=_READABLE,
            fix="give CSV, Parquet or Arrow",
        )
    return "csv"


def missing_columns(absent: list[str], names: list[str], where: str, who: str) -> InputError:
    """Return the error for columns that are not there, with those that are, closest first."""
    first = absent[0]
    lowered = {name.lower().strip(): name for name in names}
    close = get_close_matches(first.lower().strip(), lowered, n=1, cutoff=0.6)
    shown = ", ".join(map(repr, names[:30])) + (" …" if len(names) > 30 else "")
    several = f"{len(absent)} columns" if len(absent) > 1 else "a column"
    fix = f"did you mean {lowered[close[0]]!r}?" if close else "name one of those columns"
    return InputError(
        f"{several} that {who}: {', '.join(map(repr, absent[:5]))} "
        f"{'are' if len(absent) > 1 else 'is'} not there",
        where=where,
        why=f"the columns are: {shown}",
        fix=fix,
    )


def no_rows(where: str) -> InputError:
    """Return the error for a table of which only the header is there."""
    return InputError(
        "the table has no rows",
        where=where,
        why="only the header is there",
        fix="give a table with at least one row",
    )


@contextmanager
def broken_file(path: Path) -> Iterator[None]:
    """Turn Arrow's complaint about a damaged file into an InputError."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        # Arrow reports damage (a bad page, a bad magic number) as an error of the system.
        if error.errno:
            raise
        raise _damaged(path, error) from None


def ipc_reader(file: Any, kind: FileKind) -> Any:
    """Return the reader of an open Arrow file or stream."""
    if kind == "arrow-stream":
        return pyarrow.ipc.open_stream(file)
    return pyarrow.ipc.open_file(file)


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(
            f"{path.name or path} is a folder",
            where=str(path),
            why=_READABLE,
            fix="give one file of it",
        )
    if not path.exists():
        near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        close = get_close_matches(path.name, near, n=1)
        raise NotFoundError(
            f"no file {path.name}",
            where=str(path),
            fix=f"did you mean {path.with_name(close[0])}?" if close else "look at the path",
        )
    with os_errors(path, "read"), path.open("rb") as stream:
        head = stream.read(4096)
    if not head.strip():
        raise InputError(f"{path.name} is empty", where=str(path), fix="give a file with rows")
    return head


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path.name} is damaged",
        where=str(path),
        why=first_line(error),
        fix="write or copy the file again",
    )
