"""Runs the dashboard until it is ended: checks where it may listen, then serves."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from afterfit.errors import ConflictError, DependencyError, ForbiddenError, UsageError
from afterfit.runtime.keys import KeyRing

if TYPE_CHECKING:
    import uvicorn

    from afterfit.web.site import Site

__all__ = ["Listening", "listening", "serve"]

GRACE_S = 3
WARM_AFTER_S = 1.5


@dataclass(frozen=True)
class Listening:
    """Where the dashboard listens, and who may come.

    ``names`` are hosts beside the addresses of the machine; ``keys`` the file of API keys, empty
    for none; ``certificate`` and ``private`` are PEM files for TLS, empty for none.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    names: tuple[str, ...] = ()
    keys: str = ""
    certificate: str = ""
    private: str = ""

    @property
    def scheme(self) -> str:
        """``https`` where there is a certificate."""
        return "https" if self.certificate else "http"


@contextmanager
def listening(told: Listening) -> Iterator[socket.socket]:
    """Yield the bound socket; raises UsageError, ConflictError or ForbiddenError.

    Beyond this machine it refuses to listen without keys: the pages show what a company's models
    do, and nothing else asks who reads them.
    """
    from afterfit.web.guard import Hosts

    if not Hosts(told.host).local and not told.keys:
        raise UsageError(
            f"the address {told.host} can be reached from other machines, and there are no keys",
            where="--host",
            why="anyone there could read everything about your models",
            fix="leave --host out, or give --keys FILE   # afterfit key create NAME --role view",
        )
    try:
        found = socket.getaddrinfo(told.host, told.port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"not an address of this machine: {told.host}", where="--host", why=str(error),
            fix="give 127.0.0.1 or 0.0.0.0",
        ) from None  # fmt: skip
    with socket.socket(found[0], socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(found[4])
        except PermissionError as error:
            raise ForbiddenError(
                f"port {told.port} may not be used",
                where="--port",
                why=str(error),
                fix="--port 8090",
            ) from None
        except OSError as error:
            raise ConflictError(
                f"port {told.port} is taken", where=f"{told.host}:{told.port}", why=str(error),
                fix="end what listens there, or give another one: --port 0 takes any that is free",
            ) from None  # fmt: skip
        sock.listen(128)
        yield sock


def url_of(told: Listening, sock: socket.socket) -> str:
    """Return the address that a browser of this machine opens."""
    host = "127.0.0.1" if told.host in {"0.0.0.0", "::"} else told.host  # noqa: S104 - is compared
    named = f"[{host}]" if ":" in host else host
    return f"{told.scheme}://{named}:{sock.getsockname()[1]}/"


def serve(
    site: Site,
    told: Listening,
    sock: socket.socket,
    *,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer until SIGINT or SIGTERM; ``ready`` is called once with the address.

    Raises DependencyError without the extra ``ui``, and what a file of keys that cannot be used
    raises.
    """
    try:
        import uvicorn

        from afterfit.web.app import application
    except ImportError as error:
        raise DependencyError(
            f"the dashboard needs {error.name}", where="afterfit ui",
            why="it is an extra, so that servers stay small", fix="pip install 'afterfit[ui]'",
        ) from None  # fmt: skip
    from afterfit.web.guard import Door, Hosts

    ring = KeyRing(Path(told.keys), say=lambda _: None) if told.keys else None
    door = Door(ring, secure=bool(told.certificate))
    app = application(site, Hosts(told.host, frozenset(n.lower() for n in told.names)), door)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=told.certificate or None,
        ssl_keyfile=told.private or None,
    )
    # Charts of reports need modules that take seconds to load: nobody should wait for them.
    timer = threading.Timer(WARM_AFTER_S, _warm)
    timer.daemon = True
    timer.start()
    try:
        _server(config, lambda: ready(url_of(told, sock))).run(sockets=[sock])
    finally:
        timer.cancel()


def _warm() -> None:
    from afterfit.web.render import warm

    if os.environ.get("PYTHONOPTIMIZE") in (None, "", "0", "1"):
        warm()


def _server(config: uvicorn.Config, ready: Callable[[], None]) -> uvicorn.Server:
    """Return a server that ends by itself on a signal; Uvicorn's own would end the process.

    ``ready`` is called once it answers, and once a signal ends it well.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            ready()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            before = {
                number: signal.signal(number, self.handle_exit)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return Server(config)
