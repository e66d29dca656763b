"""Which sizes belong together, and what their processors multiply with.

Read from the names of machines by the public facts of processor generations. A family that runs on
several processors has the lowest of their tiers; one that is not known here has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from afterfit.platforms.shapes import Tier

__all__ = ["arch_of", "azure_size", "family_of", "processor_of", "shared", "tier_of"]

Arch = Literal["x86_64", "arm64", ""]

_AWS = re.compile(r"^(?:ml\.)?([a-z]+)(\d+)([a-z]*)(?:-([a-z0-9]+))?(?:\.|$)")
_AZURE = re.compile(
    r"^(?:Standard|Basic)_([A-Z]+)(\d+)(?:-\d+)?([a-z]*)(?:_([A-Z][A-Z0-9]+))?(?:_v(\d+))?$"
)
_HETZNER = re.compile(r"^(cpx|ccx|cax|cx)(\d)(\d)$")

_AWS_TIERS: dict[str, Tier] = {
    "a1": "neon", "c3": "", "c4": "avx2", "c5": "avx512", "c5d": "avx512", "c5n": "avx512",
    "d2": "avx2", "d3": "avx512", "d3en": "avx512", "g3": "avx2", "g3s": "avx2", "g4dn": "vnni",
    "g5": "avx2", "g6": "avx2", "g6e": "avx2", "gr6": "avx2", "i3": "avx2", "i3en": "avx512",
    "inf1": "vnni", "inf2": "avx2", "m4": "avx2", "m5": "avx512", "m5d": "avx512", "m5dn": "vnni",
    "m5n": "vnni", "m5zn": "vnni", "p3": "avx2", "p3dn": "avx512", "p4d": "vnni", "p4de": "vnni",
    "p5": "avx2", "p5e": "avx2", "p5en": "amx", "p6-b200": "amx", "r4": "avx2", "r5": "avx512",
    "r5b": "avx512", "r5d": "avx512", "r5dn": "vnni", "r5n": "vnni", "t2": "avx2", "t3": "avx512",
    "trn1": "vnni", "trn1n": "vnni", "x1": "avx2", "x1e": "avx2", "z1d": "avx512",
}  # fmt: skip
_GCP_TIERS: dict[str, Tier] = {
    "a2": "vnni", "a3": "amx", "c2": "vnni", "c2d": "avx2", "c3": "amx", "c3d": "vnni",
    "c4": "amx", "c4a": "i8mm", "c4d": "vnni", "e2": "avx2", "g2": "vnni", "g4": "vnni",
    "h3": "amx", "m3": "vnni", "n2": "vnni", "n2d": "avx2", "n4": "amx", "n4a": "i8mm",
    "n4d": "vnni", "t2a": "neon", "t2d": "avx2", "z3": "amx",
}  # fmt: skip
"""Without n1: its oldest processors (Sandy and Ivy Bridge) stand below every tier."""

_GCP_ARM = ("c4a", "n4a", "t2a")
_AZURE_INTEL: dict[tuple[str, int], Tier] = {
    ("B", 1): "avx2", ("B", 2): "vnni", ("D", 2): "avx2", ("D", 3): "avx2", ("D", 4): "vnni",
    ("D", 5): "vnni", ("D", 6): "amx", ("D", 7): "amx", ("E", 3): "avx2", ("E", 4): "vnni",
    ("E", 5): "vnni", ("E", 6): "amx", ("E", 7): "amx", ("F", 2): "avx512", ("FX", 1): "vnni",
    ("NC", 3): "avx2", ("ND", 2): "avx512", ("ND", 5): "amx", ("NV", 3): "avx2",
}  # fmt: skip
_AZURE_AMD: dict[tuple[str, int], Tier] = {
    ("B", 2): "avx2", ("D", 4): "avx2", ("D", 5): "avx2", ("D", 6): "vnni", ("D", 7): "vnni",
    ("E", 4): "avx2", ("E", 5): "avx2", ("E", 6): "vnni", ("E", 7): "vnni", ("F", 6): "vnni",
    ("F", 7): "vnni", ("NC", 3): "avx2", ("NC", 4): "avx2", ("NC", 5): "vnni", ("ND", 4): "avx2",
    ("NV", 4): "avx2", ("NV", 5): "avx2",
}  # fmt: skip
_AZURE_ARM: dict[tuple[str, int], Tier] = {
    ("B", 2): "neon", ("D", 5): "neon", ("D", 6): "i8mm", ("E", 5): "neon", ("E", 6): "i8mm",
}  # fmt: skip
_HETZNER_TIERS: dict[str, Tier] = {"cax": "neon", "ccx": "avx2", "cpx": "avx2"}


def family_of(provider: str, name: str) -> str:
    """The family of a size (``m7i``, ``n2-standard``, ``Ds v5``), else its whole name."""
    return _FAMILIES.get(provider, _family_elsewhere)(name)


def processor_of(provider: str, name: str) -> str:
    """The families that run on the same processors as this size, by one name; else its family.

    They differ in memory, disks and network: ``e2-highcpu`` and ``e2-standard``, ``c7i`` and
    ``m7i``, ``Ds v5`` and ``Es v5``.
    """
    if provider == "gcp":
        return name.partition("-")[0]
    if provider == "aws" and (match := _AWS.match(name)):
        maker = match[3][:1]
        if match[1] in {"c", "m", "r"} and int(match[2]) >= 6 and maker in {"a", "g", "i"}:
            return f"{match[2]}{maker}{match[4] or ''}"
    if provider == "azure" and (match := _AZURE.match(name)) and match[1] in {"D", "E"}:
        maker = next((each for each in "pa" if each in match[3]), "i")
        return f"v{match[5] or 1}{maker}"
    return family_of(provider, name)


def arch_of(provider: str, name: str) -> Arch:
    """The architecture that a name tells, empty where it tells none."""
    if provider == "aws" and (match := _AWS.match(name)):
        return "arm64" if match[1] == "a" or "g" in match[3] else "x86_64"
    if provider == "azure" and (match := _AZURE.match(name)):
        return "arm64" if "p" in match[3] else "x86_64"
    if provider == "gcp":
        return "arm64" if name.partition("-")[0] in _GCP_ARM else "x86_64"
    if provider == "hetzner" and (match := _HETZNER.match(name)):
        return "arm64" if match[1] == "cax" else "x86_64"
    return ""


def tier_of(provider: str, name: str, arch: str) -> Tier:
    """The least that every processor of this machine multiplies with; empty where nobody knows.

    Any ARM of 64 bits has NEON, so ``arm64`` is never empty.
    """
    tier = _TIERS.get(provider, _tier_elsewhere)(name)
    return tier or ("neon" if arch == "arm64" else "")


def shared(provider: str, name: str) -> bool:
    """Whether its processor is shared, or falls back to a base speed under lasting load."""
    if provider == "aws":
        match = _AWS.match(name)
        return bool(match and (match[1] == "t" or match[4] == "flex"))
    if provider == "azure":
        return name.startswith(("Standard_B", "Basic_"))
    if provider == "gcp":
        return name in {"e2-micro", "e2-small", "e2-medium", "f1-micro", "g1-small"}
    if provider == "hetzner":
        return not name.startswith("ccx")
    return name.startswith(("s-", "shared-"))


def azure_size(name: str) -> tuple[float, float | None] | None:
    """The vCPU and the memory (GiB) that a name of Azure tells; None where it tells nothing.

    D has 4 GiB for each vCPU, E 8, F 2 (4 from v6 on), ``l`` half and ``m`` twice as much. Of other
    letters only the vCPU are told. ``D64ps_v5`` has less memory than its name says.
    """
    match = _AZURE.match(name)
    if not match or name == "Standard_D64ps_v5" or "-" in name:
        return None
    letters, digits, attributes, _, version = match.groups()
    each = {"D": 4.0, "E": 8.0, "F": 4.0 if int(version or 1) >= 6 else 2.0}.get(letters)
    if letters == "B" and attributes == "ms" and int(digits) > 1:
        each = 4.0
    elif each and ("l" in attributes or "m" in attributes):
        each *= 0.5 if "l" in attributes else 2.0
    return float(digits), each and each * int(digits)


def _family_aws(name: str) -> str:
    return name.rpartition(".")[0] or name


def _family_azure(name: str) -> str:
    match = _AZURE.match(name)
    if not match:
        return name
    letters, _, attributes, extra, version = match.groups()
    return " ".join(filter(None, (letters + attributes, extra, f"v{version or 1}")))


def _family_gcp(name: str) -> str:
    parts = name.split("-")
    kept = [part for part in parts if not re.fullmatch(r"\d+g?|micro|small|medium", part)]
    return "-".join(kept)


def _family_hetzner(name: str) -> str:
    match = _HETZNER.match(name)
    return f"{match[1]}{match[3]}" if match else name


def _family_elsewhere(name: str) -> str:
    kept = [part for part in re.split(r"[-_.]", name) if not re.match(r"\d", part)]
    return "-".join(kept) or name


def _tier_aws(name: str) -> Tier:
    match = _AWS.match(name)
    if not match:
        return ""
    letters, generation, attributes, variant = match[1], int(match[2]), match[3], match[4]
    plain = f"{letters}{generation}{attributes}"
    for known in (f"{plain}-{variant}", plain):
        if known in _AWS_TIERS:
            return _AWS_TIERS[known]
    if "g" in attributes:
        return "i8mm" if generation >= 7 else "neon"
    if "a" in attributes:
        return "vnni" if generation >= 7 else "avx2"
    if "i" in attributes and letters in {"c", "m", "r", "i", "x"}:
        return "amx" if generation >= 7 else "vnni" if generation in {4, 6} else ""
    return ""


def _tier_azure(name: str) -> Tier:
    match = _AZURE.match(name)
    if not match:
        return ""
    letters, _, attributes, extra, version = match.groups()
    if extra == "V710":
        return "vnni"
    table = _AZURE_ARM if "p" in attributes else _AZURE_AMD if "a" in attributes else _AZURE_INTEL
    return table.get((letters, int(version or 1)), "")


def _tier_gcp(name: str) -> Tier:
    return _GCP_TIERS.get(name.partition("-")[0], "")


def _tier_hetzner(name: str) -> Tier:
    match = _HETZNER.match(name)
    return _HETZNER_TIERS.get(match[1], "") if match else ""


def _tier_elsewhere(_name: str) -> Tier:
    return ""


_FAMILIES: dict[str, Callable[[str], str]] = {
    "aws": _family_aws, "azure": _family_azure, "gcp": _family_gcp, "hetzner": _family_hetzner,
}  # fmt: skip
_TIERS: dict[str, Callable[[str], Tier]] = {
    "aws": _tier_aws, "azure": _tier_azure, "gcp": _tier_gcp, "hetzner": _tier_hetzner,
}  # fmt: skip
