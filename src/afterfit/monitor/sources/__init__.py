"""Logs of predictions from wherever they are, read a batch at a time."""

from __future__ import annotations

from afterfit.monitor.sources.columns import LogColumns
from afterfit.monitor.sources.events import EventSource
from afterfit.monitor.sources.files import TableSource
from afterfit.monitor.sources.sql import QuerySource

__all__ = ["EventSource", "LogColumns", "QuerySource", "TableSource"]
