"""A push: nothing twice, the tag last, and evidence that refers to the image."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.package.oci.fakes import SECRET, USER, Registry, base_layout, digest
from tests.runtime.bundles import people_bundle

from afterfit.cli.app import run
from afterfit.config import Config
from afterfit.errors import (
    ForbiddenError,
    InputError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
)
from afterfit.package.oci.base import take_base
from afterfit.package.oci.client import Client, Credentials, image_name
from afterfit.package.oci.layout import INDEX, Index, Layout, Platform, decode
from afterfit.package.oci.push import push
from afterfit.records.package import PackageRecord
from afterfit.store.environment import current_environment
from afterfit.workspace import Workspace


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    """A folder as ``package`` writes it, with a small image of two machines."""
    folder = tmp_path / "packaged"
    base_layout(folder / "image", ("amd64", "arm64"))
    (folder / "sbom.cdx.json").write_text('{"bomFormat": "CycloneDX"}')
    (folder / "card.md").write_text("# card\n")
    (folder / ".afterfit-package").write_text("x\n")
    return folder


def listed(registry: Registry, subject: str) -> list[dict[str, object]]:
    """What refers to an image, by its tag."""
    _, body = registry.manifests[subject.replace(":", "-")]
    found: list[dict[str, object]] = json.loads(body)["manifests"]
    return found


def test_a_push_sends_all_and_a_second_nothing(packaged: Path, registry: Registry) -> None:
    """Each blob once; then nothing is sent at all."""
    name = f"{registry.host}/team/app:3"
    first = push(packaged, name)
    assert first.digest == Layout(packaged / "image").top().digest
    assert digest(registry.manifests["3"][1]) == first.digest
    assert first.evidence == ("sbom.cdx.json", "card.md")
    assert first.sent_bytes > 0
    stored = {path.name for path in (packaged / "image" / "blobs" / "sha256").iterdir()}
    kept = {name.partition(":")[2] for name in (*registry.blobs, *registry.manifests)}
    assert stored <= kept
    registry.asked.clear()
    second = push(packaged, name)
    assert registry.written() == []
    assert (second.sent_bytes, second.digest) == (0, first.digest)
    assert second.known_bytes > 0


def test_a_version_shows_its_image_and_where_it_went(
    packaged: Path,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the bundle to the package, its image and the registry, by digests."""
    monkeypatch.chdir(tmp_path)
    name = f"{registry.host}/team/app:3"
    assert run(["package", "push", str(packaged), name]) == 0  # without a workspace
    assert "noted for" not in capsys.readouterr().out
    space = Workspace(tmp_path / ".afterfit", config=Config(gates=()))
    people_bundle(tmp_path / "draft")
    version = space.registry.register("churn", tmp_path / "draft", who="ana")
    (packaged / ".afterfit-package").write_text(f"{version.digest}\n")
    image = Layout(packaged / "image").top().digest
    made = PackageRecord(subject=version.digest, bundle=version.digest, destination="oci",
                         image=image, env=current_environment())  # fmt: skip
    record = space.keep(made, started=time.monotonic())
    assert run(["package", "push", str(packaged), name]) == 0
    assert "noted for churn@1" in capsys.readouterr().out
    assert run(["version", "show", "churn@1", "--json"]) == 0
    chain = json.loads(capsys.readouterr().out)["result"]["lineage"]
    kinds = {node["kind"]: place for place, node in enumerate(chain["nodes"])}
    nodes = {kind: chain["nodes"][place] for kind, place in kinds.items()}
    assert (nodes["package"]["digest"], nodes["image"]["digest"]) == (record.digest, image)
    assert (nodes["image"]["title"], nodes["image"]["facts"]["pushed to"]) == (name, name)
    edges = [(edge["source"], edge["target"]) for edge in chain["edges"]]
    assert (kinds["bundle"], kinds["package"]) in edges
    assert [source for source, target in edges if target == kinds["image"]] == [kinds["package"]]
    line = space.registry.log("churn")[-1]
    assert (line.action, line.to) == ("push", "1")
    assert line.details["image"] == f"{registry.host}/team/app@{image}"


def test_the_pushed_image_is_the_image(packaged: Path, registry: Registry, tmp_path: Path) -> None:
    """It can be pulled as a base, by tag and by digest, for both machines."""
    pushed = push(packaged, f"{registry.host}/team/app:3")
    for number, name in enumerate((f"{registry.host}/team/app:3", pushed.name)):
        target = Layout(tmp_path / str(number))
        target.create()
        for each in ("amd64", "arm64"):
            base = take_base(name, Platform(each), target)
            assert base.config["architecture"] == each


@pytest.mark.parametrize("failing", ["PUT .*/blobs", "POST", "PUT .*/manifests/sha256:"])
def test_a_push_that_dies_leaves_the_tag(packaged: Path, registry: Registry, failing: str) -> None:
    """Whoever asks by tag gets the image of before; the next push goes on."""
    registry.manifests["3"] = (INDEX, b"before")
    registry.status[failing] = 500
    with pytest.raises(UnavailableError):
        push(packaged, f"{registry.host}/team/app:3")
    assert registry.manifests["3"] == (INDEX, b"before")
    registry.status.clear()
    pushed = push(packaged, f"{registry.host}/team/app:3")
    assert digest(registry.manifests["3"][1]) == pushed.digest


def test_evidence_refers_to_the_image(packaged: Path, registry: Registry) -> None:
    """Bill and card are artifacts with the image as their subject, listed under its tag."""
    pushed = push(packaged, f"{registry.host}/team/app:3")
    kinds = {}
    for each in listed(registry, pushed.digest):
        _, body = registry.manifests[str(each["digest"])]
        told = json.loads(body)
        assert told["subject"]["digest"] == pushed.digest
        assert told["artifactType"] == each["artifactType"]
        kinds[told["artifactType"]] = registry.blobs[told["layers"][0]["digest"]]
    assert kinds == {
        "application/vnd.cyclonedx+json": (packaged / "sbom.cdx.json").read_bytes(),
        "application/vnd.afterfit.model-card.v1": b"# card\n",
    }


def test_new_evidence_changes_no_digest(packaged: Path, registry: Registry) -> None:
    """Another card is listed beside the first; the image stays what it is."""
    first = push(packaged, f"{registry.host}/team/app:3")
    (packaged / "card.md").write_text("# another\n")
    second = push(packaged, f"{registry.host}/team/app:3")
    assert second.digest == first.digest
    assert len(listed(registry, first.digest)) == 3


def test_a_registry_that_lists_referrers_needs_no_tag(packaged: Path, registry: Registry) -> None:
    """By the specification's own interface."""
    registry.keeps_referrers = True
    pushed = push(packaged, f"{registry.host}/team/app:3")
    assert pushed.digest.replace(":", "-") not in registry.manifests
    found = Client(image_name(pushed.name)).referrers(pushed.digest)
    assert found is not None
    assert len(decode(found, Index, "").manifests) == 2


def test_a_tag_that_lists_something_else(packaged: Path, registry: Registry) -> None:
    """It is not overwritten; the message names it."""
    top = Layout(packaged / "image").top().digest
    registry.manifests[top.replace(":", "-")] = ("text/plain", b"mine")
    with pytest.raises(InputError, match="something else") as refused:
        push(packaged, f"{registry.host}/team/app:3")
    assert top.replace(":", "-") in refused.value.where
    assert registry.manifests[top.replace(":", "-")][1] == b"mine"


def test_files_beside_a_foreign_layout_stay_here(packaged: Path, registry: Registry) -> None:
    """Only what ``package`` wrote is evidence: another folder's card.md is nobody's business."""
    (packaged / ".afterfit-package").unlink()
    assert push(packaged, f"{registry.host}/team/app:3").evidence == ()


def test_a_push_without_a_tag(packaged: Path, registry: Registry) -> None:
    """By digest alone: no tag is made or moved."""
    pushed = push(packaged, f"{registry.host}/team/app")
    tags = [name for name in registry.manifests if not name.startswith("sha256")]
    assert tags == []
    assert pushed.digest in registry.manifests


def test_a_layer_that_is_cut_is_not_sent(packaged: Path, registry: Registry) -> None:
    """Also one whose bytes are others: the registry refuses what does not hash to its name."""
    layout = Layout(packaged / "image")
    index = decode(layout.read(layout.top()), Index, "")
    manifest = json.loads(layout.read(index.manifests[0]))
    path = layout.path(manifest["layers"][0]["digest"])
    body = path.read_bytes()
    path.write_bytes(body[:-1])
    with pytest.raises(IntegrityError, match="missing or cut"):
        push(packaged, f"{registry.host}/team/app:3")
    path.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(UnavailableError, match="400"):
        push(packaged, f"{registry.host}/team/app:3")
    assert "3" not in registry.manifests


@pytest.mark.parametrize("login", ["basic", "bearer"])
def test_who_may_push(packaged: Path, registry: Registry, login: str) -> None:
    """With the credentials of the registry, and not without."""
    registry.login = login
    name = f"{registry.host}/team/app:3"
    with pytest.raises(ForbiddenError):
        push(packaged, name)
    pushed = push(packaged, name, credentials=Credentials({registry.host: (USER, SECRET)}))
    assert digest(registry.manifests["3"][1]) == pushed.digest


def test_the_command(
    packaged: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the name with the digest, and what was sent; a folder that is none exits 2."""
    name = f"{registry.host}/team/app:3"
    assert run(["package", "push", str(packaged), name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["result"]
    assert told["name"] == f"{registry.host}/team/app@{told['digest']}"
    assert run(["package", "push", str(packaged / "image"), name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(told["name"])
    assert "sbom.cdx.json and card.md refer to it" in out
    assert run(["package", "push", str(packaged / "gone"), name]) == 2
    assert "no such folder" in capsys.readouterr().err
    with pytest.raises(NotFoundError):
        push(packaged.parent, name)


REAL = shutil.which("docker-registry")


@pytest.fixture
def real(tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": host},
    }
    path = tmp_path / "registry.json"
    path.write_text(json.dumps(settings))
    command = [str(REAL), "serve", str(path)]
    environ = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            _wait_for(host, server)
            yield host
        finally:
            server.terminate()


def _wait_for(host: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    address, _, port = host.partition(":")
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection((address, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("docker-registry did not start")


@pytest.mark.container
@pytest.mark.skipif(REAL is None, reason="NOT RUN: docker-registry is not installed")
def test_debians_registry(real: str, packaged: Path, tmp_path: Path) -> None:
    """A registry of others takes image and evidence, twice the same, and gives them back."""
    name = f"{real}/team/app:3"
    first, second = push(packaged, name), push(packaged, name)
    assert (second.digest, second.sent_bytes) == (first.digest, 0)
    target = Layout(tmp_path / "pulled")
    target.create()
    assert take_base(name, Platform("arm64"), target).config["architecture"] == "arm64"
    client = Client(image_name(name))
    body, _ = client.manifest(first.digest.replace(":", "-"))
    evidence = decode(body, Index, "").manifests
    assert {each.artifact_type for each in evidence} == {
        "application/vnd.cyclonedx+json",
        "application/vnd.afterfit.model-card.v1",
    }
    told = json.loads(client.manifest(evidence[1].digest)[0])
    with client.blob(told["layers"][0]["digest"]) as stream:
        assert stream.read(100) == b"# card\n"
