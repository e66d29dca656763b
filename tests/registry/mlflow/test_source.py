"""What people name in MLflow, and the files that it means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.registry.mlflow.fake import FakeMlflow

from afterfit.errors import (
    AfterfitError,
    ForbiddenError,
    InputError,
    ModelError,
    NotFoundError,
    UsageError,
)
from afterfit.registry.mlflow.address import Server
from afterfit.registry.mlflow.artifacts import copy
from afterfit.registry.mlflow.client import Client
from afterfit.registry.mlflow.mlmodel import choose
from afterfit.registry.mlflow.source import Found, resolve, source_of

FILES = {"MLmodel": b"flavors: {}\n", "model.pkl": b"1", "code/a b.py": b"2"}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("mlflow:models:/churn@champion", "churn"),
        ("mlflow:models:/churn/3", "churn"),
        ("mlflow:models:/team%20a@champion", "team a"),
        ("mlflow:models:/m-0123456789abcdef0123456789abcdef", "m-0123456789abcdef0123456789abcdef"),
        ("mlflow:runs:/abc/models/churn", "churn"),
    ],
)
def test_sources_are_read(text: str, title: str) -> None:
    """As MLflow writes them."""
    assert source_of(text).title == title


@pytest.mark.parametrize(
    "text",
    ["mlflow:", "mlflow:churn", "mlflow:models:/churn", "mlflow:models:/a/b/c", "mlflow:runs:/abc",
     "mlflow:models:/@x", "mlflow:runs:/abc/../../x", "mlflow:models:/churn@"],
)  # fmt: skip
def test_what_is_no_source_is_told(text: str) -> None:
    """With the forms that there are."""
    with pytest.raises(UsageError, match="models:/NAME@ALIAS"):
        source_of(text)


def test_alias_number_and_latest_lead_to_versions(fake: FakeMlflow, client: Client) -> None:
    """An alias is followed at the moment; ``latest`` is the greatest number, not the last text."""
    for _ in range(10):
        fake.add_version("churn", FILES)
    fake.alias("churn", "champion", "2")
    named = {"@champion": "2", "/3": "3", "/latest": "10"}
    for selector, number in named.items():
        found = resolve(client, source_of(f"mlflow:models:/churn{selector}"))
        assert (found.identity, found.number) == (f"models:/churn/{number}", number)


@pytest.mark.parametrize(
    ("selector", "kind"),
    [("@nobody", NotFoundError), ("/99", NotFoundError), ("/Production", UsageError)],
)
def test_what_is_not_there_is_told(
    fake: FakeMlflow, client: Client, selector: str, kind: type[AfterfitError]
) -> None:
    """An alias, a number and a stage; the last has no place any more."""
    fake.add_version("churn", FILES)
    with pytest.raises(kind) as caught:
        resolve(client, source_of(f"mlflow:models:/churn{selector}"))
    assert caught.value.fix


def test_a_version_that_is_not_ready_is_refused(fake: FakeMlflow, client: Client) -> None:
    """MLflow registers a version before its files are there."""
    fake.add_version("churn", FILES, status="PENDING_REGISTRATION")
    with pytest.raises(NotFoundError, match="not ready"):
        resolve(client, source_of("mlflow:models:/churn/1"))


def test_files_come_through_the_proxy(fake: FakeMlflow, client: Client, tmp_path: Path) -> None:
    """Those of folders and with spaces, too."""
    fake.add_version("churn", FILES)
    copy(client, resolve(client, source_of("mlflow:models:/churn/1")), tmp_path / "m")
    assert _read(tmp_path / "m") == FILES


def test_files_of_databricks_come_by_signed_addresses(fake: FakeMlflow, tmp_path: Path) -> None:
    """The workspace's token is not sent to where the files are."""
    fake.authorization = "Bearer dapi"
    fake.add_version("churn", FILES, source="dbfs:/databricks/mlflow-registry/1")
    server = Server(url=fake.url, kind="databricks", authorization="Bearer dapi")
    client = Client(server, sleep=lambda _: None)
    copy(client, resolve(client, source_of("mlflow:models:/churn/1")), tmp_path / "m")
    assert _read(tmp_path / "m") == FILES
    sent = {auth for _, path, auth in fake.seen if path.startswith("/signed/")}
    assert sent == {""}


def test_the_questions_of_azure_go_below_its_path(fake: FakeMlflow) -> None:
    """A workspace of Azure ML is a path before MLflow's own; its files are told to be elsewhere."""
    server = Server(url=f"{fake.url}/mlflow/v1.0/subscriptions/s", kind="azureml")
    with pytest.raises(NotFoundError):
        resolve(Client(server), source_of("mlflow:models:/churn/1"))
    asked = [path for _, path, _ in fake.seen]
    assert asked == ["/mlflow/v1.0/subscriptions/s/api/2.0/mlflow/model-versions/get"]
    with pytest.raises(InputError, match="mlflow artifacts download"):
        copy(Client(server), Found("models:/churn/1", "azureml://experiments/x"), Path("unused"))


@pytest.mark.parametrize("name", ["../../evil", "a/../../evil", "C:evil", "a\\b", "x\ny"])
def test_a_path_out_of_the_folder_is_refused(
    fake: FakeMlflow, client: Client, tmp_path: Path, name: str
) -> None:
    """A server does not choose where files are written."""
    fake.add_version("churn", FILES)
    found = resolve(client, source_of("mlflow:models:/churn/1"))
    listed = {"files": [{"path": name, "is_dir": False, "file_size": 1}]}
    fake.failures = [(200, json.dumps(listed).encode())]
    with pytest.raises(InputError, match="do not trust this server"):
        copy(client, found, tmp_path / "m")
    assert not (tmp_path / "evil").exists()


def test_folders_of_this_machine_are_read_for_its_own_server_only(
    client: Client, tmp_path: Path
) -> None:
    """A server elsewhere must not choose what is read here; links are not followed."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_bytes(b"x")
    found = Found("models:/churn/1", str(model))
    copy(client, found, tmp_path / "copy")
    assert _read(tmp_path / "copy") == {"MLmodel": b"x"}
    with pytest.raises(ForbiddenError, match="--serve-artifacts"):
        copy(Client(Server(url="https://mlflow.example.com")), found, tmp_path / "no")
    (model / "link").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="a link"):
        copy(client, found, tmp_path / "no")


def test_an_object_store_is_read_by_its_library(client: Client, tmp_path: Path) -> None:
    """Whatever fsspec knows; here its store in memory."""
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/1/model/MLmodel", b"x")
    memory.pipe("/bucket/1/model/data/model.onnx", b"y")
    copy(client, Found("runs:/r/model", "memory://bucket/1", path="model"), tmp_path / "m")
    assert _read(tmp_path / "m") == {"MLmodel": b"x", "data/model.onnx": b"y"}


@pytest.mark.parametrize(
    ("flavor", "file"),
    [
        ("sklearn:\n    pickled_model: model.skops", "model.skops"),
        ("xgboost:\n    data: model.ubj", "model.ubj"),
        ("lightgbm:\n    data: model.lgb", "model.lgb"),
        ("catboost:\n    data: model.cb", "model.cb"),
        ("onnx:\n    data: model.onnx", "model.onnx"),
        ("pytorch:\n    model_data: data", "data/model.pth"),
    ],
)
def test_the_file_of_each_flavor_is_found(tmp_path: Path, flavor: str, file: str) -> None:
    """With the folder of the author's code, where there is one."""
    python = "python_function:\n    loader_module: mlflow\n    code: code"
    (tmp_path / "MLmodel").write_text(f"flavors:\n  {python}\n  {flavor}\n")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"x")
    chosen = choose(tmp_path)
    assert (chosen.file, chosen.code) == (file, "code")
    (tmp_path / file).unlink()
    with pytest.raises(InputError, match="not there"):
        choose(tmp_path)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (None, InputError, "log_model writes one"),
        ("model: 1\n", InputError, "names no flavors"),
        ("flavors: &a\n", InputError, "MLmodel:1"),
        ("flavors:\n  sklearn:\n    pickled_model: ../../x\n", InputError, "not there"),
        ("flavors:\n  spark:\n    data: x\n", ModelError, "no flavor of it is loaded here: spark"),
        (
            "flavors:\n  python_function:\n    loader_module: own\n",
            ModelError,
            "no audit can judge",
        ),
    ],
)
def test_what_cannot_be_loaded_is_told(
    tmp_path: Path, text: str | None, kind: type[AfterfitError], words: str
) -> None:
    """Code of its own (pyfunc) runs only where ``--code`` names it."""
    if text is not None:
        (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(kind) as caught:
        choose(tmp_path)
    assert words in str(caught.value)


def _read(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
