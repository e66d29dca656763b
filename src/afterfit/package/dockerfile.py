"""The destination ``dockerfile``: a folder that any builder of images turns into a small one.

Two stages: the first installs hash-locked wheels into an environment of its own, the second has
that environment and the bundle, no compiler, no pip and no root.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from afterfit.core.bundle import MANIFEST, Bundle
from afterfit.core.finding import Finding
from afterfit.core.proof import proven_file
from afterfit.errors import UsageError
from afterfit.package import pip
from afterfit.package.config import USER_ID, PackageConfig
from afterfit.package.findings import BaseNotPinned, OpenToAll, WheelsIncluded
from afterfit.package.lock import hashed_lock
from afterfit.package.wheel import write_wheel

_PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_BASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_IGNORED = "# Only what the Dockerfile copies is sent to the builder.\n*\n"
_COPIED = ("requirements.lock", "afterfit.lock", "wheels", "bundle")
_PROVEN = proven_file(Path("bundle")).name

TEMPLATE = """\
# Written by Afterfit for the bundle sha256:{digest}.
# build:  docker build --tag {name} .
# run:    docker run --read-only --cap-drop ALL --security-opt no-new-privileges \\
#           --publish 127.0.0.1:{port}:{port} {name}{flag}
# As it is on SageMaker, Vertex AI, Azure ML, KServe, Knative and Cloud Run: the server sees where
# it runs, and takes port and paths from there.
ARG BASE={base}

FROM ${{BASE}} AS install
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PYTHONHASHSEED=0
RUN python3 -m venv /opt/afterfit
COPY requirements.lock afterfit.lock ./
COPY wheels ./wheels
{install}
RUN /opt/afterfit/bin/python -m pip install --no-compile --no-index --no-deps --require-hashes \\
      --requirement afterfit.lock \\
 && /opt/afterfit/bin/python -m pip uninstall --yes pip setuptools \\
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/afterfit/lib

FROM ${{BASE}}
LABEL afterfit.bundle="sha256:{digest}" \\
      afterfit.version="{afterfit}" \\
      org.opencontainers.image.title="{name}" \\
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
ENV ORT_DISABLE_TELEMETRY=1 \\
    PORT={port} \\
    PYTHONDONTWRITEBYTECODE=1 \\
    PYTHONUNBUFFERED=1
COPY --from=install /opt/afterfit /opt/afterfit
{copy}
USER {user}:{user}
WORKDIR /
EXPOSE {port}
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD {probe}
ENTRYPOINT {entrypoint}
CMD {command}
"""
_FROM_WHEELS = """\
RUN /opt/afterfit/bin/python -m pip install --no-compile --no-index --find-links wheels \\
      --only-binary :all: --require-hashes --requirement requirements.lock"""
_FROM_INDEX = """\
# Another index, its credentials or a proxy: build with --secret id=pip,src=pip.conf
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \\
    /opt/afterfit/bin/python -m pip install --no-compile \\
      --only-binary :all: --require-hashes --requirement requirements.lock"""


class Destination:
    """Writes Dockerfile, .dockerignore, locks, wheels and the bundle."""

    def write(self, bundle: Bundle, folder: Path, config: PackageConfig) -> list[Finding]:
        """Return what was seen; raises UsageError, InputError, UnavailableError."""
        _check(config)
        requirements = (bundle.folder / "requirements.lock").read_text(encoding="utf-8")
        lock, hashed = hashed_lock(requirements, config)
        _write(folder / "requirements.lock", lock)
        wheels = folder / "wheels"
        wheels.mkdir()
        if config.vendor:
            pip.download(lock, config, wheels)
        wheel, digest = write_wheel(wheels)
        _write(folder / "afterfit.lock", f"./wheels/{wheel} --hash=sha256:{digest}\n")
        _copy_bundle(bundle, folder / "bundle")
        copied = [*_COPIED, _PROVEN] if config.proven else _COPIED
        if config.proven:
            (folder / _PROVEN).write_bytes(config.proven.encode())
        _write(folder / "Dockerfile", dockerfile(bundle.digest, wheel.split("-")[1], config))
        _write(folder / ".dockerignore", _IGNORED + "".join(f"!{each}\n" for each in copied))
        return [_base_finding(config), hashed, _wheels_finding(config), _open_finding(config)]


def dockerfile(digest: str, afterfit: str, config: PackageConfig) -> str:
    """Return the text of the Dockerfile for a bundle digest and a version of Afterfit."""
    model = f"{config.name}@{config.number}" if config.number else config.name
    server = ["/opt/afterfit/bin/python", "-m", "afterfit.runtime", "--host", "0.0.0.0"]  # noqa: S104 - inside a container
    # The port is no option here: a platform's, or whoever sets PORT, must win over the image's.
    server += ["--name", config.name, "--events", "-", "--bundle", f"{model}=/bundle"]
    # The bundle that was packaged may bring code; one that is put in its place may not.
    server += ["--trust", f"sha256:{digest}"]
    allowed = ["--allow-unauthenticated"] if config.allow_unauthenticated else []
    probe = ["/opt/afterfit/bin/python", "-m", "afterfit.runtime.probe"]
    copy = "COPY bundle /bundle" + (f"\nCOPY {_PROVEN} /" if config.proven else "")
    return TEMPLATE.format(
        digest=digest,
        name=config.name,
        port=config.port,
        flag="" if allowed else " --allow-unauthenticated",
        base=config.base,
        install=_FROM_WHEELS if config.vendor else _FROM_INDEX,
        afterfit=afterfit,
        user=USER_ID,
        probe=json.dumps(probe),
        copy=copy,
        entrypoint=json.dumps(server),
        command=json.dumps(allowed),
    )


def _check(config: PackageConfig) -> None:
    # What goes into the text of a Dockerfile must not be able to end its line.
    if not _BASE.fullmatch(config.base):
        raise UsageError(f"not the name of an image: {config.base!r}", fix="NAME[:TAG]@sha256:…")
    if not _NAME.fullmatch(config.name):
        raise UsageError(f"not a name for a model: {config.name!r}", fix="use a-z, 0-9, . _ -")
    if not re.fullmatch(r"3\.\d{1,2}", config.python):
        raise UsageError(f"not a version of Python: {config.python!r}", fix="write it as 3.11")
    if not 1024 <= config.port <= 65535:
        raise UsageError(
            f"not a port for a server without root: {config.port}", fix="choose 1024 to 65535"
        )


def _copy_bundle(bundle: Bundle, folder: Path) -> None:
    for name in [MANIFEST, *bundle.manifest.files]:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.folder / name, target)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _base_finding(config: PackageConfig) -> Finding:
    if _PINNED.fullmatch(config.base):
        return BaseNotPinned.passed("the base image is named by its digest", where=config.base)
    return BaseNotPinned.issue(
        f"the base image {config.base} is named by a tag, which moves",
        where="Dockerfile",
        fix=f"--base {config.base.partition('@')[0]}@sha256:… (your builder prints the digest)",
    )


def _wheels_finding(config: PackageConfig) -> Finding:
    if config.vendor:
        return WheelsIncluded.passed("every wheel is in the folder wheels/")
    return WheelsIncluded.tip(
        "building the image asks a package index; the hashes see to it that it is the same",
        where="Dockerfile",
        fix="--vendor puts the wheels into the folder",
    )


def _open_finding(config: PackageConfig) -> Finding:
    if config.allow_unauthenticated:
        return OpenToAll.issue(
            f"the server answers anybody who reaches port {config.port}",
            where="Dockerfile",
            fix="put a gateway that checks who calls in front of it, or leave the option out",
        )
    return OpenToAll.passed(
        "the server starts in the open only on a platform that checks who calls,"
        " or when it is told to: --allow-unauthenticated"
    )
