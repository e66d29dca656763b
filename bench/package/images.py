"""What images hold and how they are built: ours beside MLflow's and BentoML's, of a small model.

No image of a peer is built, for that needs Debian's servers: measured is the environment that its
Dockerfile would install (site-packages of ENV without pip and setuptools), without its base image
and without the Debian packages that it adds. Ours is measured in the same way, from the layers of
an image that was made; bytecode is told apart. Ours computes by ONNX Runtime, the peers by
scikit-learn.

    python bench/package/images.py --ours IMAGE --dockerfile OURS --hadolint BINARY
        --mlflow ENV DOCKERFILE --bentoml ENV DOCKERFILE
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "images.json"
NOT_SERVED = re.compile(r"(pip|setuptools|_distutils_hack|distutils-precedence\.pth)\b")


def site_packages(environment: Path) -> dict[str, Any]:
    """Bytes and distributions of an environment, without pip, setuptools and bytecode."""
    (folder,) = environment.glob("lib/python3.*/site-packages")
    found = [path for path in folder.iterdir() if not NOT_SERVED.match(path.name)]
    files = [file for each in found for file in ([each] if each.is_file() else each.rglob("*"))]
    plain = [f for f in files if f.is_file() and not f.is_symlink() and f.suffix != ".pyc"]
    return {
        "bytes": sum(file.stat().st_size for file in plain),
        "packages": sum(each.name.endswith(".dist-info") for each in found),
    }


def layers(image: Path) -> dict[str, Any]:
    """Bytes and distributions of the last three layers of an image layout, as ours has them."""

    def blob(digest: str) -> Path:
        return image / "blobs" / digest.replace(":", "/")

    index = json.loads((image / "index.json").read_text())
    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
    made = manifest["layers"][-3:]
    size = compiled = packages = 0
    for layer in made:
        with tarfile.open(blob(layer["digest"])) as tar:
            for entry in tar:
                of_bytecode = entry.name.endswith(".pyc")
                compiled += entry.size if of_bytecode else 0
                size += 0 if of_bytecode else entry.size
                packages += entry.name.endswith(".dist-info/METADATA")
    return {"bytes": size, "bytecode_bytes": compiled, "packages": packages,
            "compressed_bytes": sum(layer["size"] for layer in made)}  # fmt: skip


def facts(dockerfile: Path, hadolint: str) -> dict[str, Any]:
    """What the text of a Dockerfile says, and what hadolint says of it."""
    text = dockerfile.read_text()
    user = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    base = re.findall(r"^(?:ARG BASE=|FROM )([^$\s]+)", text, re.MULTILINE)[0]
    said = subprocess.run([hadolint, "--format", "json", str(dockerfile)],
                          capture_output=True, text=True, check=False).stdout  # fmt: skip
    installs = re.findall(r"pip install(?:[^\n]*\\\n)*[^\n]*", text)
    return {
        "user": user[-1] if user else "root",
        "base": base,
        "base_pinned": "@sha256:" in base,
        "every_install_has_hashes": all("--require-hashes" in each for each in installs),
        "healthcheck": bool(re.search(r"^HEALTHCHECK", text, re.MULTILINE)),
        "bill_of_materials": "sbom" in text,
        "debian_packages": re.findall(r"apt-get install ([^\n;&]*)", text),
        "hadolint": sorted(f"{each['code']} {each['level']}" for each in json.loads(said or "[]")),
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--dockerfile", type=Path, required=True)
    parser.add_argument("--mlflow", type=Path, nargs=2, required=True)
    parser.add_argument("--bentoml", type=Path, nargs=2, required=True)
    parser.add_argument("--hadolint", required=True)
    given = parser.parse_args()
    found = {"afterfit": {**layers(given.ours), **facts(given.dockerfile, given.hadolint)}}
    for name in ("mlflow", "bentoml"):
        environment, dockerfile = getattr(given, name)
        found[name] = {**site_packages(environment), **facts(dockerfile, given.hadolint)}
    machine = {"platform": platform.platform(), "processors": os.cpu_count()}
    RESULTS.write_text(json.dumps({"machine": machine, "images": found}, indent=1) + "\n")
    for name, each in found.items():
        print(f"{name:10} {each['bytes'] / 1e6:6.0f} MB {each['packages']:4} packages  {each}")


if __name__ == "__main__":
    main()
