"""Layers that were made before: found by what they are made of, and never believed unseen."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from afterfit.package.oci import cache as caches
from afterfit.package.oci.cache import LayerCache, cache_folder
from afterfit.package.oci.layers import Content, Layer, layer_file
from afterfit.package.oci.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A layout to make layers in."""
    made = Layout(tmp_path / "layout")
    made.create()
    return made


def made(layout: Layout, body: bytes) -> Layer:
    """A layer of one file."""
    partial = layout.folder / "partial"
    layer = layer_file(partial, [Content("f", body)], "note")
    partial.rename(layout.path(layer.descriptor.digest))
    return layer


def other(folder: Path) -> Layout:
    """Another layout."""
    layout = Layout(folder)
    layout.create()
    return layout


def test_a_layer_is_found_again(layout: Layout, tmp_path: Path) -> None:
    """By all of what it was made of; its bytes are in the other layout then."""
    layer, cache = made(layout, b"1"), LayerCache(tmp_path / "cache")
    cache.keep(["lock", "amd64"], layer, layout)
    second = other(tmp_path / "second")
    assert cache.take(["lock", "arm64"], second) is None
    assert LayerCache(tmp_path / "cache").take(["lock", "amd64"], second) == layer
    one, two = (each.path(layer.descriptor.digest) for each in (layout, second))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("harm", ["bit", "cut", "note", "no note", "no blob"])
def test_a_layer_that_was_harmed_is_made_again(layout: Layout, tmp_path: Path, harm: str) -> None:
    """It is not used, it goes, and what is kept in its place is used."""
    layer, cache = made(layout, b"1"), LayerCache(tmp_path / "cache")
    cache.keep(["a"], layer, layout)
    (entry,) = (tmp_path / "cache").iterdir()
    blob, note = entry / "blob", entry / "layer.json"
    body = bytearray(blob.read_bytes())
    body[20] ^= 1
    if harm == "bit":
        blob.write_bytes(body)
    elif harm == "cut":
        blob.write_bytes(body[:5])
    elif harm == "note":
        note.write_bytes(b"{}")
    else:
        (note if harm == "no note" else blob).unlink()
    second = other(tmp_path / "second")
    assert cache.take(["a"], second) is None
    assert list((second.folder / "blobs" / "sha256").iterdir()) == []
    assert not entry.exists()
    cache.keep(["a"], layer, layout)
    assert cache.take(["a"], second) == layer


def test_what_was_used_longest_ago_goes_first(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache stays below its limit, whatever comes."""
    cache = LayerCache(tmp_path / "cache")
    layers = [made(layout, os.urandom(2000)) for _ in range(3)]
    size = sum(path.stat().st_size for path in _kept(cache, layers[0], layout).iterdir())
    monkeypatch.setattr(caches, "MOST_BYTES", int(2.5 * size))
    for age, layer in enumerate(layers):
        entry = _kept(cache, layer, layout)
        os.utime(entry, (age, age))
    assert cache.take([layers[1].diff_id], other(tmp_path / "a")) == layers[1]
    assert cache.take([layers[0].diff_id], other(tmp_path / "b")) is None
    monkeypatch.setattr(caches, "MOST_BYTES", 10)
    cache.keep(["too large"], layers[0], layout)
    assert cache.take(["too large"], other(tmp_path / "c")) is None


def _kept(cache: LayerCache, layer: Layer, layout: Layout) -> Path:
    before = set(cache.folder.iterdir()) if cache.folder and cache.folder.exists() else set()
    cache.keep([layer.diff_id], layer, layout)
    assert cache.folder is not None
    new = set(cache.folder.iterdir()) - before
    return new.pop() if new else max(cache.folder.iterdir(), key=lambda each: each.stat().st_mtime)


@pytest.mark.skipif(sys.platform == "win32", reason="NOT RUN: modes are of POSIX")
def test_a_folder_that_others_write_to_is_not_used(layout: Layout, tmp_path: Path) -> None:
    """Whoever can write there could choose what is in an image."""
    folder = tmp_path / "cache"
    LayerCache(folder).keep(["a"], made(layout, b"1"), layout)
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o777)
    assert LayerCache(folder).folder is None


def test_a_cache_that_cannot_be_written_stops_nobody(layout: Layout, tmp_path: Path) -> None:
    """Where a file is in the way nothing is kept, and nothing fails."""
    (tmp_path / "cache").write_bytes(b"")
    cache = LayerCache(tmp_path / "cache" / "layers")
    cache.keep(["a"], made(layout, b"1"), layout)
    assert cache.take(["a"], layout) is None


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the variable says, nowhere, or in the user's own cache."""
    monkeypatch.setenv("AFTERFIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "layers"
    monkeypatch.setenv("AFTERFIT_CACHE", "off")
    assert cache_folder() is None
    monkeypatch.delenv("AFTERFIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "afterfit" / "layers"
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    assert cache_folder() is None
