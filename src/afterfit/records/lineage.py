"""Where the data and the model of a version came from, as far as the files beside them tell."""

from __future__ import annotations

from typing import Literal

import msgspec

Agreement = Literal["same", "changed", "unchecked"]


class DataSource(msgspec.Struct, frozen=True, kw_only=True):
    """One table: ``role`` is data or train, ``digest`` that of its rows as Afterfit reads them.

    ``path`` is relative to the repository. ``hash`` (``md5:…``) and ``size`` (bytes) are what the
    ``file`` of DVC says, ``stage`` is the one of dvc.yaml that made it, ``agrees`` whether the
    bytes that were read have that hash. ``remote`` is where DVC keeps it, without credentials.
    """

    role: str
    digest: str
    path: str = ""
    file: str = ""
    hash: str = ""
    size: int | None = None
    stage: str = ""
    agrees: Agreement = "unchecked"
    remote: str = ""


class ModelSource(msgspec.Struct, frozen=True, kw_only=True):
    """A model of an MLflow server: ``asked`` for by a person, which was ``identity`` at that time.

    ``digest`` is over all files that came, ``run`` the run that made it, ``file`` the one loaded;
    ``commit`` is the Git commit that MLflow noted when it was trained.
    """

    asked: str
    identity: str
    server: str
    digest: str
    file: str
    flavor: str
    run: str = ""
    commit: str = ""
