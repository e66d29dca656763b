"""The index of the log: fast, and never believed where the log says otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from afterfit.registry import summary
from afterfit.registry.registry import Registry
from afterfit.store.blobs import BlobStore

MakeBundle = Callable[..., Path]


@pytest.fixture
def indexed(
    registry: Registry, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> Registry:
    """A registry that writes its index after two lines, with three versions and two moves."""
    monkeypatch.setattr(summary, "_KEEP_AFTER", 2)
    for model in (b"one", b"two", b"three"):
        registry.register("churn", make_bundle(model), who="ana", evidence={"assess": "a" * 64})
    registry.promote("churn", 1, who="ana")
    registry.promote("churn", 3, who="ana", alias="challenger")
    registry.list()
    assert index_of(registry).is_file()
    return registry


def index_of(registry: Registry) -> Path:
    """The file of the index."""
    return registry.folder / "registry" / ".index"


def opened(registry: Registry) -> Registry:
    """The registry as another process opens it."""
    return Registry(registry.folder, BlobStore(registry.folder))


def one_by_one(registry: Registry) -> tuple[object, ...]:
    """The versions as their own files say."""
    numbers = [file.number for file in registry.storage.shelf.versions("churn")]
    return tuple(registry.resolve(f"churn@{number}") for number in numbers)


def test_the_index_says_what_the_files_say(indexed: Registry) -> None:
    """Before and after more lines, in this process and in another."""
    assert indexed.list() == one_by_one(indexed) == opened(indexed).list("churn")
    other = opened(indexed)
    other.promote("churn", 2, who="bo")
    other.attach(other.resolve("churn@2"), who="bo", evidence={"loadtest": "b" * 64})
    other.rollback("churn", who="bo", why="?")
    assert indexed.list() == one_by_one(indexed) == opened(indexed).list()
    assert [move.to for move in indexed.moves("churn")] == [1, 2, 1]
    assert [move.to for move in indexed.moves("churn", "challenger")] == [3]


@pytest.mark.parametrize("spoilt", [b"", b"nonsense", b"afterfit-index-1\n" + b"0" * 90])
def test_a_spoilt_index_is_made_again(spoilt: bytes, indexed: Registry) -> None:
    """And one that is gone, or of which a byte was changed."""
    right = one_by_one(indexed)
    index_of(indexed).write_bytes(spoilt)
    assert opened(indexed).list() == right
    data = bytearray(index_of(indexed).read_bytes())
    data[-5] ^= 1
    index_of(indexed).write_bytes(bytes(data))
    assert opened(indexed).list() == right
    index_of(indexed).unlink()
    assert opened(indexed).list() == right


def test_a_workspace_restored_from_a_copy_is_listed_as_it_is_then(
    indexed: Registry, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """The log went back behind what a running process knows, and then on another way."""
    before = one_by_one(indexed)
    copy = tmp_path / "copy"
    shutil.copytree(indexed.folder, copy)
    for model in (b"four", b"five", b"six"):
        indexed.register("churn", make_bundle(model), who="ana")
    assert len(indexed.list()) == 6
    ahead = index_of(indexed).read_bytes()
    shutil.rmtree(indexed.folder)
    shutil.copytree(copy, indexed.folder)
    index_of(indexed).write_bytes(ahead)
    assert indexed.list() == before == opened(indexed).list()
    for model in (b"seven", b"eight", b"nine", b"ten"):
        opened(indexed).register("churn", make_bundle(model), who="bo")
    index_of(indexed).write_bytes(ahead)
    assert indexed.list() == one_by_one(indexed) == opened(indexed).list()


def test_a_read_only_workspace_is_listed_without_an_index(
    indexed: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be written; the answer is the same."""
    from afterfit.errors import ForbiddenError

    def refuse(*_: object, **__: object) -> None:
        raise ForbiddenError("read-only", fix="none")

    right = one_by_one(indexed)
    index_of(indexed).unlink()
    monkeypatch.setattr(summary, "write_bytes", refuse)
    assert opened(indexed).list() == right
    assert not index_of(indexed).exists()
