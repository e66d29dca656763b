"""The destination ``oci``: an image in a layout on disk, made here without any builder."""

from __future__ import annotations

from pathlib import Path

from afterfit.core.bundle import Bundle
from afterfit.core.finding import Finding
from afterfit.core.progress import SILENT, Progress
from afterfit.package.checks import accelerator_findings, base_finding, check, open_finding
from afterfit.package.config import PackageConfig
from afterfit.package.findings import BytecodeMissing
from afterfit.package.image import IMAGE
from afterfit.package.lock import hashed_lock
from afterfit.package.oci.image import Built, build
from afterfit.package.oci.layout import Layout
from afterfit.package.oci.referrers import CARD
from afterfit.package.sbom import FILE as BILL

README = """\
# {name}, as an image

The folder `image` is an OCI image layout; its digest is
`{digest}`.

    skopeo copy oci:image:{tag} docker://{image}:{tag}
    afterfit package push . {image}:{tag}       # without skopeo
    podman pull oci:image:{tag}                         # to try it here

Run it as `docker run --read-only --cap-drop ALL --security-opt no-new-privileges
--publish 127.0.0.1:{port}:{port} {image}:{tag}{flag}`.

`afterfit package push` also sends `sbom.cdx.json`, the bill of materials, and `card.md`, the model
card, as artifacts that refer to the image: evidence may change, the image's digest does not.

The server opens no connection of its own: it answers those who connect, and needs no network
beyond that. So it runs where the network lets nothing out. Events go to standard output; only
whoever asks for it makes the server send (another sink for events, traces).
"""


class Destination:
    """Writes the folder ``image``, its bill of materials, and how to use it."""

    def write(
        self, bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
    ) -> list[Finding]:
        """Return what was seen; raises what a base, a registry or a wheel can be wrong with."""
        built, findings = write_image(bundle, folder, config, progress)
        tag = str(config.number) if config.number else "latest"
        told = README.format(
            name=config.name, digest=built.digest, tag=tag, port=config.port,
            image=config.image or f"REGISTRY/{config.name}",
            flag="" if config.allow_unauthenticated else " --allow-unauthenticated",
        )  # fmt: skip
        (folder / "README.md").write_text(told, encoding="utf-8")
        return [*findings]


def write_image(
    bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
) -> tuple[Built, tuple[Finding, ...]]:
    """Return the image in ``folder/image``, and what was seen; beside it lie bill and card."""
    (folder / IMAGE).mkdir()
    built, findings = write_layout(bundle, folder / IMAGE, config, progress)
    (folder / BILL).write_bytes(built.bill)
    if config.card:
        (folder / CARD).write_text(config.card, encoding="utf-8", newline="\n")
    return built, findings


def write_layout(
    bundle: Bundle, folder: Path, config: PackageConfig, progress: Progress = SILENT
) -> tuple[Built, tuple[Finding, ...]]:
    """Return the image that was made in the empty folder ``folder``, and what was seen."""
    check(config)
    requirements = (bundle.folder / "requirements.lock").read_text(encoding="utf-8")
    lock, hashed = hashed_lock(requirements, config)
    built = build(bundle, Layout(folder), lock, config, progress)
    pinned = all(base.pinned for base in built.bases.values())
    return built, (
        base_finding(config, pinned=pinned), hashed, _bytecode(built, config), open_finding(config),
        *accelerator_findings(config),
    )  # fmt: skip


def _bytecode(built: Built, config: PackageConfig) -> Finding:
    if built.compiled:
        return BytecodeMissing.passed(f"the modules are compiled for Python {config.python}")
    return BytecodeMissing.issue(
        f"the modules are not compiled: this is not Python {config.python}",
        where="image",
        fix=f"install Afterfit for Python {config.python}, or build the Dockerfile",
    )
