"""``afterfit init``: write a commented ``afterfit.toml``."""

from __future__ import annotations

import shlex
from pathlib import Path

from afterfit.cli.common import Common
from afterfit.cli.output import Answer
from afterfit.config import FILE_NAME, template
from afterfit.errors import ConflictError, NotFoundError
from afterfit.store.files import os_error


def init(folder: Path = Path(), *, common: Common = Common()) -> Answer:  # noqa: B008 - frozen
    """Write a commented afterfit.toml, with the gates that decide what is promoted.

    Parameters
    ----------
    folder
        Where to write it.

    """
    path = folder / FILE_NAME
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(template())
    except FileExistsError:
        raise ConflictError(
            f"{FILE_NAME} exists already",
            where=str(path),
            fix=f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}   # or change it",
        ) from None
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no folder {folder}",
            where=str(path),
            fix=f"mkdir -p {shlex.quote(str(folder))}",
        ) from None
    except OSError as error:
        raise os_error(error, path, "write") from None
    return Answer(
        {"path": str(path)}, f"Wrote {path}. Next: afterfit ship MODEL --data … --target …"
    )
