"""What commands share: the options that every command takes, and the workspace they open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from afterfit.workspace import Workspace


@Parameter(name="*", group=Group("Every command", sort_key=9))
@dataclass(frozen=True)
class Common:
    """Options of every command."""

    workspace: Annotated[
        str | None,
        Parameter(
            name="--workspace",
            env_var="AFTERFIT_WORKSPACE",
            help="Folder or URL of records and versions (default: .afterfit).",
        ),
    ] = None
    json: Annotated[
        bool, Parameter(name="--json", negative="", help="One JSON object on stdout.")
    ] = False
    quiet: Annotated[
        bool, Parameter(name=["--quiet", "-q"], negative="", help="No narration on stderr.")
    ] = False


def folder_of(common: Common) -> Path:
    """Return the folder of the workspace on this machine; raises ConfigError."""
    from afterfit.config import load_config
    from afterfit.registry.shared.opening import open_stores
    from afterfit.registry.shared.place import place_of

    told = common.workspace or load_config().config.workspace
    return Path(told) if place_of(told) is None else open_stores(told, create=False).folder


def given_of(options: Any) -> list[str]:
    """Return the options of a class of options that were given, as they are written."""
    return [
        f"--{name.replace('_', '-')}"
        for name in options.__dataclass_fields__
        if getattr(options, name) is not None
    ]


@contextmanager
def opened(
    common: Common, overrides: Mapping[str, Any] | None = None, *, create: bool = False
) -> Iterator[Workspace]:
    """Yield the workspace with its configuration and progress on stderr.

    Raises NotFoundError where there is no workspace, unless ``create``.
    """
    # Here, because they take most of a second, and the dashboard does without them.
    from afterfit.cli.progress import TerminalProgress
    from afterfit.config import load_config
    from afterfit.workspace import Workspace

    loaded = load_config(overrides=overrides)
    with TerminalProgress(quiet=common.quiet) as progress:
        yield Workspace(common.workspace, config=loaded, progress=progress, create=create)
