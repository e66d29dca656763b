"""What may be asked of ``serve``."""

from __future__ import annotations

import msgspec

from afterfit.runtime.decode import Limits
from afterfit.runtime.journal import Capture

__all__ = ["ServeConfig"]


class ServeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint runs on this machine.

    ``workers`` are processes, ``threads`` are inside of one call of the model. ``port`` 0 takes
    any that is free. ``events`` is a folder, ``-`` for standard output, or empty for none.
    ``capture`` says which inputs events keep: none, unless asked. ``admin_port`` puts the admin
    API on a loopback port with a token in place of a unix socket (0: any that is free).
    """

    name: str = "afterfit"
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    threads: int = 1
    events: str = ""
    capture: Capture = Capture()
    limits: Limits = Limits()
    allow_unauthenticated: bool = False
    admin_port: int | None = None
    grace_seconds: float = 25.0
    start_seconds: float = 120.0
