"""Layers that were made before, so that the same wheels are not unpacked and compressed again.

They lie in the user's own cache, at most `MOST_BYTES` of them. A layer is taken out only where its
bytes still have the digest that it was put in with, and leaving it out costs time alone: what is
wrong with the cache stops nobody.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from afterfit.core.digest import digest_of
from afterfit.errors import AfterfitError
from afterfit.package.oci.layers import Layer
from afterfit.package.oci.layout import Layout
from afterfit.store.files import (
    is_temporary,
    remove_tree,
    sweep_temporary,
    temporary_beside,
    write_bytes,
)

__all__ = ["MOST_BYTES", "LayerCache", "cache_folder"]

MOST_BYTES = 2_000_000_000
"""Bytes: some ten layers of ONNX Runtime, or five with scikit-learn."""
_VARIABLE = "AFTERFIT_CACHE"

T = TypeVar("T")


def cache_folder() -> Path | None:
    """Return the folder of this user's layers; None where there can be none.

    ``AFTERFIT_CACHE`` names another, and ``off`` is none.
    """
    told = os.environ.get(_VARIABLE, "")
    if told:
        return None if told == "off" else Path(told) / "layers"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "afterfit" / "layers"


class LayerCache:
    """Layers by what they were made of; ``folder`` None keeps none."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder if folder is None or _own(folder) else None

    def take(self, made_of: Sequence[str], layout: Layout) -> Layer | None:
        """Return the layer that was made of this before, now in ``layout``; None if there is none.

        A layer whose bytes were changed is removed.
        """
        if self.folder is None:
            return None
        entry = self.folder / digest_of(list(made_of))
        try:
            layer = msgspec.json.decode((entry / "layer.json").read_bytes(), type=Layer)
            with (entry / "blob").open("rb") as stream:
                layout.take(stream, layer.descriptor, "the cache of layers")
            os.utime(entry)
        except (OSError, AfterfitError, msgspec.MsgspecError):
            with suppress(OSError):
                remove_tree(entry)
            return None
        return layer

    def keep(self, made_of: Sequence[str], layer: Layer, layout: Layout) -> None:
        """Keep a layer that lies in ``layout``; a full disk or a folder of others keeps none."""
        if self.folder is None or layer.descriptor.size > MOST_BYTES:
            return
        entry = self.folder / digest_of(list(made_of))
        temporary = temporary_beside(entry)
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sweep_temporary(self.folder)
            try:
                temporary.mkdir()
                _copy(layout.path(layer.descriptor.digest), temporary / "blob")
                (temporary / "layer.json").write_bytes(msgspec.json.encode(layer))
                # Another process may have been first: its layer has the same bytes.
                if not entry.exists():
                    temporary.rename(entry)
            finally:
                remove_tree(temporary)
            self._trim()

    def recall(self, of: Sequence[str], kind: type[T]) -> T | None:
        """Return what was found out about something before; None where nothing is known."""
        if self.folder is None:
            return None
        try:
            entry = self.folder / digest_of(list(of))
            return msgspec.json.decode((entry / "fact.json").read_bytes(), type=kind)
        except (OSError, msgspec.MsgspecError):
            return None

    def remember(self, of: Sequence[str], fact: msgspec.Struct) -> None:
        """Keep what was found out about something, where anything can be kept."""
        if self.folder is None:
            return
        entry = self.folder / digest_of(list(of))
        with suppress(OSError, AfterfitError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_bytes(entry / "fact.json", msgspec.json.encode(fact))

    def _trim(self) -> None:
        """Remove the layers that were used longest ago, down to `MOST_BYTES`."""
        if self.folder is None:
            return
        found = [each for each in self.folder.iterdir() if not is_temporary(each)]
        left = MOST_BYTES
        for entry in sorted(found, key=lambda each: each.stat().st_mtime, reverse=True):
            left -= sum(file.stat().st_size for file in entry.iterdir())
            if left < 0:
                remove_tree(entry)


def _own(folder: Path) -> bool:
    """Return whether what lies in ``folder`` can only have been put there by this user."""
    if sys.platform == "win32" or not folder.exists():
        return True
    found = folder.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _copy(source: Path, target: Path) -> None:
    # A copy and no second name: whoever edits the image's blob must not edit the cache.
    with source.open("rb") as stream, target.open("wb") as out:
        while piece := stream.read(1 << 20):
            out.write(piece)
