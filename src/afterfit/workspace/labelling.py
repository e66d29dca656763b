"""Labels from a file into the events of a workspace, each one once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from afterfit.core.bundle import Bundle
from afterfit.core.frame import Frame, missing_mask
from afterfit.core.signature import Signature
from afterfit.errors import InputError, UsageError
from afterfit.runtime.events import SegmentWriter, read_columns
from afterfit.runtime.labels import FIELDS, Given, check_labels, keys_of, take
from afterfit.store.tables import read_frame

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["Added", "add_labels", "parse_columns"]

PART = 50_000
"""Labels that are checked and written at once."""


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of a file of labels."""

    model: str
    accepted: int
    duplicates: int
    without_label: int


def add_labels(space: Workspace, ref: str, file: Path, columns: Mapping[str, str]) -> Added:
    """Return what became of the labels of a CSV, Parquet or Arrow file.

    ``columns`` maps the fields of a label (event_id, entity, label, value, ts) to columns of other
    names; the model's target is a label too. Rows without a label are passed over. Without ``ts``
    the labels are of the time that the file was changed, so adding it again adds nothing.
    Raises InputError naming row and column; nothing is written then.
    """
    version = space.registry.resolve(ref)
    signature = Bundle(space.registry.checkout(version)).signature
    frame = read_frame(file)
    chosen = _choose(frame, columns, signature, file)
    truth = frame[chosen["label" if "label" in chosen else "value"]]
    known = np.flatnonzero(~missing_mask(truth))
    times = {"now_us": time.time_ns() // 1000, "default_us": file.stat().st_mtime_ns // 1000}
    parts = [
        check_labels(given, signature, version.name, **times)
        for given in _parts({n: frame[c] for n, c in chosen.items()}, known, chosen, file)
    ]
    seen = set(_kept(space.events, version.name)) if parts else set()
    writer = SegmentWriter(space.events, f"labels-{uuid.uuid4().hex[:12]}")
    accepted = 0
    for rows in parts:
        keys = keys_of(rows)
        fresh = take(rows, [place for place, key in enumerate(keys) if key not in seen])
        seen.update(keys)
        if len(fresh):
            writer.write(fresh.batch())
            accepted += len(fresh)
    writer.close()
    return Added(
        model=version.name,
        accepted=accepted,
        duplicates=len(known) - accepted,
        without_label=len(truth) - len(known),
    )


def parse_columns(text: str) -> dict[str, str]:
    """Return field -> column of ``event_id=id,label=outcome``; raises UsageError."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        field, equals, column = part.partition("=")
        if not equals or field not in FIELDS or not column:
            raise UsageError(
                f"not a column of labels: {part!r}",
                where="--map",
                why=f"the fields are {', '.join(FIELDS)}",
                fix="--map event_id=id,label=outcome,ts=day",
            )
        found[field] = column
    return found


def _choose(
    frame: Frame, columns: Mapping[str, str], signature: Signature, file: Path
) -> dict[str, str]:
    """Return the column of each field that the file has; raises InputError."""
    chosen = {field: columns.get(field, field) for field in FIELDS}
    gone = [column for column in columns.values() if column not in frame]
    chosen = {field: column for field, column in chosen.items() if column in frame}
    if not {"label", "value"} & chosen.keys() and signature.target in frame:
        chosen["label"] = signature.target
    for one_of in (("event_id", "entity"), ("label", "value")):
        if gone or not chosen.keys() & set(one_of):
            what = f"no column {gone[0]!r}" if gone else f"neither {one_of[0]} nor {one_of[1]}"
            raise InputError(
                f"the file has {what}",
                where=str(file),
                why=f"its columns are {', '.join(list(frame)[:20])}",
                fix="name them: --map event_id=COLUMN,label=COLUMN,ts=COLUMN",
            )
    if {"label", "value"} <= chosen.keys():
        raise InputError("the file has both label and value", where=str(file), fix="name one")
    return chosen


def _parts(
    frame: Frame, rows: np.ndarray, chosen: Mapping[str, str], file: Path
) -> Iterator[Given]:
    """Yield the rows as labels; what is a number and names something is its text."""
    for start in range(0, len(rows), PART):
        places = rows[start : start + PART]
        values = {name: _plain(name, array[places]) for name, array in frame.items()}
        if {"event_id", "entity"} <= values.keys():
            pairs = zip(values["event_id"], values["entity"], strict=True)
            values["entity"] = [entity if one is None else None for one, entity in pairs]
        items = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]

        def where(row: int, name: str, places: Sequence[int] = places.tolist()) -> str:
            column = f", column {chosen.get(name, name)!r}" if name else ""
            return f"{file}, row {places[row] + 1}{column}"

        yield Given(items, where)


def _plain(name: str, array: np.ndarray) -> list[Any]:
    gone = missing_mask(array)
    values: list[Any] = array.tolist()
    if name in ("event_id", "entity") and array.dtype.kind != "O":
        whole = array.dtype.kind == "f" and bool((array[~gone] == np.trunc(array[~gone])).all())
        values = [str(int(v) if whole and v == v else v) for v in values]  # noqa: PLR0124 - NaN
    return [None if missing else v for v, missing in zip(values, gone.tolist(), strict=True)]


def _kept(folder: Path, model: str) -> Iterator[tuple[Any, ...]]:
    """Yield what makes each label of a model that is there already the same as another."""
    for columns in read_columns(folder) if folder.is_dir() else ():
        kinds, names = columns.codes("kind")[1], columns.codes("model")[1]
        if kinds != ["label"] or names != [model]:
            continue
        words = columns["true_label"].tolist()
        truths = [
            word if word is not None else value
            for word, value in zip(words, columns["true_value"].tolist(), strict=True)
        ]
        texts = (columns[name].tolist() for name in ("event_id", "entity"))
        ids, entities = ([text or "" for text in column] for column in texts)
        yield from zip(ids, entities, columns["ts"].tolist(), truths, strict=True)
