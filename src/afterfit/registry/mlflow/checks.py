"""What about an MLflow server should worry whoever takes a model from it."""

from __future__ import annotations

import dataclasses
import re

from afterfit.errors import AfterfitError
from afterfit.registry.mlflow.client import Client

__all__ = ["OLDEST", "concerns"]

OLDEST = (3, 11)
"""Servers before it let strangers read or overwrite files: CVE-2025-11201, CVE-2026-2614,
CVE-2026-2651, CVE-2026-2652, CVE-2026-0545."""


def concerns(client: Client) -> tuple[str, ...]:
    """Return a sentence for each: an old version, no TLS, no authentication, TLS not checked."""
    server = client.server
    found = []
    if server.url.startswith("http:") and not server.is_local:
        found.append(
            f"MLflow at {server.host} is reached without TLS: models and passwords can be read and "
            "exchanged on the way"
        )
    if not server.check_tls:
        found.append(f"the certificate of {server.host} is not checked (INSECURE_TLS)")
    if server.kind != "mlflow":
        return tuple(found)
    told = client.version()
    if told and _numbers(told) < OLDEST:
        found.append(
            f"MLflow at {server.host} is {told}: before {'.'.join(map(str, OLDEST))} strangers can "
            "read or overwrite its files (CVE-2026-2614, CVE-2026-2651): upgrade it"
        )
    if open_to_all(client):
        found.append(
            f"MLflow at {server.host} answers without a password: whoever reaches it can change "
            "models (mlflow server --app-name basic-auth)"
        )
    return tuple(found)


def open_to_all(client: Client) -> bool:
    """Return whether the server answers a question about models to somebody without credentials."""
    stranger = Client(
        dataclasses.replace(client.server, authorization="", client_cert=""), sleep=lambda _: None
    )
    try:
        stranger.get("registered-models/search", max_results=1)
    except AfterfitError:
        return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
