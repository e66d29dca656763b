"""The bill of materials of an image: CycloneDX 1.6, with the hash of everything that is in it.

It is made of the lock, the bundle and the base's name, so equal inputs give equal bytes: it has no
time, and its serial number follows from its content. Source: cyclonedx.org/docs/1.6/json.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from afterfit.core.bundle import Bundle
from afterfit.core.digest import canonical_json
from afterfit.package.config import PackageConfig

__all__ = ["FILE", "sbom"]

FILE = "sbom.cdx.json"
_ENTRY = re.compile(
    r"(?P<name>[a-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?P<rest>[^=]*.*)"
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_BASE = re.compile(
    r"(?P<name>[^@]+?)(?::(?P<tag>[A-Za-z0-9._-]+))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?"
)
_NAMESPACE = uuid.UUID("6d3f2f5c-5b8c-5d9e-9d51-0d0b9d3d2a11")


def sbom(
    bundle: Bundle,
    lock: str,
    afterfit: tuple[str, str],
    config: PackageConfig,
    *,
    base_digests: Mapping[str, str] | None = None,
) -> bytes:
    """Return the document; ``afterfit`` is the version and SHA-256 of its wheel.

    ``base_digests`` are those of the base by platform, where it was looked at. A distribution whose
    lock has several files lists the hash of each: which one is installed depends on the platform.
    """
    components = [
        _library("afterfit", afterfit[0], [afterfit[1]]),
        *(_library(*entry) for entry in _entries(lock)),
        *_base(config.base, base_digests or {}),
        *_files(bundle),
    ]
    subject = {
        "bom-ref": f"bundle:sha256:{bundle.digest}",
        "type": "container",
        "name": config.name,
        "version": str(config.number or bundle.digest[:12]),
        "hashes": [_sha256(bundle.digest)],
    }
    body: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": sorted(components, key=lambda each: str(each["bom-ref"])),
        "dependencies": [
            {
                "ref": subject["bom-ref"],
                "dependsOn": sorted(str(each["bom-ref"]) for each in components),
            }
        ],
    }
    body["serialNumber"] = uuid.uuid5(_NAMESPACE, canonical_json(body).decode()).urn
    return canonical_json(body) + b"\n"


def _entries(lock: str) -> Iterable[tuple[str, str, list[str]]]:
    for line in lock.replace("\\\n", " ").splitlines():
        found = _ENTRY.match(line.strip())
        if found is not None:
            yield found["name"], found["version"], _HASH.findall(line)


def _library(name: str, version: str, hashes: list[str]) -> dict[str, Any]:
    return {
        "bom-ref": f"pkg:pypi/{name}@{version}",
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "hashes": [_sha256(each) for each in sorted(hashes)],
    }


def _base(name: str, digests: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    if name.startswith("oci:"):
        # A folder of this machine says nothing to anybody else; its digest does.
        found, tag, digest = "base", "", ""
    else:
        match = _BASE.fullmatch(name)
        found, tag, digest = (
            (match["name"], match["tag"] or "", match["digest"] or "") if match else (name, "", "")
        )
    known = {platform: each.removeprefix("sha256:") for platform, each in digests.items()}
    for platform, each in sorted(known.items()) or [("", digest)]:
        part: dict[str, Any] = {
            "bom-ref": "base" + (f":{platform}" if platform else ""),
            "type": "container",
            "name": found,
        }
        if tag:
            part["version"] = tag
        if each:
            part["hashes"] = [_sha256(each)]
        yield part


def _files(bundle: Bundle) -> Iterable[dict[str, Any]]:
    for name, file in bundle.manifest.files.items():
        kind = "machine-learning-model" if name.startswith("model/") else "file"
        yield {
            "bom-ref": f"bundle/{name}",
            "type": kind,
            "name": name,
            "hashes": [_sha256(file.sha256)],
        }


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
