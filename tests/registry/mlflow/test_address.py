"""Where a server is and what is sent to it, by MLflow's own variables."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from afterfit.errors import ConfigError, UsageError
from afterfit.registry.mlflow.address import server_of

BASIC = "Basic " + base64.b64encode(b"ana:se:cret").decode()


@pytest.mark.parametrize(
    ("uri", "environment", "url", "authorization"),
    [
        ("http://127.0.0.1:5000/", {}, "http://127.0.0.1:5000", ""),
        ("", {"MLFLOW_TRACKING_URI": "https://m.example/ml/"}, "https://m.example/ml", ""),
        (
            "https://m.example",
            {"MLFLOW_TRACKING_USERNAME": "ana", "MLFLOW_TRACKING_PASSWORD": "se:cret"},
            "https://m.example",
            BASIC,
        ),
        ("https://ana:se%3Acret@m.example?x=1", {}, "https://m.example", BASIC),
        (
            "https://m.example",
            {"MLFLOW_TRACKING_TOKEN": "t0k\n"},
            "https://m.example",
            "Bearer t0k",
        ),
        (
            "azureml://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/s",
            {"MLFLOW_TRACKING_TOKEN": "aad"},
            "https://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/s",
            "Bearer aad",
        ),
        (
            "databricks",
            {"DATABRICKS_HOST": "https://dbc.example/", "DATABRICKS_TOKEN": "dapi"},
            "https://dbc.example",
            "Bearer dapi",
        ),
    ],
)
def test_server_and_credentials_are_read_as_mlflow_does(
    uri: str, environment: dict[str, str], url: str, authorization: str, tmp_path: Path
) -> None:
    """The address keeps no credentials, and printing a server shows none."""
    server = server_of(uri, environment, tmp_path)
    assert (server.url, server.authorization) == (url, authorization)
    assert not authorization or authorization not in repr(server)


def test_files_of_credentials_are_read(tmp_path: Path) -> None:
    """As ``mlflow login`` and Databricks' own tools write them."""
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = ana\nmlflow_tracking_password = se:cret\n"
    )
    (tmp_path / ".databrickscfg").write_text(
        "[DEFAULT]\nhost = d.example\ntoken = one\n[team]\nhost = https://t.example\ntoken = two\n"
    )
    assert server_of("https://m.example", {}, tmp_path).authorization == BASIC
    assert server_of("databricks", {}, tmp_path).url == "https://d.example"
    assert server_of("databricks://team", {}, tmp_path).authorization == "Bearer two"


@pytest.mark.parametrize(
    ("uri", "environment", "kind", "words"),
    [
        ("", {}, UsageError, "MLFLOW_TRACKING_URI is not set"),
        ("sqlite:///mlflow.db", {}, ConfigError, "mlflow server --backend-store-uri"),
        ("./mlruns", {}, ConfigError, "MLflow's own server"),
        ("http://m.example:port", {}, ConfigError, "not the address"),
        ("databricks-uc", {}, ConfigError, "Unity Catalog"),
        ("databricks", {}, ConfigError, "DATABRICKS_HOST"),
        ("http://m", {"MLFLOW_TRACKING_TOKEN": "a\r\nX-Evil: 1"}, ConfigError, "in one piece"),
        ("http://m", {"MLFLOW_HTTP_REQUEST_TIMEOUT": "soon"}, ConfigError, "seconds"),
    ],
)
def test_what_names_no_server_is_told(
    uri: str, environment: dict[str, str], kind: type[Exception], words: str, tmp_path: Path
) -> None:
    """Each says what to set."""
    with pytest.raises(kind) as caught:
        server_of(uri, environment, tmp_path)
    assert words in str(caught.value)
