"""Blobs and records in an object store: whole or not there, checked when read, told clearly."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.optional import optional
from tests.store.test_records import record as assess_record

from afterfit.core.digest import sha256_bytes
from afterfit.errors import (
    AfterfitError,
    ConfigError,
    DependencyError,
    ForbiddenError,
    IntegrityError,
    NotFoundError,
    ResourceError,
    UnavailableError,
)
from afterfit.store.remote.blobs import SharedBlobs
from afterfit.store.remote.objects import Objects, _put_at
from afterfit.store.remote.records import SharedRecords


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """An empty store in the memory of this process."""
    optional("fsspec", "objectstore")
    return Objects(f"memory://{tmp_path.name}/team")


def raising(error: Exception) -> Callable[..., Any]:
    """A function that raises whatever it is given."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def test_a_blob_goes_to_another_machine_and_is_sent_once(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the store holds, by size and bytes, is not sent again, whoever sent it."""
    ana, bo = SharedBlobs(tmp_path / "ana", objects), SharedBlobs(tmp_path / "bo", objects)
    digest = ana.put_bytes(b"model")
    assert bo.has(digest)
    assert bo.read(digest) == b"model"
    assert not bo.has("0" * 64)
    with pytest.raises(NotFoundError):
        bo.path("0" * 64)
    monkeypatch.setattr(objects, "put", raising(AssertionError("sent again")))
    assert ana.put_bytes(b"model") == SharedBlobs(tmp_path / "cy", objects).put_bytes(b"model")


def test_other_bytes_of_the_same_size_are_sent_over(objects: Objects, tmp_path: Path) -> None:
    """The size alone is no proof; to put it again mends the store."""
    blobs = SharedBlobs(tmp_path / "ana", objects)
    digest = blobs.put_bytes(b"model")
    key = f"blobs/{digest[:2]}/{digest}"
    objects._files.pipe_file(f"{objects._root}/{key}", b"m0del")
    assert [error.where for _, error in blobs.verify()] == [f"{objects.where}/{key}"]
    with pytest.raises(IntegrityError, match="not what its digest says"):
        SharedBlobs(tmp_path / "bo", objects).path(digest)
    assert not (tmp_path / "bo" / key).exists()
    SharedBlobs(tmp_path / "bo", objects).put_bytes(b"model")
    assert list(blobs.verify()) == []


def test_what_the_store_says_of_md5_is_used(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 tells it as the ETag: then nothing is read back; another one means nothing."""
    (tmp_path / "file").write_bytes(b"model")
    objects.put("key", tmp_path / "file")
    real = objects._info
    tag = hashlib.md5(b"model", usedforsecurity=False).hexdigest()

    def tagged(key: str) -> dict[str, Any] | None:
        return {**(real(key) or {}), "ETag": f'"{tag}"'}

    monkeypatch.setattr(objects, "_info", tagged)
    monkeypatch.setattr(objects, "sha256", raising(AssertionError("read back")))
    assert objects.holds("key", tmp_path / "file", sha256_bytes(b"model"))
    tag = "of many parts-2"
    with pytest.raises(AssertionError, match="read back"):
        objects.holds("key", tmp_path / "file", sha256_bytes(b"model"))


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (PermissionError("Forbidden: 403"), ForbiddenError, "does not let you"),
        (OSError(errno.ENOSPC, "No space left on device"), ResourceError, "full"),
        (ConnectionError("refused at s3://key:hunter2@host"), UnavailableError, "does not answer"),
        (RuntimeError("anything"), UnavailableError, "does not answer"),
        (FileNotFoundError("no bucket"), NotFoundError, "not in the shared store"),
    ],
)
def test_a_store_that_fails_is_told_with_a_fix(
    error: Exception,
    kind: type[AfterfitError],
    says: str,
    objects: Objects,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each kind of failure while a blob is sent; nobody reads a secret, nothing half is there."""
    blobs = SharedBlobs(tmp_path / "ana", objects)
    monkeypatch.setattr(objects._files, "put_file", raising(error))
    with pytest.raises(kind, match=says) as caught:
        blobs.put_bytes(b"model")
    assert caught.value.fix
    assert "hunter2" not in str(caught.value)
    monkeypatch.undo()
    digest = sha256_bytes(b"model")
    assert objects.names(f"blobs/{digest[:2]}") == []
    assert SharedBlobs(tmp_path / "ana", objects).put_bytes(b"model") == digest
    assert objects.names(f"blobs/{digest[:2]}") == [digest]


def test_a_record_is_read_on_another_machine_and_found_by_its_digits(
    objects: Objects, tmp_path: Path
) -> None:
    """The list, the newest and the reuse key see what others made."""
    ana, bo = SharedRecords(tmp_path / "ana", objects), SharedRecords(tmp_path / "bo", objects)
    assert bo.list() == ()
    kept = ana.put(assess_record(), key="k")
    assert bo.get(kept.digest) == kept == bo.get(kept.digest[:8])
    assert bo.list() == (kept,)
    assert bo.find("k") == kept
    assert not list((tmp_path / "ana" / "outbox").iterdir())
    copy = tmp_path / "bo" / "records" / f"{kept.digest}.json"
    copy.write_bytes(b"{}")
    assert bo.get(kept.digest) == kept
    objects._files.pipe_file(f"{objects._root}/records/{kept.digest}.json", b"{}")
    with pytest.raises(IntegrityError):
        SharedRecords(tmp_path / "cy", objects).get(kept.digest)
    with pytest.raises(NotFoundError):
        bo.get("0" * 64)


def test_a_record_that_could_not_be_sent_is_sent_by_the_next_command(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept here, the error says so, and others have it as soon as the store answers."""
    ana, bo = SharedRecords(tmp_path / "ana", objects), SharedRecords(tmp_path / "bo", objects)
    monkeypatch.setattr(objects._files, "put_file", raising(ConnectionError("away")))
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        ana.put(assess_record())
    assert "sent by the next command" in caught.value.why
    assert len(ana.list()) == 1
    assert bo.list() == ()
    monkeypatch.undo()
    again = SharedRecords(tmp_path / "ana", objects)
    assert len(again.list()) == 1
    assert bo.list() == again.list()
    assert not list((tmp_path / "ana" / "outbox").iterdir())


@pytest.mark.parametrize("size", [0, 1, (8 << 20) + 1])
def test_a_file_of_any_size_comes_back(size: int, objects: Objects, tmp_path: Path) -> None:
    """Small ones at once, big ones in parts."""
    data = bytes(range(256)) * (size // 256 + 1)
    blobs = SharedBlobs(tmp_path / "ana", objects)
    digest = blobs.put_bytes(data[:size])
    assert SharedBlobs(tmp_path / "bo", objects).read(digest) == data[:size]


def test_a_url_that_nothing_knows_is_refused() -> None:
    """And one whose package is not installed names it."""
    with pytest.raises(ConfigError, match="cannot be kept there"):
        Objects("nonsense://bucket")
    if find_spec("gcsfs") is None:
        with pytest.raises(DependencyError) as caught:
            Objects("gs://bucket")
        assert caught.value.fix == "pip install gcsfs"


def test_blobs_are_listed_with_their_age_and_removed(objects: Objects, tmp_path: Path) -> None:
    """What is unfinished, or no blob, is not among them; a blob that is gone is no error."""
    blobs = SharedBlobs(tmp_path / "ana", objects)
    digest = blobs.put_bytes(b"model")
    for stray in (f"blobs/{digest[:2]}/.tmp-1", "blobs/readme.txt", "records/1.json"):
        objects._files.pipe_file(f"{objects._root}/{stray}", b"x")
    (found,) = blobs.listed()
    assert (found.key, found.size) == (f"blobs/{digest[:2]}/{digest}", 5)
    assert found.put_at == pytest.approx(time.time(), abs=60)
    blobs.remove(digest)
    blobs.remove(digest)
    assert blobs.listed() == []
    assert not blobs.has(digest)
    assert blobs.put_bytes(b"model") == digest  # it is sent again
    assert blobs.has(digest, kept=True)


@pytest.mark.parametrize(
    ("info", "moment"),
    [
        ({"LastModified": datetime(2026, 1, 1, tzinfo=UTC)}, 1767225600.0),  # S3
        ({"last_modified": datetime(2026, 1, 1, tzinfo=UTC)}, 1767225600.0),  # Azure
        ({"updated": "2026-01-01T00:00:00.000Z"}, 1767225600.0),  # Google
        ({"mtime": 1767225600.5, "created": 1.0}, 1767225600.5),  # a mounted drive
        ({"LastModified": None, "updated": "soon"}, None),
        ({}, None),
    ],
)
def test_when_an_object_was_put_is_read_as_each_store_tells_it(
    info: dict[str, Any], moment: float | None
) -> None:
    """Of one that does not tell nothing is taken away."""
    assert _put_at(info) == moment
