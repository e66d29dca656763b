"""Blobs by digest, and bundles made of them."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from afterfit.core.bundle import Bundle, BundleFile, Manifest, write_manifest
from afterfit.errors import IntegrityError, NotFoundError
from afterfit.store.blobs import BlobStore


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """An empty store."""
    return BlobStore(tmp_path / ".afterfit")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with a manifest over two files."""
    folder = tmp_path / "draft"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.onnx").write_bytes(b"graph" * 1000)
    (folder / "signature.json").write_bytes(b"{}")
    write_manifest(folder)
    return folder


def kept_in(store: BlobStore) -> list[str]:
    """The names of all blobs."""
    return [path.name for path in store.folder.rglob("*") if path.is_file()]


def spoil(path: Path) -> None:
    """Change a read-only file's first byte, as a failing disk would."""
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def test_a_blob_is_found_by_the_digest_of_its_bytes(store: BlobStore, tmp_path: Path) -> None:
    """Bytes and a file of the same bytes are one read-only blob, put any number of times."""
    data = b"x" * 3_000_000
    digest = hashlib.sha256(data).hexdigest()
    source = tmp_path / "a.bin"
    source.write_bytes(data)
    assert {store.put_bytes(data), store.put_file(source), store.put_file(source)} == {digest}
    assert store.path(digest) == store.folder / digest[:2] / digest
    assert store.path(digest).stat().st_mode & 0o777 == 0o444
    assert store.read(digest) == data
    with store.open(digest) as stream:
        assert stream.read(3) == b"xxx"
    assert len(list(store.folder.rglob("*"))) == 2


def test_a_file_with_another_digest_than_expected_is_not_kept(
    store: BlobStore, tmp_path: Path
) -> None:
    """The caller's digest is checked before anything is written."""
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(IntegrityError, match="a is not what its digest says"):
        store.put_file(tmp_path / "a", "0" * 64)
    assert kept_in(store) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "0" * 63, "g" * 64, "", "A" * 64])
def test_what_is_no_digest_is_never_made_a_path(store: BlobStore, name: str) -> None:
    """Only 64 hexadecimal digits name a blob."""
    with pytest.raises(NotFoundError):
        store.path(name)
    with pytest.raises(NotFoundError):
        store.has(name)


def test_an_absent_blob_says_how_to_make_it_again(store: BlobStore) -> None:
    """The error names the place and the way out."""
    with pytest.raises(NotFoundError, match="--fresh"):
        store.read("0" * 64)


def test_verify_names_what_changed_and_putting_it_again_mends_it(store: BlobStore) -> None:
    """One flipped bit and one stray file are found; the others are silent."""
    store.put_bytes(b"good")
    bad = store.put_bytes(b"bad")
    assert list(store.verify()) == []
    spoil(store.path(bad))
    stray = store.folder / "ab" / "notes.txt"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("?")
    assert {path for path, _ in store.verify()} == {store.path(bad), stray}
    with pytest.raises(IntegrityError, match="its SHA-256 is"):
        store.read(bad)
    store.put_bytes(b"bad")
    assert store.read(bad) == b"bad"


def test_a_bundle_comes_back_byte_for_byte(store: BlobStore, bundle: Path, tmp_path: Path) -> None:
    """What was put is checked out with the same version digest, as links to the blobs."""
    digest = store.put_bundle(bundle)
    assert digest == Bundle(bundle).digest
    folder = store.checkout(store.manifest(digest), tmp_path / "out" / digest)
    assert Bundle(folder).verify(digest) == digest
    model = folder / "model" / "model.onnx"
    assert model.samefile(store.path(hashlib.sha256(model.read_bytes()).hexdigest()))
    assert [path.name for path in folder.parent.iterdir()] == [digest]


def test_checkout_copies_where_links_are_refused(
    store: BlobStore, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Across file systems the files are read-only copies."""

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    digest = store.put_bundle(bundle)
    monkeypatch.setattr("os.link", refuse)
    folder = store.checkout(store.manifest(digest), tmp_path / "out")
    assert Bundle(folder).verify(digest) == digest
    assert (folder / "signature.json").stat().st_mode & 0o777 == 0o444


def test_a_broken_checkout_is_replaced_and_an_intact_one_is_kept(
    store: BlobStore, bundle: Path, tmp_path: Path
) -> None:
    """A file that was deleted or added by hand is mended; nothing is rewritten without need."""
    digest = store.put_bundle(bundle)
    manifest = store.manifest(digest)
    folder = store.checkout(manifest, tmp_path / "out")
    inode = folder.stat().st_ino
    store.checkout(manifest, folder)
    assert folder.stat().st_ino == inode
    (folder / "signature.json").unlink()
    (folder / "stray.py").write_text("")
    store.checkout(manifest, folder)
    assert Bundle(folder).verify(digest) == digest
    assert {path.name for path in tmp_path.iterdir()} == {".afterfit", "draft", "out"}


def test_a_spoilt_or_absent_blob_stops_the_checkout_with_nothing_left(
    store: BlobStore, bundle: Path, tmp_path: Path
) -> None:
    """No folder appears from bytes that are not those of the version."""
    digest = store.put_bundle(bundle)
    manifest = store.manifest(digest)
    path = store.path(manifest.files["model/model.onnx"].sha256)
    spoil(path)
    with pytest.raises(IntegrityError):
        store.checkout(manifest, tmp_path / "out")
    path.unlink()
    with pytest.raises(NotFoundError):
        store.checkout(manifest, tmp_path / "out")
    assert {each.name for each in tmp_path.iterdir()} == {".afterfit", "draft"}


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "a\\b", "C:evil", "", "a//b", "manifest.json"]
)
def test_a_manifest_cannot_lead_out_of_its_folder(
    store: BlobStore, tmp_path: Path, name: str
) -> None:
    """A hostile path in a manifest is refused before a byte is written."""
    digest = store.put_bytes(b"evil")
    manifest = Manifest(files={name: BundleFile(digest, 4)})
    with pytest.raises(IntegrityError, match="no bundle may have"):
        store.checkout(manifest, tmp_path / "out")
    assert {each.name for each in tmp_path.rglob("*evil*")} == set()


def test_threads_that_check_out_the_same_version_all_get_it(
    store: BlobStore, bundle: Path, tmp_path: Path
) -> None:
    """Six at once: each ends with an intact folder, and no temporary one stays."""
    digest = store.put_bundle(bundle)
    manifest = store.manifest(digest)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            Bundle(store.checkout(manifest, tmp_path / "out" / "v")).verify(digest)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["v"]


def test_a_bundle_that_changed_since_its_manifest_is_not_put(
    store: BlobStore, bundle: Path
) -> None:
    """A changed file and one that the manifest does not name are refused."""
    (bundle / "signature.json").write_bytes(b"[]")
    with pytest.raises(IntegrityError):
        store.put_bundle(bundle)
    assert kept_in(store) == []


def test_a_blob_that_is_no_manifest_is_refused(store: BlobStore) -> None:
    """A digest of something else is an IntegrityError that names the blob."""
    with pytest.raises(IntegrityError, match="is no manifest"):
        store.manifest(store.put_bytes(b"not json"))
