"""One JSON line on standard error for each thing an operator should see."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

__all__ = ["log_line"]


def log_line(fields: dict[str, Any]) -> None:
    """Write one line; no input values and no secrets go into it."""
    sys.stderr.write(msgspec.json.encode(fields).decode() + "\n")
    sys.stderr.flush()
