"""A bundle, its lock and a base that are made into images in a moment."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.package.oci.fakes import Registry, base_layout, serving

from afterfit.core.bundle import Bundle
from afterfit.package.config import IndexConfig, PackageConfig
from afterfit.package.oci import image


def write_wheel(folder: Path, name: str, files: dict[str, bytes], tag: str = "py3-none-any") -> str:
    """Write a wheel; return its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-1.0.dist-info"
    path = folder / f"{name}-1.0-{tag}.whl"
    own = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for each, body in {**files, **own}.items():
            archive.writestr(zipfile.ZipInfo(each), body)
    return hashlib.sha256(path.read_bytes()).hexdigest()


MODULE = b"NAMES = frozenset({'b', 'a', 'c'})\n\n\ndef greet(name):\n    return name in NAMES\n"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library for every machine, and one for each of two."""
    folder = tmp_path_factory.mktemp("wheels")
    write_wheel(folder, "acme", {"acme/__init__.py": MODULE, "acme/old.py": b"print 1\n"})
    for machine in ("x86_64", "aarch64"):
        tag = f"cp311-cp311-manylinux2014_{machine}"
        write_wheel(folder, "fast", {"fast/core.so": machine.encode()}, tag)
    return folder


@pytest.fixture(scope="session")
def lock(wheels: Path) -> str:
    """The lock of both."""
    hashes: dict[str, list[str]] = {"acme": [], "fast": []}
    for path in sorted(wheels.glob("*.whl")):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        hashes[path.name.partition("-")[0]].append(f"--hash=sha256:{found}")
    return "".join(f"{name}==1.0 {' '.join(each)}\n" for name, each in hashes.items())


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of layers of these tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Afterfit's own wheel is a small one, and nobody's own cache is used."""

    def tiny(folder: Path) -> tuple[str, str]:
        return "afterfit-1.0-py3-none-any.whl", write_wheel(
            folder, "afterfit", {"afterfit/__init__.py": b"__version__ = '1.0'\n"}
        )

    monkeypatch.setattr(image, "write_wheel", tiny)
    monkeypatch.setenv("AFTERFIT_CACHE", str(cache))
    monkeypatch.setenv("DOCKER_CONFIG", str(cache / "nobody"))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(cache / "nobody.json"))


@pytest.fixture
def bundle(draft: Callable[..., Bundle], tmp_path: Path) -> Bundle:
    """A bundle that needs the two libraries."""
    return draft(tmp_path / "bundle", requirements="acme==1.0\nfast==1.0\n")


@pytest.fixture
def config(tmp_path: Path, wheels: Path) -> PackageConfig:
    """Settings for a small base."""
    base = base_layout(tmp_path / "base")
    return PackageConfig(
        name="churn", number=3, base=base, index=IndexConfig(wheelhouse=str(wheels))
    )


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry that keeps what it gets."""
    with serving(Registry()) as server:
        yield server
