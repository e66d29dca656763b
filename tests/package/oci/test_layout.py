"""The image layout: blobs by digest, and nothing believed that does not hash to its name."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tests.package.oci.fakes import base_layout, digest

from afterfit.errors import InputError, IntegrityError, NotFoundError
from afterfit.package.oci.layout import (
    CONFIG,
    MANIFEST,
    MOST_JSON,
    Descriptor,
    Layout,
    Manifest,
    Platform,
    decode,
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty layout."""
    made = Layout(tmp_path / "layout")
    made.create()
    return made


def test_a_blob_that_was_changed_is_seen(layout: Layout) -> None:
    """One bit is enough; so is a blob that grew beyond what any manifest may have."""
    kept = layout.put(b'{"a": 1}', CONFIG)
    path = layout.path(kept.digest)
    path.write_bytes(b'{"a": 0}')
    with pytest.raises(IntegrityError, match="changed"):
        layout.read(kept)
    path.write_bytes(b" " * (MOST_JSON + 1))
    with pytest.raises(IntegrityError, match="changed"):
        layout.read(kept)
    path.unlink()
    with pytest.raises(NotFoundError, match="missing"):
        layout.read(kept)


@pytest.mark.parametrize("body", [b"short", b"as long as", b"longer than was promised"])
def test_what_is_taken_is_what_was_promised(layout: Layout, body: bytes) -> None:
    """Other bytes, fewer or more: nothing is kept of them."""
    promised = Descriptor(digest=digest(b"0123456789"), size=10)
    with pytest.raises(IntegrityError, match="other bytes"):
        layout.take(io.BytesIO(body), promised, "somewhere")
    assert list((layout.folder / "blobs" / "sha256").iterdir()) == []
    layout.take(io.BytesIO(b"0123456789"), promised, "somewhere")
    assert layout.read(promised) == b"0123456789"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"schemaVersion": 2}',
        b"[" * 100_000,
        b'{"config": {"digest": "sha256:../../etc/passwd", "size": 1}, "layers": []}',
        b'{"config": {"digest": 1, "size": 1}, "layers": []}',
        b'{"schemaVersion": 1, "fsLayers": [], "signatures": []}',
    ],
)
def test_no_manifest_is_refused(body: bytes) -> None:
    """Text that is none, a digest that is a path, the old schema: one error, and no traceback."""
    with pytest.raises(InputError, match="OCI specification"):
        decode(body, Manifest, "here")


def test_which_image_is_meant(tmp_path: Path, layout: Layout) -> None:
    """The only one, or the one with the tag; a folder that is no layout says so."""
    base_layout(tmp_path / "base")
    found = Layout(tmp_path / "base")
    assert found.top("1") == found.top()
    with pytest.raises(NotFoundError, match="0 images are called '2'") as refused:
        found.top("2")
    assert "it has: 1" in refused.value.why
    index = json.loads((tmp_path / "base" / "index.json").read_bytes())
    index["manifests"] *= 2
    (tmp_path / "base" / "index.json").write_text(json.dumps(index))
    with pytest.raises(NotFoundError, match="no single image"):
        found.top()
    with pytest.raises(NotFoundError, match="no image layout"):
        layout.top()


def test_descriptors_leave_out_what_they_do_not_say(layout: Layout) -> None:
    """A manifest is canonical: what is empty has no name in it."""
    kept = layout.put(b"{}", MANIFEST)
    named = layout.put_json(kept, CONFIG)
    told = json.loads(layout.read(named))
    at = layout.put(b"{}", MANIFEST, platform=Platform("arm64"))
    platform = json.loads(layout.read(layout.put_json(at, CONFIG)))["platform"]
    assert platform == {"architecture": "arm64", "os": "linux"}
    assert told == {"mediaType": MANIFEST, "digest": digest(b"{}"), "size": 2}
