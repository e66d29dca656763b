"""The folder that becomes an image: the same bytes each time, and nothing secret in it."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
import venv
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afterfit.core.bundle import Bundle
from afterfit.core.proof import Proven, Surroundings, read_proven
from afterfit.errors import ConflictError, DependencyError, IntegrityError, UsageError
from afterfit.package.config import PackageConfig
from afterfit.package.destination import destinations
from afterfit.package.run import package_for
from afterfit.package.wheel import write_wheel
from afterfit.records.codec import Stored, decode, encode
from afterfit.records.record import Envelope, Environment
from afterfit.runtime.options import parser
from afterfit.runtime.platform import EVERYWHERE, detect
from afterfit.runtime.probe import address

Draft = Callable[..., Bundle]
PINNED = f"python:3.11-slim-bookworm@sha256:{'0' * 64}"
CONFIG = PackageConfig(name="churn", number=3, base=PINNED)
ENV = Environment(afterfit="0")


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def bundle(draft: Draft, tmp_path: Path) -> Bundle:
    """A bundle on disk."""
    return draft(tmp_path / "bundle")


def test_the_folder_is_the_same_each_time(bundle: Bundle, tmp_path: Path) -> None:
    """Twice, in other folders: byte for byte; and again over what was there before."""
    first = package_for("dockerfile", bundle, tmp_path / "one", CONFIG, env=ENV)
    (tmp_path / "one" / "stale.txt").write_text("left over")
    package_for("dockerfile", bundle, tmp_path / "one", CONFIG, env=ENV)
    package_for("dockerfile", bundle, tmp_path / "deep" / "two", CONFIG, env=ENV)
    assert files(tmp_path / "one") == files(tmp_path / "deep" / "two")
    assert set(first.written) == set(files(tmp_path / "one")) - {".afterfit-package"}
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "one").rglob("*")}
    assert modes == {0o755, 0o644}


def test_the_record_says_what_was_written(bundle: Bundle, tmp_path: Path) -> None:
    """Digest, files, findings; it is stored and read like any other."""
    record = package_for("dockerfile", bundle, tmp_path / "out", CONFIG, env=ENV)
    assert (record.subject, record.destination) == (bundle.digest, "dockerfile")
    found = {finding.code: finding.outcome for finding in record.findings}
    assert found == {"K001": "passed", "K002": "passed", "K004": "tip", "K005": "passed"}
    stored = Stored(envelope=Envelope(digest=record.digest), body=record)
    assert decode(encode(stored), where="x").body == record


def test_the_image_is_hardened(bundle: Bundle, tmp_path: Path) -> None:
    """Two stages, hashes, a number for a user, no telemetry, PID 1 is the server itself."""
    package_for("dockerfile", bundle, tmp_path / "out", CONFIG, env=ENV)
    lines = (tmp_path / "out" / "Dockerfile").read_text().splitlines()
    text = "\n".join(lines)
    last = text[text.rindex("\nFROM ") :]
    assert f"ARG BASE={PINNED}" in lines
    assert text.count("\nFROM ${BASE}") == 2
    assert text.count("--require-hashes") == 2
    assert "RUN" not in last
    assert "\nUSER 10001:10001\n" in last
    assert "ORT_DISABLE_TELEMETRY=1" in last
    assert "PYTHONDONTWRITEBYTECODE=1" in last
    assert f'afterfit.bundle="sha256:{bundle.digest}"' in last
    entry = json.loads(next(each for each in lines if each.startswith("ENTRYPOINT "))[11:])
    assert entry[:3] == ["/opt/afterfit/bin/python", "-m", "afterfit.runtime"]
    assert "--allow-unauthenticated" not in entry
    assert lines[-1] == "CMD []"


@pytest.mark.parametrize(
    ("words", "environ", "name", "port"),
    [
        ([], {}, "", 9000),
        (["serve"], {}, "sagemaker", 8080),
        (["serve"], {"SAGEMAKER_BIND_TO_PORT": "8200"}, "sagemaker", 8200),
        (["--model_name=x", "--model_dir=/mnt/models", "--http_port=8081"], {}, "kserve", 8081),
        ([], {"AIP_MODE": "PREDICTION", "AIP_HTTP_PORT": "8500"}, "vertex", 8500),
        ([], {"K_SERVICE": "churn", "PORT": "8012"}, "knative", 8012),
        ([], {"AZUREML_MODEL_DIR": ""}, "azureml", 9000),
    ],
)
def test_the_image_starts_as_each_platform_starts_it(
    words: list[str], environ: dict[str, str], name: str, port: int, bundle: Bundle, tmp_path: Path
) -> None:
    """The platform's words come after the ENTRYPOINT, its variables over the image's own."""
    config = msgspec.structs.replace(CONFIG, port=9000)
    package_for("dockerfile", bundle, tmp_path / "out", config, env=ENV)
    text = (tmp_path / "out" / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert "\nEXPOSE 9000\n" in last
    assert 'com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true"' in last
    image = dict(re.findall(r"^(?:ENV|   ) (\w+)=(\S+)", last, re.MULTILINE))
    entry = json.loads(last.partition("\nENTRYPOINT ")[2].partition("\n")[0])
    options = parser().parse_args(entry[3:] + words)
    found = detect(options, {**image, **environ})
    assert (found.name, found.host, found.port) == (name, EVERYWHERE, port)
    assert options.bundle == ["churn@3=/bundle"]
    assert options.trust == [f"sha256:{bundle.digest}"]
    check = json.loads(last.partition(" CMD ")[2].partition("\n")[0])
    assert check == [*entry[:2], "afterfit.runtime.probe"]
    command = "\0".join([*entry, *words, ""]).encode()
    assert address(command, {**image, **environ}) == ("127.0.0.1", port)


def test_what_the_variant_was_proven_on_goes_beside_the_bundle(
    bundle: Bundle, tmp_path: Path
) -> None:
    """The server finds it there; without evidence there is neither a file nor a line."""
    here = Surroundings(libraries={"onnxruntime": "1.32.0"}, machine="x86_64")
    proven = Proven(digest=bundle.digest, by="comparison", on=here)
    told = msgspec.structs.replace(CONFIG, proven=proven)
    record = package_for("dockerfile", bundle, tmp_path / "told", told, env=ENV)
    plain = package_for("dockerfile", bundle, tmp_path / "plain", CONFIG, env=ENV)
    more = files(tmp_path / "told")
    assert set(more) - set(files(tmp_path / "plain")) == {"bundle.proven.json"}
    assert read_proven(tmp_path / "told" / "bundle", bundle.digest) == proven
    text = more["Dockerfile"].decode()
    assert "\nCOPY bundle /bundle\nCOPY sbom.cdx.json /\nCOPY bundle.proven.json /\n" in text
    assert "!bundle.proven.json\n" in more[".dockerignore"].decode()
    assert Bundle(tmp_path / "told" / "bundle").verify(bundle.digest) == bundle.digest
    assert record.resolved == plain.resolved
    assert "proven" not in (tmp_path / "plain" / "Dockerfile").read_text()


def test_an_open_server_and_a_moving_base_are_findings(bundle: Bundle, tmp_path: Path) -> None:
    """Both are told as issues, the tag with how to pin it."""
    config = PackageConfig(name="churn", allow_unauthenticated=True)
    record = package_for("dockerfile", bundle, tmp_path / "out", config, env=ENV)
    issues = {finding.code: finding for finding in record.issues}
    assert set(issues) == {"K001", "K005"}
    assert "python:3.11-slim-bookworm@sha256:" in issues["K001"].fix
    assert 'CMD ["--allow-unauthenticated"]' in (tmp_path / "out" / "Dockerfile").read_text()


@pytest.mark.parametrize(
    "changed",
    [
        {"base": "python:3.11\nRUN true"},
        {"base": "python 3.11"},
        {"base": "--platform=x"},
        {"name": 'x"; RUN true'},
        {"python": "3.11 --pre"},
        {"port": 80},
    ],
)
def test_nothing_can_end_a_line_of_the_dockerfile(
    changed: dict[str, Any], bundle: Bundle, tmp_path: Path
) -> None:
    """Options that would add an instruction, or need root, are refused; nothing is left."""
    config = msgspec.structs.replace(CONFIG, **changed)
    with pytest.raises(UsageError):
        package_for("dockerfile", bundle, tmp_path / "out", config, env=ENV)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_of_somebody_else_is_left_alone(bundle: Bundle, tmp_path: Path) -> None:
    """It is not replaced by a packaging folder."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConflictError):
        package_for("dockerfile", bundle, tmp_path / "mine", CONFIG, env=ENV)
    assert files(tmp_path / "mine") == {"notes.txt": b"mine"}


def test_a_damaged_bundle_is_not_packaged(bundle: Bundle, tmp_path: Path) -> None:
    """One other byte in the model's file."""
    (bundle.folder / "model" / "model.onnx").write_bytes(b"other")
    with pytest.raises(IntegrityError, match=r"model\.onnx"):
        package_for("dockerfile", bundle, tmp_path / "out", CONFIG, env=ENV)


def test_an_unknown_destination_lists_what_there_is(bundle: Bundle, tmp_path: Path) -> None:
    """And dockerfile is found by its entry point like any other."""
    assert "dockerfile" in destinations()
    with pytest.raises(UsageError, match="dockerfile"):
        package_for("moon", bundle, tmp_path / "out", CONFIG, env=ENV)


def test_the_wheel_is_reproducible_and_complete(tmp_path: Path) -> None:
    """The same bytes twice; every file has its hash in RECORD; runtime and lock are in it."""
    name, digest = write_wheel(tmp_path)
    (tmp_path / "again").mkdir()
    assert write_wheel(tmp_path / "again") == (name, digest)
    assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    with zipfile.ZipFile(tmp_path / name) as archive:
        record = f"{name.rpartition('-py3')[0]}.dist-info/RECORD"
        rows = list(csv.reader(archive.read(record).decode().splitlines()))
        assert sorted(row[0] for row in rows) == sorted(archive.namelist())
        for path, stated, _ in rows:
            if path != record:
                found = urlsafe_b64encode(hashlib.sha256(archive.read(path)).digest())
                assert stated == f"sha256={found.rstrip(b'=').decode()}"
        assert "afterfit/runtime/__main__.py" in archive.namelist()
        assert "afterfit/package/data/serving.lock" in archive.namelist()
        assert not [path for path in archive.namelist() if "__pycache__" in path]


def test_pip_installs_the_wheel_and_makes_the_same_one_there(tmp_path: Path) -> None:
    """From an installation by RECORD comes the very wheel that the source tree gave."""
    name, digest = write_wheel(tmp_path)
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", str(tmp_path / name)], check=True)
    libraries = str(Path(msgspec.__file__).parent.parent)
    script = (
        f"import sys; sys.path.append({libraries!r})\n"
        "from pathlib import Path; import afterfit\n"
        "from afterfit.package.wheel import write_wheel\n"
        f"assert afterfit.__file__.startswith({str(tmp_path)!r})\n"
        f"print(write_wheel(Path({str(tmp_path / 'there')!r}))[1])"
    )
    done = subprocess.run(
        [str(python), "-I", "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == digest


def test_a_folder_that_is_not_installed_cannot_make_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error holds the command that mends it."""

    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(DependencyError, match="pip install --editable"):
        write_wheel(tmp_path)
