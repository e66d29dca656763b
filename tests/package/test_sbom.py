"""The bill of materials: what is in the image, with hashes, in the shape of CycloneDX 1.6."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afterfit.core.bundle import Bundle
from afterfit.package.config import PackageConfig
from afterfit.package.sbom import sbom

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
LOCK = f"""\
numpy==2.4.6 \\
    --hash=sha256:{B} \\
    --hash=sha256:{A}
uvloop==0.23.0 ; sys_platform != "win32" --hash=sha256:{C}
onnxruntime-gpu[cuda,cudnn]==1.31.1 --hash=sha256:{C}
"""
CONFIG = PackageConfig(name="churn", number=3, base="registry.example.com:5000/python:3.11-slim")
# Of the schema: bom-1.6.schema.json, definitions component and hash.
TYPES = {"container", "library", "file", "machine-learning-model"}
LENGTHS = {"SHA-256": 64}
SERIAL = re.compile(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


@pytest.fixture
def bundle(draft: Callable[..., Bundle], tmp_path: Path) -> Bundle:
    """A bundle on disk."""
    return draft(tmp_path / "bundle")


def bill(bundle: Bundle, config: PackageConfig = CONFIG, **digests: Any) -> dict[str, Any]:
    """The document of the lock above."""
    found: dict[str, Any] = json.loads(sbom(bundle, LOCK, ("0.1.0", D), config, **digests))
    return found


def problems(document: dict[str, Any]) -> Iterator[str]:
    """What the schema of CycloneDX 1.6 would refuse in a document of this kind."""
    fixed = (document.get("bomFormat"), document.get("specVersion"), document.get("version"))
    if fixed != ("CycloneDX", "1.6", 1) or not SERIAL.fullmatch(document.get("serialNumber", "")):
        yield "head"
    components = [document["metadata"]["component"], *document["components"]]
    references = [each.get("bom-ref") for each in components]
    if len(set(references)) != len(references) or not all(references):
        yield "bom-ref"
    for each in components:
        if each.get("type") not in TYPES or not each.get("name"):
            yield f"component {each}"
        for found in each.get("hashes", ()):
            size = LENGTHS.get(found.get("alg"), 0)
            if not re.fullmatch(rf"[0-9a-f]{{{size}}}", found.get("content", "")) or not size:
                yield f"hash {found}"
    for each in document["dependencies"]:
        if not {each["ref"], *each["dependsOn"]} <= set(references):
            yield f"dependency {each['ref']}"


def test_the_document_is_one_of_cyclonedx(bundle: Bundle) -> None:
    """Names, types, hashes and references are those of the schema; a broken one would be seen."""
    document = bill(bundle)
    assert list(problems(document)) == []
    document["components"][0]["hashes"] = [{"alg": "SHA256", "content": A}]
    document["components"][1]["type"] = "model"
    document["dependencies"][0]["dependsOn"].append("nothing")
    assert len(list(problems(document))) == 3


def test_everything_is_in_it_with_its_hash(bundle: Bundle) -> None:
    """Every distribution of the lock, Afterfit, and every file of the bundle."""
    found = {each["bom-ref"]: each for each in bill(bundle)["components"]}
    hashes = {ref: [h["content"] for h in each.get("hashes", ())] for ref, each in found.items()}
    assert hashes["pkg:pypi/numpy@2.4.6"] == [A, B]
    assert hashes["pkg:pypi/uvloop@0.23.0"] == [C]
    assert hashes["pkg:pypi/onnxruntime-gpu@1.31.1"] == [C]
    assert hashes["pkg:pypi/afterfit@0.1.0"] == [D]
    for name, file in bundle.manifest.files.items():
        assert hashes[f"bundle/{name}"] == [file.sha256]
    assert found["bundle/model/model.onnx"]["type"] == "machine-learning-model"


@pytest.mark.parametrize(
    ("base", "digests", "expected"),
    [
        ("python:3.11-slim", {}, [("python", "3.11-slim", "")]),
        (f"r.example.com:5000/python@sha256:{A}", {}, [("r.example.com:5000/python", "", A)]),
        (
            "oci:/home/ana/base:1",
            {"linux/amd64": f"sha256:{A}", "linux/arm64": f"sha256:{B}"},
            [("base", "", A), ("base", "", B)],
        ),
    ],
)
def test_the_base_is_named(
    bundle: Bundle, base: str, digests: dict[str, str], expected: list[tuple[str, str, str]]
) -> None:
    """By name, tag and digest; of a folder by its digests alone, since a path says who built it."""
    config = msgspec.structs.replace(CONFIG, base=base)
    found = [
        (each["name"], each.get("version", ""), each.get("hashes", [{"content": ""}])[0]["content"])
        for each in bill(bundle, config, base_digests=digests)["components"]
        if each["bom-ref"].startswith("base")
    ]
    assert found == expected


def test_equal_inputs_give_equal_bytes(bundle: Bundle) -> None:
    """The serial number follows from the content, and no time is told."""
    one, two = (sbom(bundle, LOCK, ("0.1.0", D), CONFIG) for _ in range(2))
    other = sbom(bundle, LOCK.replace(C, D), ("0.1.0", D), CONFIG)
    assert one == two
    assert json.loads(one)["serialNumber"] != json.loads(other)["serialNumber"]
    assert "timestamp" not in json.loads(one)["metadata"]
