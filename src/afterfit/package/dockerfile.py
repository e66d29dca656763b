"""The destination ``dockerfile``: a folder that any builder of images turns into a small one.

Two stages: the first installs hash-locked wheels into an environment of its own, the second has
that environment and the bundle, no compiler, no pip and no root.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from afterfit.core.bundle import MANIFEST, Bundle
from afterfit.core.finding import Finding
from afterfit.core.proof import proven_file
from afterfit.package import pip
from afterfit.package.checks import accelerator_findings, base_finding, check, open_finding
from afterfit.package.config import USER_ID, PackageConfig
from afterfit.package.findings import WheelsIncluded
from afterfit.package.lock import hashed_lock
from afterfit.package.sbom import FILE as BILL
from afterfit.package.sbom import sbom
from afterfit.package.start import HEALTH, environment, labels, server_words
from afterfit.package.wheel import write_wheel

_IGNORED = "# Only what the Dockerfile copies is sent to the builder.\n*\n"
_COPIED = ("requirements.lock", "afterfit.lock", "wheels", "bundle", BILL)
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
LABEL {labels}
ENV {environ}
COPY --from=install /opt/afterfit /opt/afterfit
{copy}
USER {user}:{user}
WORKDIR /
EXPOSE {port}
HEALTHCHECK {health} CMD {probe}
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
        check(config, layout=False)
        requirements = (bundle.folder / "requirements.lock").read_text(encoding="utf-8")
        lock, hashed = hashed_lock(requirements, config)
        _write(folder / "requirements.lock", lock)
        wheels = folder / "wheels"
        wheels.mkdir()
        if config.vendor:
            pip.download(lock, config, wheels)
        wheel, digest = write_wheel(wheels)
        _write(folder / "afterfit.lock", f"./wheels/{wheel} --hash=sha256:{digest}\n")
        afterfit = (wheel.split("-")[1], digest)
        (folder / BILL).write_bytes(sbom(bundle, lock, afterfit, config))
        _copy_bundle(bundle, folder / "bundle")
        copied = [*_COPIED, _PROVEN] if config.proven else _COPIED
        if config.proven:
            (folder / _PROVEN).write_bytes(config.proven.encode())
        _write(folder / "Dockerfile", dockerfile(bundle.digest, afterfit[0], config))
        _write(folder / ".dockerignore", _IGNORED + "".join(f"!{each}\n" for each in copied))
        seen = [base_finding(config), hashed, _wheels_finding(config), open_finding(config)]
        return [*seen, *accelerator_findings(config)]


def dockerfile(digest: str, afterfit: str, config: PackageConfig) -> str:
    """Return the text of the Dockerfile for a bundle digest and a version of Afterfit."""
    server = server_words(digest, config, "/opt/afterfit/bin/python")
    allowed = ["--allow-unauthenticated"] if config.allow_unauthenticated else []
    environ = {**environment(config), "PORT": str(config.port)}
    probe = ["/opt/afterfit/bin/python", "-m", "afterfit.runtime.probe"]
    copy = f"COPY bundle /bundle\nCOPY {BILL} /" + (f"\nCOPY {_PROVEN} /" if config.proven else "")
    return TEMPLATE.format(
        digest=digest,
        name=config.name,
        port=config.port,
        flag="" if allowed else " --allow-unauthenticated",
        base=config.base,
        install=_FROM_WHEELS if config.vendor else _FROM_INDEX,
        labels=_lines(
            f"{name}={json.dumps(value)}"
            for name, value in sorted(labels(digest, afterfit, config).items())
        ),
        environ=_lines(f"{name}={value}" for name, value in sorted(environ.items())),
        health=f"--interval={HEALTH['interval_s']}s --timeout={HEALTH['timeout_s']}s "
        f"--start-period={HEALTH['start_period_s']}s --retries={HEALTH['retries']}",
        user=USER_ID,
        probe=json.dumps(probe),
        copy=copy,
        entrypoint=json.dumps(server),
        command=json.dumps(allowed),
    )


def _lines(words: Iterable[str]) -> str:
    return " \\\n    ".join(words)


def _copy_bundle(bundle: Bundle, folder: Path) -> None:
    for name in [MANIFEST, *bundle.manifest.files]:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.folder / name, target)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _wheels_finding(config: PackageConfig) -> Finding:
    if config.vendor:
        return WheelsIncluded.passed("every wheel is in the folder wheels/")
    return WheelsIncluded.tip(
        "building the image asks a package index; the hashes see to it that it is the same",
        where="Dockerfile",
        fix="--vendor puts the wheels into the folder",
    )
