"""What a person names in MLflow, and the files that it means at this moment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from afterfit.errors import InputError, NotFoundError, UsageError
from afterfit.registry.mlflow.client import Client

__all__ = ["PREFIX", "Found", "Source", "commit_of", "quoted", "resolve", "source_of", "versions"]

PREFIX = "mlflow:"
_LOGGED = re.compile(r"m-[0-9a-f]{32}")


@dataclass(frozen=True)
class Source:
    """``models:/NAME@ALIAS``, ``models:/NAME/NUMBER``, ``models:/m-ID`` or ``runs:/ID/PATH``."""

    scheme: str
    name: str
    selector: str = ""
    alias: bool = False

    def __str__(self) -> str:
        """Return it as MLflow writes it."""
        between = "@" if self.alias else "/" if self.selector else ""
        return f"{self.scheme}:/{self.name}{between}{self.selector}"

    @property
    def title(self) -> str:
        """What a model from it is called where nobody names it."""
        if self.scheme == "models":
            return self.name
        return self.selector.rpartition("/")[2] or "model"


@dataclass(frozen=True)
class Found:
    """The version, logged model or run that is meant now; ``identity`` is that without aliases.

    ``artifacts`` is where its files are, ``path`` the folder of the model below that. ``name`` and
    ``number`` are those of a registered model, else empty; ``run`` is the run that made it.
    """

    identity: str
    artifacts: str
    path: str = ""
    name: str = ""
    number: str = ""
    run: str = ""
    tags: tuple[tuple[str, str], ...] = ()


def source_of(text: str) -> Source:
    """Return what ``mlflow:models:/churn@champion`` names; raises UsageError."""
    scheme, colon, rest = text.removeprefix(PREFIX).partition(":")
    parts = [unquote(part) for part in rest.strip("/").split("/")]
    if colon and scheme == "models" and len(parts) <= 2 and all(parts):
        name, at, alias = parts[0].rpartition("@") if len(parts) == 1 else (parts[0], "", "")
        if at and name and alias:
            return Source("models", name, alias, alias=True)
        selector = parts[1] if len(parts) == 2 else ""
        if (not at and selector) or (not at and _LOGGED.fullmatch(parts[0])):
            return Source("models", parts[0], selector)
    if colon and scheme == "runs" and len(parts) > 1 and all(parts) and ".." not in parts:
        return Source("runs", parts[0], "/".join(parts[1:]))
    raise UsageError(
        f"not a model in MLflow: {text[:200]!r}",
        why="it is mlflow:models:/NAME@ALIAS, mlflow:models:/NAME/VERSION, mlflow:models:/m-ID or "
        "mlflow:runs:/RUN/PATH",
        fix="afterfit ship mlflow:models:/churn@champion --data test.csv --target LABEL",
    )


def resolve(client: Client, source: Source) -> Found:
    """Return where the files of a source are now; raises NotFoundError and the client's errors."""
    if source.scheme == "runs":
        return _run(client, source)
    if _LOGGED.fullmatch(source.name) and not source.selector:
        return _logged(client, source.name)
    return _registered(client, _version(client, source))


def _version(client: Client, source: Source) -> Mapping[str, Any]:
    """Return the version of a registered model that an alias, a number or ``latest`` means."""
    if source.alias:
        return _object(_aliased(client, source), "model_version")
    if source.selector == "latest":
        found = versions(client, source.name)
        if not found:
            raise NotFoundError(
                f"{source.name} has no version in MLflow",
                where=client.server.url,
                fix=f"look at {client.server.url}/#/models/{source.name}",
            )
        return max(found, key=lambda each: int(each["version"]))
    if not re.fullmatch(r"[1-9][0-9]{0,8}", source.selector):
        raise UsageError(
            f"{source.selector!r} is no number of a version",
            why="stages (Production, Staging) go away in MLflow: a name that moves is an alias",
            fix=f"mlflow:models:/{source.name}@ALIAS",
        )
    told = client.get("model-versions/get", name=source.name, version=source.selector)
    return _object(told, "model_version")


def _aliased(client: Client, source: Source) -> Mapping[str, Any]:
    try:
        return client.get("registered-models/alias", name=source.name, alias=source.selector)
    except (InputError, NotFoundError) as error:
        # MLflow calls a missing alias a wrong parameter.
        raise NotFoundError(
            f"{source} is not in MLflow",
            where=client.server.url,
            why=error.why,
            fix="look at the model's aliases there, or name a number: models:/NAME/NUMBER",
        ) from None


def versions(client: Client, name: str) -> list[dict[str, Any]]:
    """Return every version of a registered model, as MLflow tells it."""
    found: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"filter": f"name={quoted(name)}", "max_results": 1000}
    for _ in range(1000):
        told = client.get("model-versions/search", **asked)
        found += [each for each in told.get("model_versions") or [] if each.get("version")]
        if not told.get("next_page_token"):
            return found
        asked["page_token"] = told["next_page_token"]
    return found


def quoted(text: str) -> str:
    """Return a text as MLflow's filters take it; raises UsageError for one with both quotes."""
    if "'" not in text:
        return f"'{text}'"
    if '"' in text:
        raise UsageError(
            f"MLflow cannot be asked for a name with both kinds of quotes: {text!r}",
            fix="give the model another name there",
        )
    return f'"{text}"'


def _registered(client: Client, version: Mapping[str, Any]) -> Found:
    name, number = str(version.get("name", "")), str(version.get("version", ""))
    if version.get("status") not in {None, "READY"}:
        raise NotFoundError(
            f"{name} {number} is not ready in MLflow",
            why=f"its status is {version.get('status')}: {version.get('status_message', '')}",
            fix="wait until it was registered, then run the same command again",
        )
    source = str(version.get("source", ""))
    logged = source.removeprefix("models:/")
    if source.startswith("models:/") and _LOGGED.fullmatch(logged):
        place = _logged(client, logged).artifacts
    else:
        asked = client.get("model-versions/get-download-uri", name=name, version=number)
        place = str(asked.get("artifact_uri") or source)
    return Found(
        identity=f"models:/{name}/{number}",
        artifacts=place,
        name=name,
        number=number,
        run=str(version.get("run_id") or ""),
        tags=_pairs(version.get("tags")),
    )


def _logged(client: Client, model: str) -> Found:
    info = _object(_object(client.get(f"logged-models/{model}"), "model"), "info")
    return Found(
        identity=f"models:/{model}",
        artifacts=str(info.get("artifact_uri", "")),
        run=str(info.get("source_run_id") or ""),
        tags=_pairs(info.get("tags")),
    )


def _run(client: Client, source: Source) -> Found:
    """Return the model of a run: a logged model of that name, else a folder of its artifacts."""
    run = _object(client.get("runs/get", run_id=source.name), "run")
    outputs = run.get("outputs")
    for each in outputs.get("model_outputs") or [] if isinstance(outputs, dict) else []:
        model = str(each.get("model_id", ""))
        told = _object(client.get(f"logged-models/{model}"), "model")
        info = _object(told, "info")
        if info.get("name") == source.selector:
            return Found(str(source), str(info.get("artifact_uri", "")), run=source.name)
    place = str(_object(run, "info").get("artifact_uri", ""))
    return Found(str(source), place, path=source.selector, run=source.name)


def commit_of(client: Client, run: str) -> str:
    """Return the Git commit that a run noted; empty where it noted none or is gone."""
    if not run:
        return ""
    try:
        data = _object(client.get("runs/get", run_id=run), "run").get("data")
    except NotFoundError:
        return ""
    told = dict(_pairs(data.get("tags"))) if isinstance(data, dict) else {}
    found = told.get("mlflow.source.git.commit", "")
    return found if re.fullmatch(r"[0-9a-f]{40,64}", found) else ""


def _object(told: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = told.get(name)
    if not isinstance(found, dict):
        raise InputError(
            "the server does not answer as MLflow does", why=f"its answer has no {name!r}",
            fix="afterfit mlflow check   # tells its version",
        )  # fmt: skip
    return found


def _pairs(tags: Any) -> tuple[tuple[str, str], ...]:
    told = [each for each in tags or [] if isinstance(each, dict)]
    return tuple((str(each.get("key", "")), str(each.get("value", ""))) for each in told)
