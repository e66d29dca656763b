"""What a server is told when it starts."""

from __future__ import annotations

import ipaddress
from typing import Literal

import msgspec

from afterfit.errors import UsageError
from afterfit.runtime.batch import BatchSettings
from afterfit.runtime.decode import Limits
from afterfit.runtime.endpoint import Endpoint
from afterfit.runtime.http import HttpLimits
from afterfit.runtime.journal import Capture
from afterfit.runtime.slots import Slot
from afterfit.runtime.tls import TlsSettings

__all__ = ["ServerSettings", "WorkerSettings", "check_bind"]


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every worker of a server does alike.

    ``threads`` are inside of one call of the model. ``events`` is a folder, ``-`` for standard
    output, or empty for none; ``counts`` is the folder of live counts, or empty for none.
    ``grace_seconds`` is how long a stopping worker lets requests finish. ``routes`` are the paths
    of the platform. ``keys`` is the file of the API keys, empty for none, and ``key_share`` this
    worker's part of their limits. ``access_log`` says which answers get a line of the log: those
    of 500 and above, all, or none. ``public_docs`` shows the page of the models without a key.
    With ``repository_control`` clients may load and unload models. A call of a model that takes
    longer than ``hang_seconds`` is taken for hung, and its worker is replaced (0: never).
    """

    endpoint: str = "afterfit"
    threads: int = 1
    events: str = ""
    counts: str = ""
    capture: Capture = Capture()
    limits: Limits = Limits()
    batching: BatchSettings = BatchSettings()
    http: HttpLimits = HttpLimits()
    event_queue: int = 100_000
    routes: dict[str, str] = {}
    keys: str = ""
    key_share: float = 1.0
    tls: TlsSettings | None = None
    public_docs: bool = False
    access_log: Literal["none", "errors", "all"] = "errors"
    repository_control: bool = False
    hang_seconds: float = 30.0
    grace_seconds: float = 25.0


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A whole server.

    ``folders`` maps digest to bundle folder; others are looked for as ``bundles/DIGEST``.
    ``state`` keeps the endpoint document, or is empty on a read-only root. ``admin_socket`` is
    the path of a unix socket; ``admin_port`` a loopback port (0: any) that wants ``admin_token``.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    endpoint: Endpoint = Endpoint(name="afterfit")
    folders: dict[str, str] = {}
    bundles: str = ""
    state: str = ""
    admin: Literal["none", "socket", "port"] = "none"
    admin_socket: str = ""
    admin_port: int = 0
    admin_token: str = ""
    allow_unauthenticated: bool = False
    prepare_seconds: float = 120.0
    worker: WorkerSettings = WorkerSettings()


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """Supervisor to worker, first: which worker it is and what it does."""

    slot: int
    worker_id: str
    settings: WorkerSettings


class Prepare(msgspec.Struct, frozen=True, kw_only=True, tag="prepare"):
    """Load, verify and warm the models of a document, beside those that serve."""

    request: int
    endpoint: Endpoint
    folders: dict[str, str]
    slots: tuple[Slot, ...] = ()


class Commit(msgspec.Struct, frozen=True, kw_only=True, tag="commit"):
    """Serve what was prepared."""

    request: int


class Abort(msgspec.Struct, frozen=True, kw_only=True, tag="abort"):
    """Forget what was prepared."""

    request: int


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """Finish what is in flight and end."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """Supervisor to worker: what became of what it asked for."""

    request: int
    error: dict[str, str] = {}


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag="reply"):
    """Worker to supervisor; ``error`` is the error's dictionary, empty where all is well.

    ``sizes`` are the bytes of memory that each newly loaded digest took, ``load_s`` the seconds
    that loading and warming took.
    """

    request: int
    error: dict[str, str] = {}
    sizes: dict[str, int] = {}
    load_s: float = 0.0


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Worker to supervisor: a client wants a model to be loaded, or unloaded."""

    request: int
    action: Literal["load", "unload"]
    model: str


Message = Start | Prepare | Commit | Abort | Stop | Answer
Told = Reply | Ask


def check_bind(host: str, *, allow_unauthenticated: bool, keys: str = "") -> None:
    """Raise UsageError for an address that others can reach, unless that was allowed on purpose."""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local and not allow_unauthenticated and not keys:
        raise UsageError(
            f"the address {host} can be reached from other machines, and the server has no keys",
            where="host",
            why="anyone there could use the model",
            fix="bind 127.0.0.1, or pass --keys FILE (afterfit key create makes one), or "
            "--allow-unauthenticated behind a gateway that checks keys",
        )
