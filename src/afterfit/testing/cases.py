"""Cases that ``afterfit version cases`` exported, asked again of a server or a version.

The file for pytest that stands beside the cases imports these names, so they stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from afterfit.core import frame as frames
from afterfit.core.bundle import Bundle
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Signature
from afterfit.errors import IntegrityError, UnavailableError
from afterfit.models.hosted import HostedVariant
from afterfit.records.robustness_cases import ExportedCases, KeptCase
from afterfit.registry.shared.opening import open_stores
from afterfit.robustness.probe import Asked, ask_in_words, verdict
from afterfit.robustness.replay import Ask, Seen, replayed, rows_of
from afterfit.runtime.client import Client, HttpReply
from afterfit.store.files import read_bytes

__all__ = ["Target", "opened_target", "read_cases"]

PATH = "/predict"
_ROW = re.compile(r"\$\.rows(\[\d+\])?")


@dataclass(frozen=True)
class Target:
    """What answers: a server or a version."""

    signature: Signature
    ask: Ask

    def replay(self, case: KeptCase) -> Seen:
        """Return what became of a case; raises UnavailableError where no server answers."""
        return replayed(self.ask, self.signature, case)


def read_cases(path: Path) -> ExportedCases:
    """Return an exported document; raises NotFoundError or IntegrityError."""
    try:
        return msgspec.json.decode(read_bytes(path), type=ExportedCases)
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            "no exported cases",
            where=str(path),
            why=str(error),
            fix="afterfit version cases NAME@champion -o FOLDER",
        ) from None


@contextmanager
def opened_target(exported: ExportedCases) -> Iterator[Target]:
    """Yield the server that AFTERFIT_URL names, else the version AFTERFIT_REF of the workspace."""
    url = os.environ.get("AFTERFIT_URL", "")
    if url:
        with Client(url) as client:
            yield Target(exported.signature, partial(_asked, client, exported.signature))
        return
    place = os.environ.get("AFTERFIT_WORKSPACE", ".afterfit")
    registry = open_stores(place).registry
    version = registry.resolve(os.environ.get("AFTERFIT_REF", exported.ref))
    bundle = Bundle(registry.checkout(version))
    with HostedVariant(bundle.folder, bundle.variant, bundle.signature) as model:
        yield Target(exported.signature, partial(ask_in_words, model))


def _asked(client: Client, signature: Signature, rows: Frame) -> Asked:
    """Return what a server says of rows: a 4xx that names a column is a refusal, others a crash."""
    body = msgspec.json.encode({"rows": rows_of(rows)})
    key = os.environ.get("AFTERFIT_KEY", "")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    reply = client.request("POST", PATH, body, content_type="application/json", **headers)
    if reply.status in {401, 403, 404, 429}:
        raise UnavailableError(
            f"the server does not take the request: status {reply.status}",
            where=f"{client.address}{PATH}",
            why=_words(reply),
            fix="look at AFTERFIT_URL, and at AFTERFIT_KEY where the server asks for a key",
        )
    if reply.status != 200:
        refused = 400 <= reply.status < 500 and (not frames.row_count(rows) or _named(reply))
        return None, "refused" if refused else "crashed", _words(reply)
    try:
        answer = _predictions(signature, reply.json()["predictions"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        return None, "crashed", f"an answer that cannot be read: {error}"
    return answer, *verdict(answer)


def _named(reply: HttpReply) -> bool:
    """Return whether a refusal names a column, and not the row as a whole or nothing."""
    try:
        fields = reply.json()["fields"]
        return any(not _ROW.fullmatch(field["path"]) for field in fields)
    except (msgspec.MsgspecError, KeyError, TypeError):
        return False


def _words(reply: HttpReply) -> str:
    return f"status {reply.status}: {reply.body[:200].decode('utf-8', 'replace')}"


def _predictions(signature: Signature, rows: list[dict[str, Any]]) -> Predictions:
    if signature.task == "regression":
        return Predictions(values=np.array([row["value"] for row in rows], dtype=np.float64))
    labels = [str(label) for label in signature.classes]
    codes = np.array([labels.index(str(row["label"])) for row in rows], dtype=np.int64)
    if not rows or "probabilities" not in rows[0]:
        return Predictions(codes=codes)
    told = [[row["probabilities"][label] for label in labels] for row in rows]
    return Predictions(probabilities=np.array(told, dtype=np.float64), codes=codes)
