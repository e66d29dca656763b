"""The channel that an address means, by its scheme, and where its secrets come from.

Others register a function ``address -> Channel`` as an entry point of the group
``afterfit.channels``, its name the scheme; the ones here are registered in the same way. What is
no scheme of those is Apprise's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from afterfit.errors import ConfigError
from afterfit.monitor.channels.base import Channel
from afterfit.store.files import read_bytes

__all__ = ["Opened", "open_channel", "open_channels", "secret_of"]

GROUP = "afterfit.channels"
_HERE = "afterfit.monitor.channels"
# Works without installed metadata, as in a source tree.
BUILT_IN = {
    "alertmanager": f"{_HERE}.alertmanager:open_alertmanager",
    "alertmanagers": f"{_HERE}.alertmanager:open_alertmanager",
    "apprise": f"{_HERE}.services:open_apprise",
    "webhook": f"{_HERE}.webhook:open_webhook",
    "webhooks": f"{_HERE}.webhook:open_webhook",
}
RESERVED = ("rollback", "pause_canary", "retrain")
_OPEN = {"alertmanager", "alertmanagers", "webhook", "webhooks"}
_REFERENCE = re.compile(r"(?<==)(?:env:[A-Za-z_]\w*|file:[^&\s]+)")
_LITERAL = re.compile(r"[?&](?:secret|token|password|key)=(?!env:|file:)", re.IGNORECASE)
_SHORT = 6
"""Shorter parts of an address are words, and would make holes in every text."""
Opener = Callable[[str], Channel]


@dataclass(frozen=True)
class Opened:
    """A channel, its name, and what no log and no record may show of its address."""

    name: str
    channel: Channel
    hidden: tuple[str, ...] = ()

    def scrubbed(self, text: str) -> str:
        """Return a text without any secret of the channel."""
        for secret in self.hidden:
            text = text.replace(secret, "…")
        return text


def open_channels(
    addresses: Mapping[str, str], *, environ: Mapping[str, str] | None = None
) -> dict[str, Opened]:
    """Return the channels by name; raises ConfigError for the first that cannot be.

    Nothing is connected to yet.
    """
    return {name: open_channel(name, text, environ=environ) for name, text in addresses.items()}


def open_channel(name: str, address: str, *, environ: Mapping[str, str] | None = None) -> Opened:
    """Return the channel at an address, which may be ``env:NAME`` or ``file:PATH``.

    Raises ConfigError for a secret that stands in the configuration, DependencyError without
    Apprise.
    """
    where = f"alarms.channels.{name}"
    if name in RESERVED:
        raise ConfigError(
            f"{name!r} is the name of an action", where=where, fix="give the channel another name"
        )
    whole = address.startswith(("env:", "file:"))
    found = secret_of(address, where=where, environ=environ) if whole else address
    scheme, there, _ = found.partition("://")
    if not there:
        raise ConfigError(
            "not the address of a channel", where=where, why="it has no scheme://",
            fix='write "env:NAME", and set the variable to such as slack://…',
        )  # fmt: skip
    if not whole:
        _no_secret(scheme, address, where)
    found = _REFERENCE.sub(
        lambda each: quote(secret_of(each[0], where=where, environ=environ), safe=""), found
    )
    return Opened(name, _opener(scheme.lower())(found), _secrets(found, whole=whole))


def secret_of(reference: str, *, where: str, environ: Mapping[str, str] | None = None) -> str:
    """Return what ``env:NAME`` or ``file:PATH`` holds; raises ConfigError where it is not there."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = (os.environ if environ is None else environ).get(name, "")
    else:
        value = read_bytes(Path(name)).decode("utf-8", "replace")
    if value.strip():
        return value.strip()
    what = f"the variable {name} is not set" if kind == "env" else f"{name} is empty"
    raise ConfigError(what, where=where, fix=f"put the address or secret into {reference}")


def _no_secret(scheme: str, address: str, where: str) -> None:
    """Do nothing for an address that holds none; raises ConfigError."""
    open_ = scheme.lower() in _OPEN and "@" not in urlsplit(address).netloc
    if not open_ or _LITERAL.search(address):
        raise ConfigError(
            "the address may hold a secret, which does not belong in a configuration",
            where=where,
            why="configurations are committed, shown and recorded",
            fix='write "env:NAME" or "file:PATH", and put the address there',
        )


def _secrets(address: str, *, whole: bool) -> tuple[str, ...]:
    """Return the parts of an address that nobody may see, the longest first."""
    parts = urlsplit(address)
    told = {address} if whole else set()
    values = [each.partition("=")[2] for each in parts.query.split("&")]
    if whole:
        values += [parts.username or "", parts.password or "", *parts.path.split("/")]
    told |= {form for each in values for form in (each, unquote(each)) if len(each) >= _SHORT}
    return tuple(sorted(told, key=len, reverse=True))


def _opener(scheme: str) -> Opener:
    for point in entry_points(group=GROUP, name=scheme):
        found: Opener = point.load()
        return found
    module, _, name = BUILT_IN.get(scheme, BUILT_IN["apprise"]).partition(":")
    built_in: Opener = getattr(import_module(module), name)
    return built_in
