"""``afterfit config show``: every setting with its value and its origin."""

from __future__ import annotations

from typing import Any

import msgspec

from afterfit.cli.common import Common
from afterfit.cli.output import Answer, table
from afterfit.config import Reading, place_of, read_config
from afterfit.store.remote.secret import redacted

_HEADINGS = ("setting", "value", "origin")


def show(*, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """Show every setting with its value and where it comes from.

    Exit 2 where some are wrong: they are shown as they are written, with what is wrong.
    """
    reading = read_config()
    rows = [
        (
            name,
            redacted(value) if isinstance(value, str) else value,
            reading.origins.get(name, "default"),
        )
        for name, value in reading.values.items()
    ]
    settings = {name: {"value": value, "origin": origin} for name, value, origin in rows}
    text = table([(name, _shown(value), origin) for name, value, origin in rows], _HEADINGS)
    if not reading.problems:
        return Answer(settings, text)
    told = [_told(reading, *problem) for problem in reading.problems]
    problems = [{"path": path, "message": message} for path, message in reading.problems]
    result = {"settings": settings, "problems": problems}
    return Answer(result, "\n".join([text, "", *told]), exit=2)


def _told(reading: Reading, path: str, message: str) -> str:
    where, fix = place_of(reading, path)
    return f"wrong: {path}: {message}\n  where: {where}\n  fix: {fix}"


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()
