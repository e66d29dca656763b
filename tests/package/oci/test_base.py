"""The base under an image: from a folder or a registry, for the right machine, with Python."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from tests.package.oci.fakes import DEBIAN, Registry, as_json, base_layout, digest, layer_of

from afterfit.errors import AfterfitError, InputError, IntegrityError, NotFoundError
from afterfit.package.oci.base import take_base
from afterfit.package.oci.cache import LayerCache
from afterfit.package.oci.interpreter import check_python
from afterfit.package.oci.layout import (
    CONFIG,
    DOCKER_MANIFEST,
    INDEX,
    LAYER,
    MANIFEST,
    Layout,
    Platform,
)

NONE = LayerCache(None)
AMD, ARM = Platform("amd64"), Platform("arm64")
DOCKER = (DOCKER_MANIFEST, "application/vnd.docker.image.rootfs.diff.tar.gzip")


@pytest.fixture
def target(tmp_path: Path) -> Layout:
    """Where the base's layers go."""
    made = Layout(tmp_path / "image")
    made.create()
    return made


def published(registry: Registry, folder: Path) -> str:
    """Put the image of a layout into the registry; return its name there."""
    layout = Layout(folder)
    for path in (folder / "blobs" / "sha256").iterdir():
        registry.blobs[f"sha256:{path.name}"] = path.read_bytes()
    top = layout.top()
    for name in ("1", *registry.blobs):
        body = layout.read(top) if name == "1" else registry.blobs[name]
        if body.startswith(b"{"):
            media = json.loads(body).get("mediaType", CONFIG)
            registry.manifests[name] = (media, body)
    return f"{registry.host}/team/app:1"


@pytest.mark.parametrize("pulled", [False, True])
def test_each_machine_gets_its_own(
    registry: Registry, tmp_path: Path, target: Layout, *, pulled: bool
) -> None:
    """Of an index of two, from a folder and from a registry."""
    base = base_layout(tmp_path / "base", ("amd64", "arm64"))
    if pulled:
        base = published(registry, tmp_path / "base")
    found = {each.name: take_base(base, each, target) for each in (AMD, ARM)}
    assert found["linux/amd64"].digest != found["linux/arm64"].digest
    assert {base.config["architecture"] for base in found.values()} == {"amd64", "arm64"}
    for each in found.values():
        assert target.path(each.layers[0].digest).is_file()
        assert each.pinned is not pulled


def test_a_base_for_other_machines_is_refused(tmp_path: Path, target: Layout) -> None:
    """Of an index and of one image: the message says what it is there for."""
    both = base_layout(tmp_path / "both", ("amd64", "s390x"))
    with pytest.raises(NotFoundError, match="linux/arm64") as refused:
        take_base(both, ARM, target)
    assert "linux/amd64, linux/s390x" in refused.value.why
    with pytest.raises(NotFoundError, match="not for linux/arm64") as refused:
        take_base(base_layout(tmp_path / "one"), ARM, target)
    assert "linux/amd64" in refused.value.why


def test_media_types_of_docker(tmp_path: Path, target: Layout) -> None:
    """The layers of an image that Docker wrote are the same bytes under OCI's name."""
    found = take_base(base_layout(tmp_path / "base", medias=DOCKER), AMD, target)
    assert {layer.media_type for layer in found.layers} == {LAYER}


def test_an_index_of_one_needs_no_second_look(tmp_path: Path, target: Layout) -> None:
    """An index with one image is that image."""
    found = take_base(base_layout(tmp_path / "base", index=True), AMD, target)
    assert found.config["architecture"] == "amd64"


@pytest.mark.parametrize(
    "changed",
    [
        {"rootfs": {"type": "layers", "diff_ids": []}},
        {"rootfs": None},
        {"rootfs": {"diff_ids": 1}},
        {"config": []},
        {"history": {"of": "it"}},
    ],
)
def test_a_base_that_is_not_whole(tmp_path: Path, target: Layout, changed: dict[str, Any]) -> None:
    """A configuration that does not fit the manifest is refused, whatever is wrong with it."""
    with pytest.raises(IntegrityError, match="not whole"):
        take_base(base_layout(tmp_path / "base", **changed), AMD, target)


def test_what_a_base_promises_and_does_not_have(
    registry: Registry, tmp_path: Path, target: Layout
) -> None:
    """A layer that is missing or changed, and a configuration that is another or endless."""
    base = base_layout(tmp_path / "base")
    name = published(registry, tmp_path / "base")
    layer = take_base(base, AMD, target).layers[0]
    Layout(tmp_path / "base").path(layer.digest).unlink()
    with pytest.raises(NotFoundError, match="layer of the base is missing"):
        take_base(base, AMD, target)
    registry.blobs[layer.digest] = b"x" * layer.size
    with pytest.raises(IntegrityError, match="other bytes"):
        take_base(name, AMD, target)
    config = json.loads(registry.manifests["1"][1])["config"]["digest"]
    registry.blobs[config] += b" "
    with pytest.raises(IntegrityError, match="other bytes"):
        take_base(name, AMD, target)


def test_a_folder_with_a_colon(tmp_path: Path, target: Layout) -> None:
    """What stands behind the last colon is a tag, unless it goes on as a path."""
    folder = tmp_path / "a:b"
    base_layout(folder)
    assert take_base(f"oci:{folder}:1", AMD, target).pinned
    with pytest.raises(NotFoundError, match="no image layout"):
        take_base(f"oci:{tmp_path}/c:d/e", AMD, target)


OFFICIAL = {"config": {"Env": ["PYTHON_VERSION=3.11.9"]}}


@pytest.mark.parametrize(
    ("files", "changed", "wanted", "told"),
    [
        (DEBIAN, {}, "3.12", "has Python 3.11 and not 3.12"),
        ({"usr/bin/perl": b""}, {}, "3.11", "no Python"),
        ({"opt/bin/python3": "python3.11"}, {}, "3.11", "no Python"),
        ({**DEBIAN, "lib/ld-musl-x86_64.so.1": b""}, {}, "3.11", "musl"),
        ({}, OFFICIAL, "3.12", "has Python 3.11 and not 3.12"),
    ],
)
def test_a_base_without_the_python_that_is_meant(
    tmp_path: Path,
    target: Layout,
    files: dict[str, bytes | str],
    changed: dict[str, Any],
    wanted: str,
    told: str,
) -> None:
    """Another version, none, one that is not on the path, another C library: told early."""
    base = take_base(base_layout(tmp_path / "base", files=files, **changed), AMD, target)
    with pytest.raises(InputError, match=told) as refused:
        check_python(base, target, wanted, NONE)
    assert wanted in refused.value.fix or "3.11" in refused.value.fix


@pytest.mark.parametrize(
    ("files", "changed"),
    [
        (DEBIAN, {}),
        ({"./usr/bin/python3": "/usr/bin/python3.11"}, {}),
        ({"usr/bin/python3": b"elf", "usr/bin/python3.11": b"elf"}, {}),
        ({}, OFFICIAL),
    ],
)
def test_a_base_with_it(
    tmp_path: Path, target: Layout, files: dict[str, bytes | str], changed: dict[str, Any]
) -> None:
    """A link, an absolute link, a file beside its versioned name, an official image."""
    base = take_base(base_layout(tmp_path / "base", files=files, **changed), AMD, target)
    check_python(base, target, "3.11", NONE)
    with pytest.raises(AfterfitError):
        check_python(base, target, "3.10", NONE)


def test_a_layer_is_looked_at_once(tmp_path: Path, target: Layout) -> None:
    """What was seen in it is known by its digest, and forgotten where the note was harmed."""
    base = take_base(base_layout(tmp_path / "base"), AMD, target)
    cache = LayerCache(tmp_path / "cache")
    check_python(base, target, "3.11", cache)
    target.path(base.layers[0].digest).write_bytes(b"")
    check_python(base, target, "3.11", cache)
    with pytest.raises(InputError, match=r"Python 3\.11 and not"):
        check_python(base, target, "3.12", cache)
    (note,) = (tmp_path / "cache").glob("*/fact.json")
    note.write_bytes(b"[]")
    with pytest.raises(InputError, match="no Python"):
        check_python(dataclasses.replace(base, layers=()), target, "3.11", cache)
    check_python(base, target, "3.12", cache)


def test_a_layer_that_cannot_be_read_here_is_believed(tmp_path: Path, target: Layout) -> None:
    """Layers may be compressed by what Python does not know: nothing is claimed of them."""
    folder = tmp_path / "base"
    layout = Layout(folder)
    layout.create()
    layer = layout.put(b"\x28\xb5\x2f\xfd not for us", f"{LAYER[:-4]}zstd")
    root = {"type": "layers", "diff_ids": [digest(layer_of({}))]}
    config = {"architecture": "amd64", "os": "linux", "rootfs": root}
    body = {
        "schemaVersion": 2,
        "config": as_json(layout.put(json.dumps(config).encode(), CONFIG)),
        "layers": [as_json(layer)],
    }
    layout.name(layout.put(json.dumps(body).encode(), MANIFEST), "1")
    base = take_base(f"oci:{folder}", AMD, target)
    check_python(base, target, "3.11", NONE)
    assert layout.top().media_type != INDEX
