"""News of alarms to Alertmanager, by its API v2: it then groups, routes and inhibits as usual.

``alertmanagers://host:9093`` (``alertmanager://`` without TLS); ``?token=env:NAME`` is a bearer
token. The labels are the same for all news of an alarm's series, which is how Alertmanager knows
them for one. An alert ends by itself a day after the last news of it, so it is sent again every
six hours while the alarm lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import msgspec

from afterfit.errors import ConfigError
from afterfit.monitor.channels.base import Message, check_status
from afterfit.monitor.channels.post import post
from afterfit.monitor.evidence import value_text
from afterfit.monitor.rank import loss_text

__all__ = ["Alertmanager", "open_alertmanager"]

LASTS_S = 24 * 3600.0


class Alertmanager:
    """One Alertmanager. ``repeat_s`` is after how long what lasts is sent again."""

    repeat_s = 6 * 3600.0

    def __init__(
        self, base: str, path: str, token: str = "", *, clock: Callable[[], float] = time.time
    ) -> None:
        self._base, self._path, self._token, self._clock = base, path, token, clock

    def send(self, message: Message) -> str:
        """Return nothing to say; raises Refused or UnavailableError."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        body = msgspec.json.encode([self._alert(message)])
        status = post(self._base, f"{self._path}/api/v2/alerts", body, headers)
        check_status(status, "Alertmanager")
        return ""

    def _alert(self, message: Message) -> dict[str, object]:
        alarm, scope = message.alarm, message.alarm.scope
        lasts = {"firing": LASTS_S, "test": 60.0}.get(message.event, 0.0)
        labels = {
            "alertname": "Afterfit" + alarm.signal.title().replace("_", ""),
            "signal": alarm.signal,
            "subject": alarm.subject,
            "endpoint": scope.endpoint,
            "model": scope.model,
            "version": str(scope.version or ""),
            "slice": scope.slice,
            # Not the severity: it may change, and another label would make another alert.
            "alarm": alarm.id,
        }
        annotations = {
            "summary": message.title,
            "description": message.text,
            "severity": alarm.severity,
            "value": value_text(alarm.worst),
            "loss": loss_text(alarm.worst),
            "runbook": f"afterfit explain {alarm.runbook}",
        }
        return {
            "labels": {name: value for name, value in labels.items() if value},
            "annotations": annotations,
            "startsAt": _rfc3339(alarm.opened / 1e6),
            "endsAt": _rfc3339(self._clock() + lasts),
        }


def open_alertmanager(address: str) -> Alertmanager:
    """Return the Alertmanager at an address; raises ConfigError for one without a host."""
    parts = urlsplit(address)
    if not parts.hostname:
        raise ConfigError(
            "Alertmanager needs a host",
            where="alarms.channels",
            fix='write "alertmanager://127.0.0.1:9093"',
        )
    scheme = "https" if parts.scheme == "alertmanagers" else "http"
    token = parse_qs(parts.query).get("token", [""])[0]
    return Alertmanager(f"{scheme}://{parts.netloc}", parts.path.rstrip("/"), token)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
