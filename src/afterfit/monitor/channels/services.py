"""News of alarms to Slack, Teams, e-mail, PagerDuty and whatever else Apprise knows.

The address is one of Apprise, such as ``slack://…`` or ``mailtos://…``. Nearly all of them are a
secret, so they come from a variable or a file.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from afterfit.errors import ConfigError, DependencyError, UnavailableError
from afterfit.monitor.channels.base import Message

__all__ = ["Services", "open_apprise"]

_ADDRESS = re.compile(r"\S+://\S+")
_LOGGERS = ("apprise", "requests", "urllib3", "urllib3.connectionpool", "urllib3.util.retry")


class Services:
    """One address of Apprise."""

    def __init__(self, apprise: Any, address: str) -> None:
        """Raise ConfigError for an address that Apprise does not know."""
        self._types = apprise.NotifyType
        # In memory: nothing of it is for the disk, least of all tokens.
        asset = apprise.AppriseAsset(
            app_id="Afterfit",
            app_desc="Afterfit",
            storage_mode=apprise.PersistentStoreMode.MEMORY,
            secure_logging=True,
        )
        self._apprise = apprise.Apprise(asset=asset)
        with _HUSH.said():
            known = self._apprise.add(address)
        if not known:
            scheme = address.partition("://")[0]
            raise ConfigError(
                f"Apprise does not know this address of {scheme}://",
                where="alarms.channels",
                why="the scheme is none of its own, or a part of the address is missing",
                fix="write it as the page of the service at Apprise's wiki has it",
            )

    def send(self, message: Message) -> str:
        """Return nothing to say; raises UnavailableError where a service did not take it."""
        kind = {"resolved": self._types.SUCCESS, "test": self._types.INFO}.get(message.event)
        if kind is None:
            grave = message.alarm.severity == "high"
            kind = self._types.FAILURE if grave else self._types.WARNING
        with _HUSH.said() as lines:
            sent = self._apprise.notify(title=message.title, body=message.text, notify_type=kind)
        if not sent:
            raise UnavailableError(
                "the service did not take it",
                why="; ".join(lines[:3]),
                fix="look at the address, and at the service",
            )
        return ""


def open_apprise(address: str) -> Services:
    """Return the services at an address; raises DependencyError without Apprise."""
    try:
        import apprise
    except ImportError as error:
        raise DependencyError(
            f"alarms to {address.partition('://')[0]}:// need the package apprise",
            why=str(error),
            fix="pip install 'afterfit[alerts]'",
        ) from None
    return Services(apprise, address.removeprefix("apprise+"))


class _Hush(logging.Filter):
    """Keeps what Apprise and its transport say of an address out of every log, while it sends.

    They say it in threads of their own, so this goes for the process, and only meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._sending: list[list[str]] = []

    def filter(self, record: logging.LogRecord) -> bool:
        with self._lock:
            # Of several that send at once nobody knows whose words these are.
            if len(self._sending) == 1 and record.levelno >= logging.WARNING:
                self._sending[0].append(_ADDRESS.sub("…", record.getMessage())[:200])
            return not self._sending

    @contextmanager
    def said(self) -> Iterator[list[str]]:
        """Yield the warnings that come meanwhile, without addresses."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)  # a second time changes nothing
        lines: list[str] = []
        with self._lock:
            self._sending.append(lines)
        try:
            yield lines
        finally:
            with self._lock:
                self._sending = [each for each in self._sending if each is not lines]


_HUSH = _Hush()
