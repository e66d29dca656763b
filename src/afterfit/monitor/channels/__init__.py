"""Where alarms go: each channel in a module of its own, found by the scheme of its address."""

from afterfit.monitor.channels.base import Channel, DryRun, Message, Refused
from afterfit.monitor.channels.opening import Opened, open_channel, open_channels
from afterfit.monitor.channels.outbox import Outbox, Sent
from afterfit.monitor.channels.webhook import verify

__all__ = [
    "Channel",
    "DryRun",
    "Message",
    "Opened",
    "Outbox",
    "Refused",
    "Sent",
    "open_channel",
    "open_channels",
    "verify",
]
