"""Digests and canonical JSON: what makes equal things have equal names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

CHUNK_BYTES = 1 << 20


def canonical_json(value: Any) -> bytes:
    """Return UTF-8 JSON with sorted keys and no spaces; equal values give equal bytes.

    NaN and infinities become ``null``, as JSON has no word for them; a numpy scalar or array
    becomes the number or list that it holds.
    """
    return msgspec.json.encode(value, order="sorted", enc_hook=_plain)


def sha256_bytes(data: bytes | memoryview) -> str:
    """Return the SHA-256 of ``data`` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits, in constant memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return sha256_bytes(canonical_json(value))


def short(digest: str) -> str:
    """Return the first 12 hexadecimal digits, for people."""
    return digest[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise NotImplementedError(f"{type(value).__name__} has no place in canonical JSON")
