"""A version as MLflow has versions: a run with its metrics, its files, tags and aliases.

Everything is looked for before it is made: a version by the tag with its digest, a run by the same
tag, a file by its size. What was cut off goes on, and what is there is not made twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from afterfit.core.bundle import Bundle
from afterfit.core.digest import canonical_json
from afterfit.core.metric import Metric
from afterfit.errors import ConflictError, ForbiddenError, NotFoundError
from afterfit.registry.mlflow.artifacts import proxy_root
from afterfit.registry.mlflow.client import Client
from afterfit.registry.mlflow.source import quoted, versions
from afterfit.registry.version import Version
from afterfit.store.files import os_errors, write_bytes

__all__ = ["Exported", "Outgoing", "RecordFile", "export"]

DIGEST, VERSION = "afterfit.digest", "afterfit.version"
EXPERIMENT = "afterfit"
_BATCH = 500
_RESERVED = re.compile(r"latest|v\d+")
_NOT_NAMED = re.compile(r"[^A-Za-z0-9_./ :-]+")


class RecordFile(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a step: its canonical bytes, when it was made (ISO 8601), its numbers."""

    step: str
    digest: str
    created: str
    body: bytes
    metrics: tuple[Metric, ...] = ()


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A version with the folder of its bundle, verified, and its evidence."""

    version: Version
    folder: Path
    records: tuple[RecordFile, ...] = ()


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What one version is at the server, and what had to be done for it.

    ``number`` is MLflow's; ``new`` says whether it was made now; ``files`` counts those sent and
    ``metrics`` those logged, ``aliases`` holds those that moved.
    """

    version: str
    digest: str
    number: str
    run: str
    new: bool = False
    files: int = 0
    metrics: int = 0
    aliases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def export(client: Client, out: Outgoing, *, take_aliases: bool = False) -> Exported:
    """Return what a version is at the server after bringing there what was not; see the module.

    An alias that points to a version which did not come from here is left, unless ``take_aliases``.
    """
    version = out.version
    _ensure_model(client, version.name)
    known = _known(client, version)
    run = _run(client, out) if known is None else str(known.get("run_id", ""))
    place = str(client.get("runs/get", run_id=run)["run"]["info"]["artifact_uri"]) if run else ""
    files = _send(client, place, out) if run else 0
    metrics = _log(client, run, out) if run else 0
    new = known is None
    if known is None:
        known = _create(client, out, run, place)
        client.post("runs/update", {"run_id": run, "status": "FINISHED"})
    number = str(known["version"])
    moved, notes = _point(client, version, number, take=take_aliases)
    if number != str(version.number):
        notes = (*notes, f"{version.name}@{version.number} is version {number} in MLflow")
    return Exported(
        version=f"{version.name}@{version.number}",
        digest=version.digest,
        number=number,
        run=run,
        new=new,
        files=files,
        metrics=metrics,
        aliases=moved,
        notes=notes,
    )


def _ensure_model(client: Client, name: str) -> None:
    try:
        client.get("registered-models/get", name=name)
    except NotFoundError:
        try:
            client.post("registered-models/create", {"name": name})
        except ConflictError:
            # Somebody else was quicker.
            return


def _known(client: Client, version: Version) -> dict[str, Any] | None:
    wanted = {DIGEST: version.digest, VERSION: _ref(version)}
    for each in versions(client, version.name):
        tags = _tags_of(each)
        if all(tags.get(key) == value for key, value in wanted.items()):
            return each
    return None


def _ref(version: Version) -> str:
    return f"{version.name}@{version.number}"


def _tags(version: Version) -> list[dict[str, str]]:
    return [{"key": DIGEST, "value": version.digest}, {"key": VERSION, "value": _ref(version)}]


def _run(client: Client, out: Outgoing) -> str:
    """Return the id of the run of a version, which an export that was cut off may have made."""
    experiment = _experiment(client)
    version = out.version
    wanted = f"tags.`{DIGEST}` = '{version.digest}' and tags.`{VERSION}` = {quoted(_ref(version))}"
    found = client.search(
        "runs/search", {"experiment_ids": [experiment], "filter": wanted, "max_results": 1}
    )
    for run in found.get("runs") or []:
        return str(run["info"]["run_id"])
    body = {
        "experiment_id": experiment,
        "run_name": _ref(version),
        "start_time": _milliseconds(version.created),
        "tags": _tags(version),
    }
    return str(client.post("runs/create", body)["run"]["info"]["run_id"])


def _experiment(client: Client) -> str:
    try:
        told = client.get("experiments/get-by-name", experiment_name=EXPERIMENT)
        return str(told["experiment"]["experiment_id"])
    except NotFoundError:
        try:
            return str(client.post("experiments/create", {"name": EXPERIMENT})["experiment_id"])
        except ConflictError:
            return _experiment(client)


def _log(client: Client, run: str, out: Outgoing) -> int:
    """Return how many numbers were logged that the run had not."""
    told = client.get("runs/get", run_id=run)["run"].get("data", {}).get("metrics") or []
    have = {str(each.get("key")) for each in told}
    new = [each for each in _metrics(out) if each["key"] not in have]
    for start in range(0, len(new), _BATCH):
        client.post("runs/log-batch", {"run_id": run, "metrics": new[start : start + _BATCH]})
    return len(new)


def _metrics(out: Outgoing) -> Iterator[dict[str, Any]]:
    """Yield each number once: ``assess.roc_auc`` with ``.low``, ``.high`` and its scope."""
    seen: set[str] = set()
    for record in out.records:
        at = _milliseconds(record.created)
        for metric in record.metrics:
            scope = f".{metric.scope}" if metric.scope not in {"", "held-out"} else ""
            bounds = (("", metric.value), (".low", metric.low), (".high", metric.high))
            for ending, value in bounds:
                name = _NOT_NAMED.sub("_", f"{record.step}.{metric.name}{scope}{ending}")[:250]
                if value is not None and math.isfinite(value) and name not in seen:
                    seen.add(name)
                    yield {"key": name, "value": float(value), "timestamp": at, "step": 0}


def _milliseconds(created: str) -> int:
    return int(datetime.fromisoformat(created).timestamp() * 1000) if created else 0


def _files(out: Outgoing) -> Iterator[tuple[str, Path | bytes]]:
    """Yield where each file goes and what it holds, MLmodel last: it says that all is there."""
    for record in out.records:
        yield f"records/{record.step}-{record.digest[:12]}.json", record.body
    names = sorted(path.relative_to(out.folder).as_posix() for path in out.folder.rglob("*")
                   if path.is_file())  # fmt: skip
    for name in names:
        yield f"bundle/{name}", out.folder / name
    yield "bundle/MLmodel", _mlmodel(out)


def _send(client: Client, place: str, out: Outgoing) -> int:
    """Return how many files had to be sent."""
    root = proxy_root(client, place)
    if root is None and not (client.server.is_local and place.startswith(("/", "file:"))):
        raise ForbiddenError(
            "the server does not take files itself",
            where=place,
            why="what it hands out is in a store that it wants its users to write to",
            fix="start it with --serve-artifacts (the default of MLflow 2 and 3)",
        )
    sent = 0
    for name, content in _files(out):
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if root is None:
            sent += _write(Path(place.removeprefix("file://")) / name, content, size)
        elif _there(client, f"{root}/{name}") != size:
            _upload(client, f"{root}/{name}", content, size)
            sent += 1
    return sent


def _write(path: Path, content: Path | bytes, size: int) -> int:
    if path.is_file() and path.stat().st_size == size:
        return 0
    with os_errors(path, "write"):
        write_bytes(path, content if isinstance(content, bytes) else content.read_bytes())
    return 1


def _upload(client: Client, path: str, content: Path | bytes, size: int) -> None:
    import io

    stream = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
    with stream:
        client.upload(path, stream, size)


def _there(client: Client, path: str) -> int | None:
    """Return the size in bytes of a file at the server; None where there is none."""
    folder, _, name = path.rpartition("/")
    try:
        listing = client.listing(folder)
    except NotFoundError:
        return None
    for each in listing:
        if each.get("path") == name and not each.get("is_dir"):
            return int(each.get("file_size") or 0)
    return None


def _create(client: Client, out: Outgoing, run: str, place: str) -> dict[str, Any]:
    version = out.version
    body = {
        "name": version.name,
        "source": f"{place.rstrip('/')}/bundle",
        "run_id": run,
        "tags": _tags(version),
        "description": f"{_ref(version)} of Afterfit, sha256:{version.digest}",
    }
    created: dict[str, Any] = client.post("model-versions/create", body)["model_version"]
    return created


def _point(
    client: Client, version: Version, number: str, *, take: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the aliases that were moved, and why others were not."""
    told = client.get("registered-models/get", name=version.name)["registered_model"]
    now = {a.get("alias"): str(a.get("version")) for a in told.get("aliases") or []}
    moved, notes = [], []
    for alias in version.aliases:
        held = now.get(alias)
        if _RESERVED.fullmatch(alias):
            notes.append(f"MLflow takes no alias called {alias}")
        elif held not in {None, number} and not (take or _is_ours(client, version.name, held)):
            notes.append(
                f"{version.name}@{alias} stays at version {held} in MLflow, which did not come "
                "from here; --take-aliases moves it"
            )
        elif held != number:
            body = {"name": version.name, "alias": alias, "version": number}
            client.post("registered-models/alias", body)
            moved.append(alias)
    return tuple(moved), tuple(notes)


def _is_ours(client: Client, name: str, number: str | None) -> bool:
    return any(
        str(each.get("version")) == number and DIGEST in _tags_of(each)
        for each in versions(client, name)
    )


def _tags_of(version: dict[str, Any]) -> dict[str, str]:
    return {str(tag.get("key")): str(tag.get("value")) for tag in version.get("tags") or []}


def _mlmodel(out: Outgoing) -> bytes:
    """Return ``MLmodel``, which is JSON and so YAML: the flavors that MLflow itself can load."""
    variant, version = Bundle(out.folder).variant, out.version
    about = {"digest": version.digest, "version": _ref(version), "file": variant.file}
    flavors: dict[str, Any] = {"afterfit": about}
    if variant.runtime == "onnx":
        flavors["onnx"] = {"data": variant.file, "providers": ["CPUExecutionProvider"]}
        loader, file = "mlflow.onnx", variant.file
        flavors["python_function"] = {"loader_module": loader, "data": file}
    return canonical_json({"flavors": flavors, "artifact_path": "bundle"}) + b"\n"
