"""Dates reach a model as text: whether it takes them so, asked of the model itself."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from afterfit.core.finding import Finding
from afterfit.core.frame import Frame, row_count
from afterfit.core.metric import in_percent
from afterfit.errors import InputError
from afterfit.inspect import findings
from afterfit.models.loaded import LoadedModel

__all__ = ["about_dates"]

ENOUGH_DATES = 1000
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:$|[T ]\d{2}:\d{2})")
FIX = (
    "train on numbers made from the date (hour, weekday, days since …), or let the pipeline's "
    "first step parse the text: pd.to_datetime(rows['{}'])"
)


def about_dates(model: LoadedModel, frame: Frame, source: str) -> list[Finding]:
    """Return a finding for each column of the rows that reads as dates, or that there is none.

    Raises InputError where the model is shown to need datetimes: it refuses the text, or answers it
    otherwise and remembers the datetimes of its training.
    """
    check = findings.DatesAsText
    names = [name for name, values in frame.items() if _reads_as_dates(values)]
    if not names:
        return [check.passed()]
    told = model.call("afterfit.models.date_columns:ask_both_ways", frame=frame, columns=names)
    _require_text(told, names, frame, source)
    taken = _why_text_is_right(told)
    if taken:
        return [check.passed(f"the model takes the text of {name}: {taken}") for name in names]
    return [
        check.issue(
            f"{name} holds dates, and the model gets them as text",
            where=f"column {name}",
            fix=FIX.format(name),
        )
        for name in names
    ]


def _require_text(told: dict[str, Any], names: list[str], frame: Frame, source: str) -> None:
    if not told or told["dates"]:
        return
    why = ""
    if told["text"]:
        why = f"the model refuses the text: {told['text']}"
    elif told["differ"] and told["trained_on_dates"]:
        differ = in_percent(told["differ"])
        why = f"with text it answers {differ} of {row_count(frame)} rows otherwise"
    if why:
        raise InputError(
            f"the model needs datetimes in {', '.join(names)}, and is given text",
            where=f"{source}: column {names[0]}",
            why=f"tables, requests and bundles carry dates as text; {why}",
            fix=FIX.format(names[0]),
        )


def _why_text_is_right(told: dict[str, Any]) -> str:
    """Return what shows that the model was made for text, or an empty text."""
    if not told or told["text"]:
        return ""
    if told["dates"]:
        return "it refuses datetimes"
    return "" if told["differ"] else "datetimes give the same answers"


def _reads_as_dates(values: np.ndarray) -> bool:
    if values.dtype.kind != "O":
        return False
    shown = [value for value in values[:ENOUGH_DATES].tolist() if isinstance(value, str)]
    return bool(shown) and all(ISO_DATE.match(value) for value in shown)
