"""A server that answers as MLflow does, on loopback: models, runs, aliases and its proxy of files.

What it holds is in plain dictionaries, so that a test can change it behind its back.
"""

# ruff: noqa: D102 - methods are named after what they answer

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
Answer = tuple[int, dict[str, Any]]


class FakeMlflow:
    """The state of the server; ``authorization`` is what it wants, ``failures`` come first."""

    def __init__(self) -> None:
        self.url = ""
        self.version = "3.17.2"
        self.authorization = ""
        self.failures: list[tuple[int, bytes]] = []
        self.files: dict[str, bytes] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: list[dict[str, Any]] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, str] = {}
        self.signed: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, str]] = []

    def add_version(self, name: str, files: dict[str, bytes], **more: Any) -> dict[str, Any]:
        """Return a version that was registered with files below ``ROOT/name/number``."""
        number = str(1 + sum(each["name"] == name for each in self.versions))
        for path, content in files.items():
            self.files[f"1/{name}/{number}/{path}"] = content
        source = f"mlflow-artifacts:/1/{name}/{number}"
        version: dict[str, Any] = {"name": name, "version": number, "status": "READY"}
        version |= {"run_id": "", "source": source, "tags": [], **more}
        self.models.setdefault(name, {"name": name, "aliases": []})
        self.versions.append(version)
        return version

    def alias(self, name: str, alias: str, number: str) -> None:
        """Let an alias point to a version."""
        kept = [a for a in self.models[name]["aliases"] if a["alias"] != alias]
        self.models[name]["aliases"] = [*kept, {"alias": alias, "version": number}]

    def answer(self, method: str, path: str, asked: dict[str, Any]) -> Answer:
        """Return status and body of a question."""
        name = path.removeprefix("/api/2.0/mlflow/").replace("/", "_").replace("-", "_")
        if name.startswith("logged_models_"):
            return _missing(name)
        found = getattr(self, f"{method.lower()}_{name}", None)
        return found(asked) if found else (404, {"error_code": "ENDPOINT_NOT_FOUND"})

    def get_registered_models_search(self, _: dict[str, Any]) -> Answer:
        return 200, {"registered_models": []}

    def get_registered_models_get(self, asked: dict[str, Any]) -> Answer:
        found = self.models.get(asked["name"])
        return (200, {"registered_model": found}) if found else _missing(asked["name"])

    def post_registered_models_create(self, asked: dict[str, Any]) -> Answer:
        self.models[asked["name"]] = {"name": asked["name"], "aliases": []}
        return 200, {"registered_model": self.models[asked["name"]]}

    def get_registered_models_alias(self, asked: dict[str, Any]) -> Answer:
        for each in self.models.get(asked["name"], {"aliases": []})["aliases"]:
            if each["alias"] == asked["alias"]:
                return self.get_model_versions_get({**asked, "version": each["version"]})
        return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "alias not found"}

    def post_registered_models_alias(self, asked: dict[str, Any]) -> Answer:
        self.alias(asked["name"], asked["alias"], asked["version"])
        return 200, {}

    def get_model_versions_get(self, asked: dict[str, Any]) -> Answer:
        for each in self.versions:
            if (each["name"], each["version"]) == (asked["name"], asked["version"]):
                return 200, {"model_version": each}
        return _missing(asked["name"])

    def get_model_versions_get_download_uri(self, asked: dict[str, Any]) -> Answer:
        status, told = self.get_model_versions_get(asked)
        return status, {"artifact_uri": told["model_version"]["source"]}

    def get_model_versions_search(self, asked: dict[str, Any]) -> Answer:
        name = asked["filter"].removeprefix("name='").removesuffix("'")
        return 200, {"model_versions": [each for each in self.versions if each["name"] == name]}

    def post_model_versions_create(self, asked: dict[str, Any]) -> Answer:
        more = {key: asked[key] for key in ("run_id", "source", "tags")}
        return 200, {"model_version": self.add_version(asked["name"], {}, **more)}

    def get_model_versions_list_artifacts(self, asked: dict[str, Any]) -> Answer:
        root = f"1/{asked['name']}/{asked['version']}"
        listed = self._listed(f"{root}/{asked['path']}".rstrip("/"))
        below = f"{asked['path']}/" if asked["path"] else ""
        return 200, {"files": [{**each, "path": below + each["path"]} for each in listed]}

    def get_model_versions_get_signed_download_uri(self, asked: dict[str, Any]) -> Answer:
        content = self.files[f"1/{asked['name']}/{asked['version']}/{asked['path']}"]
        self.signed[f"/signed/{asked['path']}"] = content
        headers = [{"name": "X-Signed", "value": "yes"}]
        return 200, {
            "signed_uri": f"{self.url}/signed/{quote(asked['path'])}?s=1",
            "headers": headers,
        }

    def get_experiments_get_by_name(self, asked: dict[str, Any]) -> Answer:
        found = self.experiments.get(asked["experiment_name"])
        return (200, {"experiment": {"experiment_id": found}}) if found else _missing("experiment")

    def post_experiments_create(self, asked: dict[str, Any]) -> Answer:
        self.experiments[asked["name"]] = "7"
        return 200, {"experiment_id": "7"}

    def post_runs_search(self, asked: dict[str, Any]) -> Answer:
        def wanted(run: dict[str, Any]) -> bool:
            return all(f"'{tag['value']}'" in asked["filter"] for tag in run["data"]["tags"])

        return 200, {"runs": [run for run in self.runs.values() if wanted(run)]}

    def post_runs_create(self, asked: dict[str, Any]) -> Answer:
        run = f"run{len(self.runs)}"
        info = {"run_id": run, "artifact_uri": f"mlflow-artifacts:/7/{run}/artifacts"}
        self.runs[run] = {"info": info, "data": {"tags": asked.get("tags", []), "metrics": []}}
        return 200, {"run": self.runs[run]}

    def get_runs_get(self, asked: dict[str, Any]) -> Answer:
        found = self.runs.get(asked["run_id"])
        return (200, {"run": found}) if found else _missing(asked["run_id"])

    def post_runs_log_batch(self, asked: dict[str, Any]) -> Answer:
        self.runs[asked["run_id"]]["data"]["metrics"] += asked["metrics"]
        return 200, {}

    def post_runs_update(self, asked: dict[str, Any]) -> Answer:
        self.runs[asked["run_id"]]["info"]["status"] = asked["status"]
        return 200, {}

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for path, content in self.files.items():
            if path.startswith(f"{folder}/"):
                name, slash, _ = path[len(folder) + 1 :].partition("/")
                size = {} if slash else {"file_size": len(content)}
                found[name] = {"path": name, "is_dir": bool(slash), **size}
        return list(found.values())

    def artifact(self, method: str, path: str, asked: dict[str, str], body: bytes) -> bytes | None:
        """Return the bytes of an answer of the proxy; None for a file that is not there."""
        if method == "PUT":
            self.files[path] = body
            return b"{}"
        if not path:
            return json.dumps({"files": self._listed(asked["path"])}).encode()
        return self.files.get(path)


def _missing(what: str) -> Answer:
    return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"{what} not found"}


class _Handler(BaseHTTPRequestHandler):
    fake: FakeMlflow

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._all("GET")

    def do_POST(self) -> None:
        self._all("POST")

    def do_PUT(self) -> None:
        self._all("PUT")

    def _all(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        sent = self.headers.get("Authorization", "")
        self.fake.seen.append((method, parts.path, sent))
        status, told = self._answer(method, unquote(parts.path), asked, body, sent)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "https://login.example.com/sso?back=1")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def _answer(
        self, method: str, path: str, asked: dict[str, str], body: bytes, sent: str
    ) -> tuple[int, bytes]:
        fake = self.fake
        if path == "/version":
            return 200, fake.version.encode()
        if path in fake.signed:
            return (200, fake.signed[path]) if not sent else (400, b"two credentials")
        if fake.authorization and sent != fake.authorization:
            return 401, b"<html>You are not authenticated.</html>"
        if fake.failures:
            return fake.failures.pop(0)
        if path.startswith(PROXY):
            found = fake.artifact(method, path.removeprefix(PROXY).strip("/"), asked, body)
            return (404, b"{}") if found is None else (200, found)
        status, told = fake.answer(method, path, json.loads(body) if body else asked)
        return status, json.dumps(told).encode()


@contextmanager
def serving() -> Iterator[FakeMlflow]:
    """Yield a server that answers until the block ends."""
    fake = FakeMlflow()
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
