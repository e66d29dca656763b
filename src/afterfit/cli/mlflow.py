"""``afterfit mlflow`` and ``afterfit version export``: models from an MLflow server, and to one."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from afterfit.cli.common import Common, opened
from afterfit.cli.output import Answer, table
from afterfit.core.digest import short
from afterfit.core.shell import shell_word

NONE = Common()
Uri = Annotated[str, Parameter(help="The server; MLFLOW_TRACKING_URI by default.")]


def import_(
    model: str,
    *,
    accept_change: Annotated[
        str, Parameter(help="Why to take other bytes than were imported before.")
    ] = "",
    common: Common = NONE,
) -> Answer:
    """Copy a model from MLflow into the workspace, and write what came to the audit log.

    `afterfit ship mlflow:…` does that by itself. Nothing of the model is loaded. A version whose
    bytes are others than those that were imported before is refused.

    Parameters
    ----------
    model
        mlflow:models:/NAME@ALIAS, mlflow:models:/NAME/VERSION or mlflow:runs:/RUN/PATH.

    """
    from afterfit.workspace.mlflow import bring

    with opened(common, create=True) as space:
        brought = bring(space, model, accept=accept_change)
    source = brought.source
    lines = [
        f"{source.identity} of {source.server}, {source.flavor}",
        f"digest  {source.digest}",
        f"file    {brought.file}",
        *(
            []
            if brought.code is None
            else [f"code    {brought.code}   # nothing runs it by itself"]
        ),
        f"next    afterfit trust {shell_word(brought.file)}   # what it holds",
    ]
    return Answer(
        msgspec.to_builtins(brought, enc_hook=str), "\n".join(lines), warnings=space.warnings
    )


def check(*, uri: Uri = "", common: Common = NONE) -> Answer:
    """Ask the MLflow server for its version, and tell what is unsafe about it.

    Exit 0 whatever is found; an error where the server does not answer.
    """
    import os

    from afterfit.registry.mlflow.address import server_of
    from afterfit.registry.mlflow.checks import concerns
    from afterfit.registry.mlflow.client import Client

    client = Client(server_of(uri, os.environ))
    client.get("registered-models/search", max_results=1)
    version = client.version()
    found = concerns(client)
    text = [f"MLflow {version or 'of a version it does not tell'} at {client.server.url}"]
    text += [f"! {each}" for each in found] or ["nothing to worry about was seen"]
    result = {"url": client.server.url, "version": version, "concerns": list(found)}
    return Answer(result, "\n".join(text))


def export(
    destination: Literal["mlflow"],
    ref: str = "",
    *,
    uri: Uri = "",
    take_aliases: Annotated[
        bool, Parameter(negative="", help="Move aliases of versions that did not come from here.")
    ] = False,
    common: Common = NONE,
) -> Answer:
    """Send versions, their aliases, numbers and records to an MLflow server.

    What is there is kept, and what was cut off goes on; run it after each promotion, and the
    server is a mirror. Aliases there are moved to where they point here, except from versions that
    did not come from here.

    Parameters
    ----------
    destination
        Where to: mlflow.
    ref
        A version (churn@3), or a model's name for all its versions; everything without it.

    """
    from afterfit.workspace.mlflow import exported

    with opened(common) as space:
        done = exported(space, ref, uri, take_aliases=take_aliases)
    rows = [
        (e.version, short(e.digest), e.number, "new" if e.new else "known", e.files, e.metrics,
         ", ".join(e.aliases))
        for e in done
    ]  # fmt: skip
    headings = ("version", "digest", "in MLflow", "was", "files sent", "numbers", "aliases moved")
    return Answer(msgspec.to_builtins(done), table(rows, headings), warnings=space.warnings)
