"""What is asked of an image's settings, and what is said of them, by every way to make one."""

from __future__ import annotations

import re

from afterfit.core.finding import Finding
from afterfit.errors import UsageError
from afterfit.package.config import PackageConfig
from afterfit.package.findings import AcceleratorUntried, BaseNotPinned, OpenToAll

__all__ = ["accelerator_findings", "base_finding", "check", "open_finding"]

_PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_BASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
_LAYOUT = re.compile(r"oci:[^\n]+")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def check(config: PackageConfig, *, layout: bool = True) -> None:
    """Do nothing for settings that can be; ``layout`` allows a base from a folder. UsageError."""
    # What goes into the text of a Dockerfile must not be able to end its line.
    if not _BASE.fullmatch(config.base) and not (layout and _LAYOUT.fullmatch(config.base)):
        raise UsageError(f"not the name of an image: {config.base!r}", fix="NAME[:TAG]@sha256:…")
    if not layout and config.base.startswith("oci:"):
        raise UsageError(
            "a Dockerfile cannot name a folder as its base",
            where=f"--base {config.base}",
            fix="--builder native takes it, or name an image of a registry",
        )
    if not _NAME.fullmatch(config.name):
        raise UsageError(f"not a name for a model: {config.name!r}", fix="use a-z, 0-9, . _ -")
    if not re.fullmatch(r"3\.\d{1,2}", config.python):
        raise UsageError(f"not a version of Python: {config.python!r}", fix="write it as 3.11")
    if not 1024 <= config.port <= 65535:
        raise UsageError(
            f"not a port for a server without root: {config.port}", fix="choose 1024 to 65535"
        )


def base_finding(config: PackageConfig, *, pinned: bool | None = None) -> Finding:
    """Return whether the base is named by its digest."""
    if _PINNED.fullmatch(config.base) if pinned is None else pinned:
        return BaseNotPinned.passed("the base image is named by its digest", where=config.base)
    return BaseNotPinned.issue(
        f"the base image {config.base} is named by a tag, which moves",
        where="base",
        fix=f"--base {config.base.partition('@')[0]}@sha256:… (your builder prints the digest)",
    )


def open_finding(config: PackageConfig) -> Finding:
    """Return whether the server answers anybody."""
    if config.allow_unauthenticated:
        return OpenToAll.issue(
            f"the server answers anybody who reaches port {config.port}",
            where="CMD",
            fix="put a gateway that checks who calls in front of it, or leave the option out",
        )
    return OpenToAll.passed(
        "the server starts in the open only on a platform that checks who calls,"
        " or when it is told to: --allow-unauthenticated"
    )


def accelerator_findings(config: PackageConfig) -> list[Finding]:
    """Return that an image for a GPU was not tried; nothing for the CPU, which all was tried on."""
    if config.accelerator == "cpu":
        return []
    return [
        AcceleratorUntried.tip(
            "the image is for GPUs of NVIDIA, and was not tried on one",
            where="image",
            fix="start it there and look at accelerator in /version",
        )
    ]
