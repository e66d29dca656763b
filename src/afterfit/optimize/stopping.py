"""Ctrl-C as the word to stop searching: what was found so far is kept, and nothing else ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["stopped_by_ctrl_c"]


@contextmanager
def stopped_by_ctrl_c() -> Iterator[None]:
    """Let ctrl-C raise KeyboardInterrupt here and do no more; afterwards it is what it was before.

    The command line ends a command that does not end by itself after the first ctrl-C, which would
    be the judging of what was found. Elsewhere than in the main thread, and where ctrl-C is
    ignored, nothing is changed.
    """
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and callable(before)
    if not ours:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
