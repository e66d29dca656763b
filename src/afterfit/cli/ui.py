"""``afterfit ui``: the dashboard."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, folder_of
from afterfit.cli.output import Answer
from afterfit.web.run import Listening, listening, serve
from afterfit.web.site import Site, kept_by_monitor


def ui(
    *,
    host: Annotated[str, Parameter(help="Address; this machine alone if not given.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="0 takes a free one.")] = 8090,
    keys: Annotated[Path | None, Parameter(help="A file of API keys: afterfit key.")] = None,
    allow_host: Annotated[
        tuple[str, ...], Parameter(negative="", help="A name under which it is reached.")
    ] = (),
    tls_cert: Annotated[Path | None, Parameter(help="A certificate with its chain, PEM.")] = None,
    tls_key: Annotated[Path | None, Parameter(help="Its key, where it stands apart.")] = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Show models, versions, servers, signals, alarms and records in a browser.

    It reads the workspace and changes nothing. Beyond this machine it wants keys with the role
    view, and a page asks for one of them.
    """
    told = Listening(
        host=host,
        port=port,
        names=allow_host,
        keys="" if keys is None else str(keys),
        certificate="" if tls_cert is None else str(tls_cert),
        private="" if tls_key is None else str(tls_key),
    )

    def ready(url: str) -> None:
        line = msgspec.json.encode({"event": "ready", "url": url}).decode()
        print(line if common.json else f"The dashboard is at {url}\nctrl-C ends it", flush=True)

    folder = folder_of(common)
    site = Site(folder, monitor=partial(kept_by_monitor, folder))
    with listening(told) as sock:
        serve(site, told, sock, ready=ready)
    return Answer(silent=True)
