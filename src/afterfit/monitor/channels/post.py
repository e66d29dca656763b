"""One POST to a host outside: with TLS where the address says so, and no redirect followed."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from afterfit.errors import UnavailableError

__all__ = ["post"]

TIMEOUT_S = 10.0


def post(
    base: str, path: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float = TIMEOUT_S
) -> int:
    """Return the status of the answer; raises UnavailableError where there is none.

    ``base`` is ``https://host:port``; certificates are checked as the machine is set up to.
    """
    parts = urlsplit(base)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=timeout_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    told = {"Content-Type": "application/json", "User-Agent": "afterfit", **headers}
    try:
        connection.request("POST", path, body, told)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            "nobody answers", where=parts.hostname or "", why=str(error) or repr(error),
            fix="look at the address, and whether the server runs",
        ) from None  # fmt: skip
    finally:
        connection.close()
