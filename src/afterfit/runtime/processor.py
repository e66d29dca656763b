"""The processor and the libraries that compute answers here."""

from __future__ import annotations

import importlib.metadata
import platform
from functools import cache
from pathlib import Path

from afterfit.core.bundle import Variant
from afterfit.core.proof import Surroundings, libraries_of

__all__ = ["CPU_FEATURES", "processor", "surroundings", "version_of"]

CPU_FEATURES = (
    *("avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "avx_vnni"),
    *("fma", "sse4_2", "asimddp", "i8mm"),
)
"""The instruction sets by which libraries choose how to compute."""


@cache
def processor() -> tuple[str, tuple[str, ...]]:
    """Return the model's name and the instruction sets that matter; Linux knows most."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), ()
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    model = fields.get("model name", platform.machine())
    return model, tuple(name for name in CPU_FEATURES if name in flags)


def version_of(distribution: str) -> str:
    """Return the installed version of a distribution, or an empty string."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def surroundings(variant: Variant) -> Surroundings:
    """Return what a variant runs on in this process."""
    return Surroundings(
        libraries=libraries_of(variant, version_of),
        machine=platform.machine(),
        cpu_features=processor()[1],
    )
