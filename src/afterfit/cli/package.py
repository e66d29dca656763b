"""``afterfit package``: what a place needs to run a version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Group, Parameter

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
from afterfit.workspace.placed import choice_told

Destination = Annotated[str, Parameter(name=["--for", "--destination"], help="The kind of place.")]
Platforms = Annotated[tuple[str, ...], Parameter(negative="", help="linux/amd64, linux/arm64.")]


@Parameter(name="*", group=Group("Where pip finds packages", sort_key=5))
@dataclass(frozen=True)
class Index:
    """Where pip finds packages; what is not given is left to the settings of pip itself."""

    index_url: Annotated[str, Parameter(help="An index, as pip's own option.")] = ""
    extra_index_url: Annotated[tuple[str, ...], Parameter(negative="", help="More of them.")] = ()
    wheelhouse: Annotated[str, Parameter(help="A folder of wheels, used alone.")] = ""
    proxy: Annotated[str, Parameter(help="A proxy for pip.")] = ""

    def config(self) -> IndexConfig:
        """Return them as `package` takes them."""
        return IndexConfig(
            index_url=self.index_url,
            extra_index_url=self.extra_index_url,
            wheelhouse=self.wheelhouse,
            proxy=self.proxy,
        )


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
    accelerator: Annotated[
        Literal["cpu", "cuda"], Parameter(help="What computes; cuda: a GPU of NVIDIA.")
    ] = "cpu",
    index: Index = Index(),
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Write what a destination needs to run a version: a Dockerfile with everything beside it.

    Parameters
    ----------
    ref
        A version, such as churn@champion.

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
            accelerator=accelerator,
            index=index.config(),
        )
        folder = output or Path(f"{version.name}-{version.number}-{destination}")
        stored = space.package(ref, destination, folder, config)
        choice = choice_told(space, version)
    text = "\n".join(filter(None, (render(record_page(stored)), choice, f"Written to {folder}")))
    result = {**msgspec.to_builtins(stored), "folder": str(folder), "platforms": choice}
    return Answer(result, text, warnings=space.warnings)
