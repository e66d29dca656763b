"""Progress: how long work tells a person how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Something that shows progress; steps call it and never print."""

    def step(self, name: str, total: int | None = None) -> None:
        """Begin a named piece of work of ``total`` units, where known."""
        ...

    def advance(self, units: int = 1) -> None:
        """Tell that some units are done."""
        ...

    def now(self, text: str) -> None:
        """Show how the work stands, in place of what was shown before; nothing of it stays."""
        ...

    def say(self, text: str) -> None:
        """Tell one line worth reading; the piece of work before it is done."""
        ...


class Silent:
    """Shows nothing."""

    def step(self, name: str, total: int | None = None) -> None:
        """Show nothing."""

    def advance(self, units: int = 1) -> None:
        """Show nothing."""

    def now(self, text: str) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""


SILENT = Silent()
