"""A registry on loopback that does as it is told, and small base images."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from afterfit.package.oci.layout import CONFIG, INDEX, LAYER, MANIFEST, Descriptor, Layout, Platform
from afterfit.package.oci.layout import Index as ImageIndex

USER, SECRET, TOKEN = "ana", "p:w", "token-1"
REFRESH = "token-of-ana"
"""An identity token, for which the token service gives a token as for the password."""


def digest(body: bytes) -> str:
    """A digest as the specification writes it."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


class Registry(ThreadingHTTPServer):
    """Blobs and manifests in memory, and what is to go wrong."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.status: dict[str, int] = {}
        """Statuses to answer with, by a regular expression of method and path."""
        self.redirect = ""
        """Where blobs are, by another address."""
        self.login = ""
        """``basic`` or ``bearer``: what is asked of whoever comes."""
        self.token_answer: bytes = json.dumps({"token": TOKEN}).encode()
        self.cut = False
        """Whether blobs end early."""
        self.keeps_referrers = False

    @property
    def host(self) -> str:
        """Its address as in the name of an image."""
        return f"127.0.0.1:{self.server_address[1]}"

    def written(self) -> list[str]:
        """The paths that something was sent to."""
        return [path for method, path, _ in self.asked if method in {"PUT", "POST"}]


@contextmanager
def serving(server: Registry) -> Iterator[Registry]:
    """The registry, answering."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def _any(self) -> None:
        length = int(self.headers["Content-Length"] or 0)
        body = self.rfile.read(length)
        path = urlsplit(self.path).path
        self.server.asked.append((self.command, path, self.headers["Authorization"] or ""))
        for pattern, status in self.server.status.items():
            if re.search(pattern, f"{self.command} {path}"):
                self._say(status, b'{"errors": [{"code": "TOLD"}]}')
                return
        if path == "/token":
            self._token(body)
        elif self._welcome():
            self._registry(path, body)

    do_GET = do_HEAD = do_PUT = do_POST = _any  # noqa: N815 - names of the standard library

    def _welcome(self) -> bool:
        got = self.headers["Authorization"] or ""
        wanted = {"": got, "basic": _basic(), "bearer": f"Bearer {TOKEN}"}[self.server.login]
        if got == wanted:
            return True
        realm = f'Bearer realm="http://{self.server.host}/token",service="r",scope="any"'
        told = realm if self.server.login == "bearer" else 'Basic realm="r"'
        self._say(401, b"{}", {"WWW-Authenticate": told})
        return False

    def _token(self, body: bytes) -> None:
        form = parse_qs(body.decode())
        refreshed = (self.command, form.get("refresh_token")) == ("POST", [REFRESH])
        known = self.headers["Authorization"] == _basic() or refreshed
        self._say(200 if known else 401, self.server.token_answer)

    def _registry(self, path: str, body: bytes) -> None:
        kind, _, name = path.removeprefix("/v2/team/app/").partition("/")
        {"blobs": self._blob, "manifests": self._manifest, "referrers": self._referrers}[kind](
            name, body
        )

    def _blob(self, name: str, body: bytes) -> None:
        if self.command == "POST":
            self._say(202, b"", {"Location": "/v2/team/app/blobs/uploads/1?state=2"})
        elif self.command == "PUT":
            promised = parse_qs(urlsplit(self.path).query)["digest"][0]
            self.server.blobs[promised] = body
            self._say(201 if digest(body) == promised else 400, b"")
        elif self.server.redirect and self.command == "GET":
            self._say(307, b"", {"Location": f"{self.server.redirect}{self.path}"})
        elif name in self.server.blobs:
            found = self.server.blobs[name]
            length = len(found) + (100 if self.server.cut else 0)
            self._say(200, found, {"Content-Length": str(length)})
        else:
            self._say(404, b"{}")

    def _manifest(self, name: str, body: bytes) -> None:
        if self.command == "PUT":
            found = (self.headers["Content-Type"] or "", body)
            self.server.manifests |= {name: found, digest(body): found}
            self._say(201, b"")
        elif name in self.server.manifests:
            media, found_body = self.server.manifests[name]
            told = {"Content-Type": media, "Docker-Content-Digest": digest(found_body)}
            self._say(200, found_body, told)
        else:
            self._say(404, b"{}")

    def _referrers(self, name: str, body: bytes) -> None:
        del body
        if not self.server.keeps_referrers:
            self._say(404, b"404 page not found")
            return
        found = []
        for media, manifest in dict(self.server.manifests).values():
            told = json.loads(manifest)
            if told.get("subject", {}).get("digest") == name:
                found.append({"mediaType": media, "digest": digest(manifest), "size": 1})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}
        self._say(200, json.dumps(index).encode(), {"Content-Type": INDEX})

    def _say(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode()


def layer_of(files: Mapping[str, bytes | str], mode: str = "w:gz") -> bytes:
    """A layer: bytes are a file, a text is what a link leads to."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


DEBIAN: dict[str, bytes | str] = {
    "usr/bin/python3": "python3.11",
    "usr/bin/python3.11": b"elf",
    "etc/os-release": b"d",
}


def base_layout(
    folder: Path,
    architectures: Sequence[str] = ("amd64",),
    *,
    files: Mapping[str, bytes | str] = DEBIAN,
    medias: tuple[str, str] = (MANIFEST, LAYER),
    index: bool = False,
    **changed: Any,
) -> str:
    """Write a base image, an index of several where there are several; return ``oci:FOLDER:1``."""
    layout = Layout(folder)
    layout.create()
    media, layer_media = medias
    made: list[Descriptor] = []
    for each in architectures:
        layer = layout.put(layer_of(files), layer_media)
        config = {
            "architecture": each,
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
            **changed,
        }
        body = {
            "schemaVersion": 2,
            "mediaType": media,
            "config": as_json(layout.put(json.dumps(config).encode(), CONFIG)),
            "layers": [as_json(layer)],
        }
        manifest = json.dumps(body).encode()
        made.append(layout.put(manifest, media, platform=Platform(each)))
    top = made[0]
    if index or len(made) > 1:
        top = layout.put_json(ImageIndex(manifests=tuple(made)), INDEX)
    layout.name(top, "1")
    return f"oci:{folder}:1"


def as_json(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor as a manifest has it."""
    return {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
