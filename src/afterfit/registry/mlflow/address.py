"""Where an MLflow server is and how it is spoken to, by MLflow's own environment variables.

``MLFLOW_TRACKING_URI``, ``MLFLOW_TRACKING_USERNAME`` and ``_PASSWORD``, ``MLFLOW_TRACKING_TOKEN``,
``MLFLOW_TRACKING_INSECURE_TLS``, ``MLFLOW_TRACKING_SERVER_CERT_PATH``,
``MLFLOW_TRACKING_CLIENT_CERT_PATH``, ``MLFLOW_HTTP_REQUEST_TIMEOUT`` (s), the file
``~/.mlflow/credentials``; of Databricks ``DATABRICKS_HOST``, ``DATABRICKS_TOKEN`` and
``~/.databrickscfg``. Source: mlflow.org, "Logging to a tracking server", version 3.
"""

from __future__ import annotations

import base64
import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from afterfit.errors import ConfigError, UsageError

__all__ = ["LOOPBACK", "Server", "server_of"]

Kind = Literal["mlflow", "databricks", "azureml"]
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMEOUT_S = 120.0
_TRUE = {"1", "true"}
_ERROR_FIX = "export MLFLOW_TRACKING_URI=https://mlflow.example.com"


@dataclass(frozen=True)
class Server:
    """A server: its address without credentials, and what is sent and checked beside a request.

    ``authorization`` is the header's value, empty for none; ``timeout_s`` seconds of one answer.
    """

    url: str
    kind: Kind = "mlflow"
    authorization: str = field(default="", repr=False)
    check_tls: bool = True
    ca_file: str = ""
    client_cert: str = ""
    timeout_s: float = _TIMEOUT_S

    @property
    def host(self) -> str:
        """Host and port, as errors and the audit log name it."""
        return urlsplit(self.url).netloc

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return (urlsplit(self.url).hostname or "") in LOOPBACK


def server_of(uri: str, environment: Mapping[str, str], home: Path | None = None) -> Server:
    """Return the server that ``uri`` (or ``MLFLOW_TRACKING_URI``) names.

    Raises UsageError where none is named, ConfigError for what no server can be read from.
    """
    told = (uri or environment.get("MLFLOW_TRACKING_URI", "")).strip()
    if not told:
        raise UsageError(
            "no MLflow server is named",
            why="MLFLOW_TRACKING_URI is not set",
            fix=_ERROR_FIX,
        )
    parts = _split(told)
    home = home or Path.home()
    if told == "databricks" or parts.scheme == "databricks":
        return _databricks(parts, environment, home)
    if told == "databricks-uc" or parts.scheme == "databricks-uc":
        raise ConfigError(
            "models of Unity Catalog cannot be read here",
            where="MLFLOW_TRACKING_URI",
            why="its registry has another interface than MLflow's",
            fix="download the model (mlflow artifacts download), and ship its file",
        )
    if parts.scheme == "azureml":
        parts, kind = parts._replace(scheme="https"), "azureml"
    else:
        kind = "mlflow"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            "not the address of an MLflow server",
            where="MLFLOW_TRACKING_URI",
            why="folders and databases are read by MLflow's own server alone",
            fix=f"mlflow server --backend-store-uri URI, then {_ERROR_FIX}",
        )
    return _server(parts, "azureml" if kind == "azureml" else "mlflow", environment, home)


def _server(parts: SplitResult, kind: Kind, environment: Mapping[str, str], home: Path) -> Server:
    return Server(
        url=_plain(parts),
        kind=kind,
        authorization=_authorization(parts, environment, home),
        check_tls=environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in _TRUE,
        ca_file=environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH", ""),
        client_cert=environment.get("MLFLOW_TRACKING_CLIENT_CERT_PATH", ""),
        timeout_s=_timeout(environment),
    )


def _split(told: str) -> SplitResult:
    try:
        parts = urlsplit(told)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(
            "not the address of an MLflow server",
            where="MLFLOW_TRACKING_URI",
            why=str(error),
            fix=_ERROR_FIX,
        ) from None
    return parts


def _plain(parts: SplitResult) -> str:
    """Return the address without user, password, query and fragment."""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _authorization(parts: SplitResult, environment: Mapping[str, str], home: Path) -> str:
    user = environment.get("MLFLOW_TRACKING_USERNAME", "")
    password = environment.get("MLFLOW_TRACKING_PASSWORD", "")
    token = environment.get("MLFLOW_TRACKING_TOKEN", "")
    if not (user or token) and parts.username:
        user, password = unquote(parts.username), unquote(parts.password or "")
    if not (user or token):
        kept = _ini(home / ".mlflow" / "credentials").get("mlflow", {})
        user = kept.get("mlflow_tracking_username", "")
        password = kept.get("mlflow_tracking_password", "")
    if user:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return _bearer(token, "MLFLOW_TRACKING_TOKEN") if token else ""


def _bearer(token: str, where: str) -> str:
    # What breaks a header's line could add another one.
    if not re.fullmatch(r"[\x21-\x7e]+", token.strip()):
        raise ConfigError(
            "the token cannot be sent",
            where=where,
            why="it holds spaces, line breaks or letters beyond ASCII",
            fix=f"export {where}=…, in one piece",
        )
    return f"Bearer {token.strip()}"


def _databricks(parts: SplitResult, environment: Mapping[str, str], home: Path) -> Server:
    """Return a workspace of Databricks: by variables, or by a profile of ``~/.databrickscfg``."""
    profile = parts.netloc or environment.get("DATABRICKS_CONFIG_PROFILE", "")
    host, token = environment.get("DATABRICKS_HOST", ""), environment.get("DATABRICKS_TOKEN", "")
    if profile or not (host and token):
        kept = _ini(home / ".databrickscfg").get(profile or "DEFAULT", {})
        host, token = kept.get("host", "") or host, kept.get("token", "") or token
    if not (host and token):
        raise ConfigError(
            "the workspace of Databricks is not known",
            where=f"~/.databrickscfg [{profile or 'DEFAULT'}]",
            why="it takes an address and a token",
            fix="export DATABRICKS_HOST=https://….cloud.databricks.com DATABRICKS_TOKEN=…",
        )
    where = _split(host if "://" in host else f"https://{host}")
    return Server(
        url=_plain(where),
        kind="databricks",
        authorization=_bearer(token, "DATABRICKS_TOKEN"),
        timeout_s=_timeout(environment),
    )


def _ini(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the credentials cannot be read", where=str(path), why=type(error).__name__,
            fix="write it anew, or set the variables of the environment",
        ) from None  # fmt: skip
    found = {name: dict(parser.items(name)) for name in parser.sections()}
    return {"DEFAULT": dict(parser.defaults()), **found}


def _timeout(environment: Mapping[str, str]) -> float:
    told = environment.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "")
    try:
        seconds = float(told) if told else _TIMEOUT_S
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise ConfigError(
            f"not a number of seconds: {told!r}",
            where="MLFLOW_HTTP_REQUEST_TIMEOUT",
            fix="export MLFLOW_HTTP_REQUEST_TIMEOUT=120",
        )
    return seconds
