"""Images that are made here: the same digest twice, for each machine, and whole or not at all."""

from __future__ import annotations

import errno
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.package.oci.fakes import base_layout

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.errors import (
    AfterfitError,
    InputError,
    IntegrityError,
    NotFoundError,
    ResourceError,
    UnavailableError,
    UsageError,
)
from afterfit.package import dockerfile, pip
from afterfit.package import lock as locks
from afterfit.package.config import IndexConfig, PackageConfig
from afterfit.package.image import image_of
from afterfit.package.oci import destination, layers
from afterfit.package.oci import image as images
from afterfit.package.oci.image import build
from afterfit.package.oci.layout import Index, Layout, Manifest, decode
from afterfit.package.run import package_for


@pytest.fixture(autouse=True)
def locked(monkeypatch: pytest.MonkeyPatch, lock: str) -> None:
    """The lock is known, so that pip is asked for wheels only."""
    seen = locks.hashed_lock

    def known(_: str, config: PackageConfig) -> tuple[str, Finding]:
        return lock, seen("", msgspec.structs.replace(config, index=IndexConfig()))[1]

    for each in (destination, dockerfile):
        monkeypatch.setattr(each, "hashed_lock", known)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    """Wheels of the folder are copied; pip, which takes a second, is asked for any other place."""
    asked = pip.download

    def download(lock: str, config: PackageConfig, folder: Path) -> list[str]:
        if config.index.wheelhouse != str(wheels):
            return asked(lock, config, folder)
        folder.mkdir(parents=True)
        machine = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}[config.platforms[0]]
        fitting = [each for each in wheels.iterdir() if each.stem.endswith(("any", machine))]
        return [Path(shutil.copy(each, folder)).name for each in fitting]

    monkeypatch.setattr(pip, "download", download)


def made(bundle: Bundle, folder: Path, config: PackageConfig, lock: str) -> Layout:
    """An image in a new folder."""
    folder.mkdir(parents=True)
    layout = Layout(folder)
    build(bundle, layout, lock, config)
    return layout


def files(layout: Layout, manifest: Manifest) -> dict[str, tarfile.TarInfo]:
    """What the layers of an image have, by path."""
    found: dict[str, tarfile.TarInfo] = {}
    for each in manifest.layers:
        with tarfile.open(layout.path(each.digest)) as tar:
            found |= {entry.name: entry for entry in tar.getmembers() if entry.isfile()}
    return found


def read(layout: Layout) -> tuple[Manifest, dict[str, Any]]:
    """The manifest and configuration of the only image."""
    manifest = decode(layout.read(layout.top()), Manifest, "")
    return manifest, json.loads(layout.read(manifest.config))


def test_the_digest_depends_on_what_is_in_it_alone(
    bundle: Bundle, config: PackageConfig, lock: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In another folder, with a cache or without: one digest. Another card changes nothing."""
    first = made(bundle, tmp_path / "one", config, lock).top().digest
    monkeypatch.setenv("AFTERFIT_CACHE", "off")
    carded = msgspec.structs.replace(config, card="# other evidence")
    copied = Bundle(Path(shutil.copytree(bundle.folder, tmp_path / "copy")))
    assert made(copied, tmp_path / "deep" / "two", carded, lock).top().digest == first
    other = msgspec.structs.replace(config, port=9000)
    assert made(bundle, tmp_path / "three", other, lock).top().digest != first


def test_the_second_time_no_wheel_is_fetched(
    bundle: Bundle, config: PackageConfig, lock: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Wheels that were laid out before are taken from the cache, also without an index."""
    first = made(bundle, tmp_path / "one", config, lock).top()
    monkeypatch.setattr(pip, "download", lambda *_: pytest.fail("asked for wheels"))
    assert made(bundle, tmp_path / "two", config, lock).top() == first


def test_what_the_image_has(
    bundle: Bundle, config: PackageConfig, lock: str, tmp_path: Path
) -> None:
    """Wheels with bytecode, the bundle, the bill; a user without rights, and no time."""
    layout = made(bundle, tmp_path / "one", config, lock)
    manifest, told = read(layout)
    found = files(layout, manifest)
    assert "opt/afterfit/lib/acme/__pycache__/__init__.cpython-311.pyc" in found
    assert {f"bundle/{name}" for name in bundle.manifest.files} <= set(found)
    assert "sbom.cdx.json" in found
    assert not [name for name in found if name.endswith(".md")]
    assert {entry.mtime for entry in found.values()} == {0}
    assert len(told["rootfs"]["diff_ids"]) == len(manifest.layers) == 4
    assert told["created"].startswith("1970")
    inside = told["config"]
    assert inside["User"] == "10001:10001"
    assert f"sha256:{bundle.digest}" in inside["Entrypoint"]
    assert inside["Labels"]["afterfit.bundle"] == f"sha256:{bundle.digest}"
    assert "PATH=/usr/bin:/bin" in inside["Env"]
    assert "ORT_DISABLE_TELEMETRY=1" in inside["Env"]
    assert not [word for word in inside["Env"] if word.startswith("AFTERFIT_ACCELERATOR")]


def test_each_machine_gets_its_wheels(
    bundle: Bundle, config: PackageConfig, lock: str, tmp_path: Path
) -> None:
    """An index of two images, each with the shared library of its own machine."""
    base = base_layout(tmp_path / "both", ("amd64", "arm64"))
    asked = {"base": base, "platforms": ("linux/amd64", "linux/arm64")}
    layout = made(bundle, tmp_path / "one", msgspec.structs.replace(config, **asked), lock)
    index = decode(layout.read(layout.top()), Index, "")
    cores = {}
    for each in index.manifests:
        assert each.platform is not None
        manifest = decode(layout.read(each), Manifest, "")
        with tarfile.open(layout.path(manifest.layers[1].digest)) as tar:
            stream = tar.extractfile("opt/afterfit/lib/fast/core.so")
            assert stream is not None
            cores[each.platform.name] = stream.read()
    assert cores == {"linux/amd64": b"x86_64", "linux/arm64": b"aarch64"}


def test_a_gpu_is_asked_for_by_the_image(
    bundle: Bundle, config: PackageConfig, lock: str, tmp_path: Path
) -> None:
    """The server is told by its environment, and so is the runtime of the container."""
    asked = msgspec.structs.replace(config, accelerator="cuda")
    _, told = read(made(bundle, tmp_path / "one", asked, lock))
    assert {"AFTERFIT_ACCELERATOR=cuda", "NVIDIA_VISIBLE_DEVICES=all"} <= set(told["config"]["Env"])


def test_what_lies_beside_the_image(bundle: Bundle, config: PackageConfig, tmp_path: Path) -> None:
    """The bill and the card are files of the folder; progress is told on the way."""
    told: list[str] = []

    class Listening:
        def step(self, name: str, total: int | None = None) -> None:
            del total
            told.append(name)

        def advance(self, units: int = 1) -> None: ...
        def now(self, text: str) -> None: ...
        def say(self, text: str) -> None: ...

    carded = msgspec.structs.replace(config, card="# The card\n")
    record = package_for("oci", bundle, tmp_path / "out", carded, progress=Listening())
    assert record.image == Layout(tmp_path / "out" / "image").top().digest
    assert {"card.md", "sbom.cdx.json", "README.md", "image/index.json"} <= set(record.written)
    assert (tmp_path / "out" / "card.md").read_text() == "# The card\n"
    assert "opens no connection of its own" in (tmp_path / "out" / "README.md").read_text()
    assert "card" not in record.resolved
    assert any("base" in each for each in told)


@pytest.mark.parametrize("image", ["", "r.example.com/team/churn"])
def test_destinations_name_the_image_by_its_digest(
    bundle: Bundle, config: PackageConfig, tmp_path: Path, image: str
) -> None:
    """Where it is said which registry it goes to; the commands bring it there."""
    native = msgspec.structs.replace(config, builder="native", image=image)
    found = image_of(bundle, tmp_path, native)
    assert found.digest == Layout(tmp_path / "image").top().digest
    name = image or "churn"
    assert found.reference == (f"{image}@{found.digest}" if image else "churn:3")
    assert found.commands == (f"afterfit package push image {name}:3",)


def test_destinations_with_a_dockerfile(
    bundle: Bundle, tmp_path: Path, config: PackageConfig
) -> None:
    """A builder makes the digest later, so the tag is the reference."""
    asked = msgspec.structs.replace(config, base="python:3.11", image="r.example.com/churn")
    found = image_of(bundle, tmp_path, asked)
    assert (tmp_path / "image" / "Dockerfile").is_file()
    assert (found.reference, found.digest) == ("r.example.com/churn:3", "")
    assert found.commands[-1] == "docker push r.example.com/churn:3"


def edited(bundle: Bundle) -> None:
    """Turn one bit of the model."""
    path = bundle.folder / "model" / "model.onnx"
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)


def faults() -> Iterator[Any]:
    """What can be wrong, and the error that tells it."""
    gone = {"index": IndexConfig(wheelhouse="/proc/none")}
    yield "oci", gone, UsageError, "wheelhouse is no folder"
    yield "oci", {"platforms": ("linux/arm64",)}, NotFoundError, "not for linux/arm64"
    yield "oci", {"platforms": ("linux/riscv64",)}, NotFoundError, "not for linux/riscv64"
    yield "oci", {"python": "3.12"}, InputError, "has Python 3.11"
    yield "oci", {"base": "127.0.0.1:1/team/app:1"}, UnavailableError, "does not answer"
    yield "oci", {"base": "oci:/proc/none"}, NotFoundError, "no image layout"
    yield "moon", {}, UsageError, "no destination is called 'moon'"


@pytest.mark.parametrize(("place", "changed", "kind", "told"), list(faults()))
def test_what_is_wrong_leaves_nothing(
    bundle: Bundle, config: PackageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    place: str, changed: dict[str, Any], kind: type[AfterfitError], told: str,
) -> None:  # fmt: skip
    """Each has its message and its fix, and the folder is not there afterwards."""
    monkeypatch.setenv("AFTERFIT_CACHE", "off")
    with pytest.raises(kind, match=told) as refused:
        package_for(
            place, bundle, tmp_path / "out" / "x", msgspec.structs.replace(config, **changed)
        )
    assert refused.value.fix
    assert not (tmp_path / "out").exists()


def test_a_bundle_with_one_bit_turned(
    bundle: Bundle, config: PackageConfig, tmp_path: Path
) -> None:
    """It is not packaged."""
    edited(bundle)
    with pytest.raises(IntegrityError):
        package_for("oci", bundle, tmp_path / "out", config)
    assert not (tmp_path / "out").exists()


def test_a_full_disk(
    bundle: Bundle, config: PackageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says that the disk is full; what was there before is there still."""
    package_for("oci", bundle, tmp_path / "out", config)
    before = Layout(tmp_path / "out" / "image").top()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(layers, "_add", full)
    with pytest.raises(ResourceError, match="disk is full"):
        package_for("oci", bundle, tmp_path / "out", config)
    assert Layout(tmp_path / "out" / "image").top() == before
    assert [path.name for path in tmp_path.glob(".tmp-*")] == []


def test_no_room_for_what_is_unpacked(
    bundle: Bundle, config: PackageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place is named that ``TMPDIR`` names, and no folder in it that is gone afterwards."""
    monkeypatch.setenv("AFTERFIT_CACHE", "off")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(images, "install", full)
    with pytest.raises(ResourceError, match="disk is full: cannot unpack wheels") as refused:
        package_for("oci", bundle, tmp_path / "out", config)
    assert refused.value.where == str(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "bundle"]


def test_modules_are_compiled_for_this_python_only(
    bundle: Bundle, config: PackageConfig, lock: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """For another one they stay text, which is told as an issue."""
    monkeypatch.setattr(images, "sys", type("S", (), {"version_info": sys_like(), "version": "x"}))
    layout = made(bundle, tmp_path / "one", config, lock)
    assert not [name for name in files(layout, read(layout)[0]) if name.endswith(".pyc")]


def sys_like() -> Any:
    """The version of another Python."""
    return type("V", (), {"major": 3, "minor": 99})
