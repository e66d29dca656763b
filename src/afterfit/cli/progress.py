"""Progress on stderr: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from afterfit.cli import interrupt


class TerminalProgress:
    """Shows steps on stderr; use it as a context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._live = self._console.is_terminal and not quiet
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._name = ""
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Start the live line."""
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the live line."""
        self._finish(failed=error is not None)
        if self._live:
            self._bar.stop()
        sys.stderr.flush()

    def step(self, name: str, total: int | None = None) -> None:
        """Begin a named piece of work; the one before it is done. Raises a lost ctrl-C."""
        interrupt.check()
        self._finish()
        self._name, self._started = name, time.monotonic()
        if self._live:
            self._task = self._bar.add_task(name, total=total)

    def advance(self, units: int = 1) -> None:
        """Tell that some units are done. Raises a lost ctrl-C."""
        interrupt.check()
        if self._task is not None:
            self._bar.advance(self._task, units)

    def now(self, text: str) -> None:
        """Show how the work stands beside its name, on a terminal. Raises a lost ctrl-C."""
        interrupt.check()
        if self._task is not None:
            self._bar.update(self._task, description=escape(f"{self._name}  {text}"))

    def say(self, text: str) -> None:
        """Tell one line worth reading, after the work before it. Raises a lost ctrl-C."""
        interrupt.check()
        self._finish()
        self._console.print(text, markup=False)

    def _finish(self, *, failed: bool = False) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        if self._name:
            seconds = time.monotonic() - self._started
            mark = "✗" if failed else "✓"
            self._console.print(f"  {mark} {self._name} ({seconds:.1f} s)", markup=False)
            self._name = ""
