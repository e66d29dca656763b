"""``afterfit config show``: every setting with its value and its origin."""

from __future__ import annotations

from typing import Any

import msgspec

from afterfit.cli.common import Common
from afterfit.cli.output import Answer, table
from afterfit.config import load_config


def show(*, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """Show every setting with its value and where it comes from."""
    loaded = load_config()
    rows = list(loaded.rows())
    result = {name: {"value": value, "origin": origin} for name, value, origin in rows}
    text = table([(name, _shown(value), origin) for name, value, origin in rows], _HEADINGS)
    return Answer(result, text)


_HEADINGS = ("setting", "value", "origin")


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()
