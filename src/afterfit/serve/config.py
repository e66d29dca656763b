"""What may be asked of ``serve``."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.runtime.batch import BatchSettings
from afterfit.runtime.decode import Limits
from afterfit.runtime.journal import Capture
from afterfit.runtime.tls import TlsSettings

__all__ = ["ServeConfig"]


class ServeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint runs on this machine.

    ``workers`` are processes, ``threads`` are inside of one call of the model. ``port`` 0 takes
    any that is free. ``events`` is a folder, ``-`` for standard output, or empty for none.
    ``capture`` says which inputs events keep: none, unless asked. ``admin_port`` puts the admin
    API on a loopback port with a token in place of a unix socket (0: any that is free). ``keys`` is
    a file of API keys, ``tls`` the certificate; ``public_docs`` shows the page of the models
    without a key. ``batching`` says how requests come together. With
    ``repository_control`` clients may load and unload models. A worker whose model does not come
    back within ``hang_seconds`` is replaced (0: never).
    """

    name: str = "afterfit"
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    threads: int = 1
    events: str = ""
    capture: Capture = Capture()
    limits: Limits = Limits()
    batching: BatchSettings = BatchSettings()
    keys: str = ""
    tls: TlsSettings | None = None
    public_docs: bool = False
    access_log: Literal["none", "errors", "all"] = "errors"
    repository_control: bool = False
    hang_seconds: float = 30.0
    allow_unauthenticated: bool = False
    admin_port: int | None = None
    grace_seconds: float = 25.0
    start_seconds: float = 120.0
