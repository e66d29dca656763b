"""``afterfit package``: what a place needs to run a version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.package.config import (
    DEFAULT_BASE,
    DEFAULT_PORT,
    DEFAULT_PYTHON,
    IndexConfig,
    PackageConfig,
)
from afterfit.report.build import record_page
from afterfit.report.text import render

Destination = Annotated[str, Parameter(name=["--for", "--destination"], help="The kind of place.")]
Platforms = Annotated[tuple[str, ...], Parameter(negative="", help="linux/amd64, linux/arm64.")]


def package(
    ref: str,
    *,
    destination: Destination = "dockerfile",
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="Folder to write.")
    ] = None,
    base: Annotated[str, Parameter(help="Base image, best NAME@sha256:DIGEST.")] = DEFAULT_BASE,
    python: Annotated[str, Parameter(help="X.Y of the base image's Python.")] = DEFAULT_PYTHON,
    platform: Platforms = ("linux/amd64",),
    port: Annotated[int, Parameter(help="Where it listens, unless PORT says so.")] = DEFAULT_PORT,
    allow_unauthenticated: Annotated[
        bool, Parameter(negative="", help="Answer anybody who reaches the port.")
    ] = False,
    builder: Annotated[
        Literal["docker", "native"],
        Parameter(help="Who makes the image: Docker or the like, or we."),
    ] = "docker",
    image: Annotated[str, Parameter(help="Its name in a registry, without a tag.")] = "",
    vendor: Annotated[bool, Parameter(negative="", help="Put the wheels into the folder.")] = False,
    index_url: str = "",
    extra_index_url: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    wheelhouse: str = "",
    proxy: str = "",
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Write what a destination needs to run a version: a Dockerfile with everything beside it.

    Parameters
    ----------
    ref
        A version, such as churn@champion.
    index_url
        Where pip finds packages, as pip's own option.
    extra_index_url
        More such places.
    wheelhouse
        A folder of wheels, used alone.
    proxy
        A proxy for pip.

    """
    with opened(common) as space:
        version = space.registry.resolve(ref)
        config = PackageConfig(
            base=base,
            python=python,
            platforms=platform,
            port=port,
            allow_unauthenticated=allow_unauthenticated,
            builder=builder,
            image=image,
            vendor=vendor,
            index=IndexConfig(
                index_url=index_url,
                extra_index_url=extra_index_url,
                wheelhouse=wheelhouse,
                proxy=proxy,
            ),
        )
        folder = output or Path(f"{version.name}-{version.number}-{destination}")
        stored = space.package(ref, destination, folder, config)
    text = f"{render(record_page(stored))}\nWritten to {folder}"
    result = {**msgspec.to_builtins(stored), "folder": str(folder)}
    return Answer(result, text, warnings=space.warnings)
