"""``afterfit platforms probe``: a kit that measures a version on the finalists' machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer
from afterfit.errors import UsageError
from afterfit.workspace.probing import Wanted, emit_probe

__all__ = ["probe"]


def probe(
    ref: str,
    *,
    offers: Annotated[
        tuple[str, ...],
        Parameter(name="--for", negative="", help="An offer, as aws-ec2/us-east-1/m7i.large."),
    ] = (),
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="Folder to write.")
    ] = None,
    slo: Annotated[str, Parameter(help="The objective; that of its load test without it.")] = "",
    cores: Annotated[int, Parameter(help="vCPUs of the replica; as its load test had.")] = 0,
    seconds: Annotated[float, Parameter(help="That a probe takes, 40 to 600.")] = 600.0,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Answer:
    """Write a kit that measures one replica of a version on a finalist's machine in ten minutes.

    The folder has the image that would ship, what sends load to it, and a README with the commands
    that start each machine and what that costs. Nothing is started and nothing is fetched.

    Parameters
    ----------
    ref
        A version, such as churn@champion; its newest choice of platforms names the finalists.

    """
    if not 40 <= seconds <= 600 or cores < 0:
        raise UsageError(
            f"--seconds {seconds:g} --cores {cores}: not possible", where="--seconds, --cores",
            why="a probe takes 40 to 600 s, and a replica at least one vCPU",
            fix="--seconds 600 --cores 1",
        )  # fmt: skip
    with opened(common) as space:
        folder = output or Path(f"{space.registry.resolve(ref).name}-probe")
        wanted = Wanted(offers=offers, slo=slo, cores=cores, seconds=seconds)
        made = emit_probe(space, ref, folder, wanted)
        warnings = space.warnings
    lines = [f"Written to {made.folder}, for:", *(f"  {each.title}" for each in made.offers)]
    lines += [
        f"See {made.folder / 'README.md'}. On each machine: sh probe.sh --machine …",
        f"Then: afterfit platforms {ref} --probes FOLDER",
    ]
    result = {
        "folder": str(made.folder),
        "asked": msgspec.to_builtins(made.asked),
        "offers": [each.id for each in made.offers],
    }
    return Answer(result, "\n".join(lines), warnings=warnings)
