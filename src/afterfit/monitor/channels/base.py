"""What a channel is, what it is given, and how it says that it could not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from afterfit.errors import UnavailableError
from afterfit.monitor import evidence
from afterfit.monitor.evidence import Event
from afterfit.records.signals import Alarm

__all__ = ["Channel", "DryRun", "Message", "Refused", "check_status"]

_AGAIN = {408, 425, 429}


@dataclass(frozen=True)
class Message:
    """News of an alarm; ``body`` is the evidence as JSON, ``title`` and ``text`` are for people."""

    alarm: Alarm
    event: Event

    @property
    def title(self) -> str:
        """One line."""
        return evidence.title(self.alarm, self.event)

    @property
    def text(self) -> str:
        """A few lines."""
        return evidence.text(self.alarm)

    @property
    def body(self) -> bytes:
        """The evidence as JSON."""
        return evidence.bundle(self.alarm, self.event)


class Channel(Protocol):
    """Somewhere that news of alarms can go.

    ``send`` may block for seconds: it has a thread of its own. It raises `Refused` for what trying
    again cannot mend, and any other exception for what it may. The same news may come twice, after
    a crash between sending it and taking note: the alarm's id tells.
    """

    def send(self, message: Message) -> str:
        """Return what happened, in a few words, empty where there is nothing to say."""
        ...


class Refused(Exception):  # noqa: N818 - a word of this protocol, told to nobody as an error
    """The other side does not want it, and will not the next time."""


class DryRun(Exception):  # noqa: N818 - a word of this protocol, told to nobody as an error
    """Nothing was done: what would have been done is its text."""


def check_status(status: int, what: str) -> None:
    """Do nothing for an answer of success; raises Refused, or UnavailableError to try again."""
    if 200 <= status < 300:
        return
    if status in _AGAIN or status >= 500:
        raise UnavailableError(f"{what} answers {status}", fix="it is tried again")
    raise Refused(f"{what} answers {status}")
