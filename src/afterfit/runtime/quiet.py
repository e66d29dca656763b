"""Heavy work beside requests that are being answered: in a thread that gives way to them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from afterfit.runtime.starter import starter

__all__ = ["gently"]

T = TypeVar("T")
NICENESS, LOWEST = 10, 19


async def gently(work: Callable[[], T]) -> T:
    """Return what ``work`` returns, done in a thread of its own at low priority.

    Linux has a priority for each thread, and an unprivileged one cannot raise it again: the thread
    ends with the work. Processes that the work starts by the starter have the caller's priority.
    """
    starter.ready()
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        _give_way()
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            loop.call_soon_threadsafe(_set_error, done, error)
        else:
            loop.call_soon_threadsafe(_set_result, done, result)

    threading.Thread(target=run, name="afterfit-prepare", daemon=True).start()
    return await done


def _give_way() -> None:
    if hasattr(os, "setpriority") and os.name == "posix":
        with suppress(OSError, AttributeError):
            own = threading.get_native_id()
            lower = min(LOWEST, os.getpriority(os.PRIO_PROCESS, own) + NICENESS)
            os.setpriority(os.PRIO_PROCESS, own, lower)


def _set_result(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_error(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
