"""Makes the image of a bundle: a base, wheels, Afterfit and the bundle, each a layer of its own.

Nothing is run: neither a build tool nor anything out of a wheel. The same bundle, base, locks and
Python give the same digest in any folder, at any time, for any user.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from afterfit.core.bundle import MANIFEST as BUNDLE_MANIFEST
from afterfit.core.bundle import Bundle
from afterfit.core.progress import SILENT, Progress
from afterfit.core.proof import proven_file
from afterfit.package import pip
from afterfit.package.config import USER_ID, PackageConfig
from afterfit.package.oci import bytecode, layers
from afterfit.package.oci import install as installing
from afterfit.package.oci.base import Base, take_base
from afterfit.package.oci.cache import LayerCache, cache_folder
from afterfit.package.oci.install import compile_all, install
from afterfit.package.oci.interpreter import check_python
from afterfit.package.oci.layers import Content, Layer, tree
from afterfit.package.oci.layout import (
    CONFIG,
    INDEX,
    MANIFEST,
    Descriptor,
    Index,
    Layout,
    Manifest,
    Platform,
)
from afterfit.package.sbom import FILE as BILL
from afterfit.package.sbom import sbom
from afterfit.package.start import HEALTH, environment, labels, server_words
from afterfit.package.wheel import write_wheel
from afterfit.store.files import os_errors

__all__ = ["Built", "build"]

LIBRARY = "/opt/afterfit/lib"
EPOCH = "1970-01-01T00:00:00Z"
_NS = 1_000_000_000


@dataclass(frozen=True)
class Built:
    """An image that lies in a layout: its digest, and for each platform what it is made of.

    ``added`` are bytes of our layers, compressed and as files; ``compiled`` says whether the
    modules came with bytecode, which needs the image's own version of Python here.
    """

    digest: str
    bases: dict[str, Base]
    added: dict[str, tuple[int, int]]
    compiled: bool
    bill: bytes


def build(
    bundle: Bundle, layout: Layout, lock: str, config: PackageConfig, progress: Progress = SILENT
) -> Built:
    """Return the image that was written to ``layout`` for all platforms of ``config``.

    ``lock`` has the hashes of the wheels. Raises NotFoundError, IntegrityError, ForbiddenError,
    UnavailableError, InputError for the base, InputError for wheels.
    """
    layout.create()
    compiled = f"{sys.version_info.major}.{sys.version_info.minor}" == config.python
    platforms = {name: Platform(name.partition("/")[2]) for name in config.platforms}
    bases = {
        name: take_base(config.base, each, layout, progress) for name, each in platforms.items()
    }
    cache = LayerCache(cache_folder())
    for each in bases.values():
        check_python(each, layout, config.python, cache)
    manifests, added = [], {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "own").mkdir()
        wheel = write_wheel(scratch / "own")
        digests = {name: base.digest for name, base in bases.items()}
        bill = sbom(bundle, lock, (wheel[0].split("-")[1], wheel[1]), config, base_digests=digests)
        for name, platform in platforms.items():
            parts = Parts(bundle, lock, bill, scratch, wheel[1], compiled, cache)
            made = _layers(layout, parts, config, name, progress)
            manifests.append(_manifest(bundle.digest, layout, bases[name], made, config, platform))
            added[name] = (
                sum(each.descriptor.size for each in made), sum(each.files_size for each in made)
            )  # fmt: skip
    top = manifests[0]
    if len(manifests) > 1:
        top = layout.put_json(Index(manifests=tuple(manifests)), INDEX)
    layout.name(top, str(config.number) if config.number else "latest")
    return Built(top.digest, bases, added, compiled, bill)


@dataclass(frozen=True)
class Parts:
    """What layers are made of; ``scratch`` has Afterfit's wheel, whose SHA-256 is ``wheel``."""

    bundle: Bundle
    lock: str
    bill: bytes
    scratch: Path
    wheel: str
    compiled: bool
    cache: LayerCache


def _layers(
    layout: Layout, parts: Parts, config: PackageConfig, platform: str, progress: Progress
) -> list[Layer]:
    """Return the layers, what changes least first."""
    scratch = parts.scratch / platform.replace("/", "-")

    def fetched() -> Path:
        progress.step(f"fetch wheels for {platform}")
        only = msgspec.structs.replace(config, platforms=(platform,))
        pip.download(parts.lock, only, scratch / "wheels")
        return scratch / "wheels"

    def laid_out(wheels: Callable[[], Path], note: str, *made_of: str) -> Layer:
        key = [note, *made_of, *_maker(compiled=parts.compiled)]
        known = parts.cache.take(key, layout)
        if known is not None:
            return known
        # Named by what is there afterwards too: TMPDIR.
        with os_errors(parts.scratch.parent, "unpack wheels in"):
            folder = wheels()
            progress.step(f"lay out {note} for {platform}")
            target = scratch / f"{folder.name}-files"
            install(folder.glob("*.whl"), target)
            if parts.compiled:
                progress.step(f"compile {note} for {platform}")
                compile_all(target, LIBRARY)
        progress.step(f"compress {note} for {platform}")
        made = _layer(layout, tree(target, LIBRARY.lstrip("/")), note)
        parts.cache.keep(key, made, layout)
        return made

    return [
        laid_out(fetched, "the locked wheels", parts.lock, platform, config.python),
        laid_out(lambda: parts.scratch / "own", "Afterfit", parts.wheel),
        _layer(layout, _bundle_files(parts, config), "the bundle"),
    ]


def _maker(*, compiled: bool) -> list[str]:
    """Return what decides how equal files become a layer: this code, zlib, Python's compiler."""
    own = (installing, layers, bytecode)
    code = [hashlib.sha256(Path(str(each.__file__)).read_bytes()).hexdigest() for each in own]
    return [*code, zlib.ZLIB_RUNTIME_VERSION, sys.version if compiled else ""]


def _layer(layout: Layout, contents: Iterable[Content], note: str) -> Layer:
    partial = layout.folder / "blobs" / "sha256" / "layer.partial"
    made = layers.layer_file(partial, contents, note)
    partial.replace(layout.path(made.descriptor.digest))
    return made


def _bundle_files(parts: Parts, config: PackageConfig) -> Iterable[Content]:
    bundle = parts.bundle
    yield Content(BILL, parts.bill)
    for name in [BUNDLE_MANIFEST, *bundle.manifest.files]:
        yield Content(f"bundle/{name}", bundle.folder / name)
    if config.proven:
        yield Content(proven_file(Path("bundle")).name, config.proven.encode())


def _manifest(
    digest: str,
    layout: Layout,
    base: Base,
    made: list[Layer],
    config: PackageConfig,
    platform: Platform,
) -> Descriptor:
    from afterfit import __version__

    said = dict(labels(digest, __version__, config))
    body = layout.put_json(_configuration(digest, base, made, config, platform, said), CONFIG)
    said |= {"org.opencontainers.image.base.digest": base.digest}
    if not base.named.startswith("oci:"):
        said |= {"org.opencontainers.image.base.name": base.named}
    manifest = Manifest(
        config=body,
        layers=(*base.layers, *(each.descriptor for each in made)),
        annotations=dict(sorted(said.items())),
    )
    return layout.put_json(manifest, MANIFEST, platform=platform)


def _configuration(
    digest: str,
    base: Base,
    made: list[Layer],
    config: PackageConfig,
    platform: Platform,
    said: dict[str, str],
) -> dict[str, Any]:
    """Return the base's configuration with what ours changes of it."""
    under: dict[str, Any] = base.config.get("config") or {}
    environ = dict(word.partition("=")[::2] for word in under.get("Env") or ())
    environ.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    environ |= {**environment(config), "PORT": str(config.port), "PYTHONPATH": LIBRARY,
                "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1"}  # fmt: skip
    probe = ["python3", "-m", "afterfit.runtime.probe"]
    told = {
        "User": f"{USER_ID}:{USER_ID}",
        "WorkingDir": "/",
        "Env": [f"{name}={value}" for name, value in sorted(environ.items())],
        "Entrypoint": server_words(digest, config, "python3"),
        "Cmd": ["--allow-unauthenticated"] if config.allow_unauthenticated else [],
        "ExposedPorts": {f"{config.port}/tcp": {}},
        "Labels": dict(sorted({**(under.get("Labels") or {}), **said}.items())),
        "Healthcheck": {
            "Test": ["CMD", *probe],
            "Interval": HEALTH["interval_s"] * _NS,
            "Timeout": HEALTH["timeout_s"] * _NS,
            "StartPeriod": HEALTH["start_period_s"] * _NS,
            "Retries": HEALTH["retries"],
        },
    }
    kept = {name: value for name, value in under.items() if name == "StopSignal"}
    below = base.config.get("rootfs", {}).get("diff_ids", [])
    history = [*base.config.get("history", [])]
    history += [{"created": EPOCH, "created_by": f"afterfit: {each.note}"} for each in made]
    return {
        "architecture": platform.architecture,
        "os": platform.os,
        "created": EPOCH,
        "config": {**kept, **told},
        "rootfs": {"type": "layers", "diff_ids": [*below, *(each.diff_id for each in made)]},
        "history": history,
    }
