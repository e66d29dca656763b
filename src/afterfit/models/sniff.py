"""Which format a model file has, from its bytes; its name is never trusted."""

from __future__ import annotations

import io
import mmap
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from afterfit.core.shell import shell_word
from afterfit.errors import ForbiddenError, ModelError, NotFoundError
from afterfit.models.opcodes import starts_pickle
from afterfit.models.protobuf import is_onnx

__all__ = ["COMPRESSIONS", "Format", "compression", "opened", "sniff", "sniff_bytes"]

Format = Literal[
    "skops",
    "joblib",
    "pickle",
    "onnx",
    "xgboost-json",
    "xgboost-ubj",
    "lightgbm-text",
    "catboost",
    "torchscript",
    "torch-export",
    "torch",
    "safetensors",
    "unknown",
]
# The magic bytes that joblib looks at, in its order.
COMPRESSIONS: tuple[tuple[bytes, str], ...] = (
    (b"\x78", "zlib"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\x5d\x00", "lzma"),
    (b"\xfd7zXZ", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
WRAPPER_NAME = b"NumpyArrayWrapper"
HEAD = 4096


def sniff(path: Path) -> Format:
    """Return the format of the model file.

    Raises NotFoundError where there is no file, ForbiddenError where it may not be read, and
    ModelError for what is no model as it stands: empty, cut off, a folder, or compressed with LZ4.
    """
    with opened(path) as data:
        return sniff_bytes(data, path)


def sniff_bytes(data: memoryview, path: Path) -> Format:
    """Return the format of the bytes of ``path``; raises as :func:`sniff` does."""
    head = bytes(data[:HEAD])
    if not head:
        fix = "save the model again, or give the file that holds it"
        raise ModelError("The model file is empty.", where=str(path), fix=fix)
    if head.startswith(b"PK\x03\x04"):
        return _zip_format(data, path)
    for magic, found in (
        (b"CBM1", "catboost"),
        (b"tree\n", "lightgbm-text"),
        (b"tree\r\n", "lightgbm-text"),
    ):
        if head.startswith(magic):
            return found  # type: ignore[return-value]
    if head.lstrip()[:1] == b"{":
        return _braces(head)
    name = compression(head)
    if name == "lz4":
        raise ModelError(
            "The model file is compressed with LZ4, which is not read here.",
            where=str(path),
            why="Its content cannot be audited before it is loaded.",
            fix="joblib.dump(model, 'model.joblib', compress=3)",
        )
    if name:
        return "joblib"
    return _plain_format(data, head, path)


def _plain_format(data: memoryview, head: bytes, path: Path) -> Format:
    if _is_safetensors(head, len(data)):
        return "safetensors"
    if starts_pickle(data):
        return "joblib" if _mentions(data, WRAPPER_NAME) else "pickle"
    return "onnx" if is_onnx(data, path) else "unknown"


def compression(head: bytes) -> str:
    """Return the name of the compression that the first bytes tell, or an empty text."""
    for magic, name in COMPRESSIONS:
        if head.startswith(magic) and _plausible(name, head):
            return name
    return ""


def _plausible(name: str, head: bytes) -> bool:
    # zlib has one magic byte, and a check over the first two
    if name == "zlib":
        return len(head) > 1 and int.from_bytes(head[:2], "big") % 31 == 0
    return True


def _braces(head: bytes) -> Format:
    if b'"learner"' in head or b'"version"' in head:
        return "xgboost-json"
    if b"learner" in head[:64] or b"version" in head[:64]:
        return "xgboost-ubj"
    return "unknown"


def _is_safetensors(head: bytes, size: int) -> bool:
    """Return whether a length of 8 bytes stands before a JSON object that fits into the file."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") + 8 <= size


def _zip_format(data: memoryview, path: Path) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
        raise ModelError(
            "The model file is truncated or damaged.",
            where=str(path),
            why=f"it begins as a zip archive (.skops, .pt), and its table of contents cannot be "
            f"read: {error}",
            fix="save the model again, or copy the file again",
        ) from None
    bare = {name.rpartition("/")[2] for name in names}
    if "schema.json" in names:
        return "skops"
    if "constants.pkl" in bare and any("/code/" in name for name in names):
        return "torchscript"
    if "archive_format" in bare and any("/models/" in name for name in names):
        return "torch-export"
    return "torch" if "data.pkl" in bare else "unknown"


def _mentions(data: memoryview, needle: bytes) -> bool:
    owner = data.obj
    if isinstance(owner, mmap.mmap | bytes | bytearray):
        return owner.find(needle) >= 0
    return needle in bytes(data)


@contextmanager
def opened(path: Path) -> Iterator[memoryview]:
    """Yield the bytes of a file, mapped and not copied; raises as :func:`sniff` does."""
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                yield memoryview(b"")
                return
            # not closed by hand: views into it live as long as what refers to them
            yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise NotFoundError(
            "There is no such model file.",
            where=str(path),
            fix="look at the path, or give module:function with --code FOLDER",
        ) from error
    except IsADirectoryError as error:
        raise ModelError(
            "A folder is given where a model file is needed.",
            where=str(path),
            fix="give the file inside of it",
        ) from error
    except PermissionError as error:
        raise ForbiddenError(
            "The model file may not be read.",
            where=str(path),
            fix=f"ls -l {shell_word(path)}   # shows who may",
        ) from error
