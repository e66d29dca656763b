"""A small client of registries: pulls and pushes images, checks every byte.

Speaks the OCI distribution specification 1.1 with the token flow of Docker's registries. A
connection is TLS except to the own machine. Credentials are sent only to the registry and to the
token service that it names with TLS, never to where a blob is redirected.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from afterfit.core.digest import sha256_bytes
from afterfit.errors import (
    AfterfitError,
    ForbiddenError,
    InputError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from afterfit.package.oci.credentials import DOCKER_HUB, IDENTITY, Credentials, basic_header
from afterfit.package.oci.layout import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    MOST_JSON,
    Descriptor,
)

__all__ = ["Client", "Credentials", "ImageName", "image_name"]

_TIMEOUT_S = 60.0
_MOST_REDIRECTS = 5
_ACCEPT = f"{MANIFEST}, {INDEX}, {DOCKER_MANIFEST}, {DOCKER_INDEX}"
_FORM = "application/x-www-form-urlencoded"
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_NAME = re.compile(
    r"(?:(?P<host>(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-f:]+\])(?::\d+)?)/)?"
    r"(?P<path>[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class ImageName:
    """An image in a registry: host, path, and a tag or a digest."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def reference(self) -> str:
        """What a registry is asked for: the digest before the tag."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.host}/{self.path}" + (
            f"@{self.digest}" if self.digest else f":{self.tag or 'latest'}"
        )


def image_name(text: str) -> ImageName:
    """Return the image that ``text`` names, of Docker Hub where no host is named; UsageError."""
    found = _NAME.fullmatch(text)
    if found is None:
        raise UsageError(
            "not the name of an image", where=repr(text), why="it is [HOST/]PATH[:TAG][@sha256:…]",
            fix="write it as registry.example.com/team/churn:3",
        )  # fmt: skip
    host, path = found["host"] or "", found["path"]
    # As Docker has it: what stands before the first slash is a host if it looks like one.
    if host and not re.search(r"[.:]|^localhost$", host):
        host, path = "", f"{host}/{path}"
    if host in {"", "docker.io", "index.docker.io"}:
        host, path = DOCKER_HUB, path if "/" in path else f"library/{path}"
    return ImageName(host, path, found["tag"] or "", found["digest"] or "")


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: http.client.HTTPMessage
    body: IO[bytes]

    def read(self, most: int = MOST_JSON) -> bytes:
        body = self.body.read(most + 1)
        if len(body) > most:
            raise InputError(
                "the registry's answer is too long", why=f"it has over {most} bytes",
                fix="look at the address: this is no registry, or none to trust",
            )  # fmt: skip
        return body


class _Body(io.RawIOBase):
    """The bytes of an answer; one that ends early is an UnavailableError."""

    def __init__(self, body: IO[bytes], where: str) -> None:
        super().__init__()
        self._body, self._where = body, where

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return self._body.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(
                "the registry stopped in the middle", where=self._where, why=str(error),
                fix="run the same command again",
            ) from None  # fmt: skip


class Client:
    """Talks to the registry of one image name."""

    def __init__(self, name: ImageName, credentials: Credentials | None = None) -> None:
        self.name = name
        self._credentials = credentials or Credentials()
        self._authorization = ""
        self._helpless: AfterfitError | None = None

    def manifest(self, reference: str = "") -> tuple[bytes, Descriptor]:
        """Return a manifest or an index and its descriptor, checked where asked for by digest.

        Raises NotFoundError, ForbiddenError, UnavailableError, IntegrityError.
        """
        asked = reference or self.name.reference
        with self._ask("GET", f"manifests/{asked}", {"Accept": _ACCEPT}, "pull") as answer:
            body = answer.read()
            media = answer.headers.get_content_type()
        digest = f"sha256:{sha256_bytes(body)}"
        if asked.startswith("sha256:") and asked != digest:
            raise IntegrityError(
                f"{self.name.host} gave another manifest than was asked for", where=asked,
                why=f"its hash is {digest}", fix="do not trust this registry",
            )  # fmt: skip
        return body, Descriptor(media_type=media, digest=digest, size=len(body))

    @contextmanager
    def blob(self, digest: str) -> Iterator[io.RawIOBase]:
        """Give the bytes of a blob, which the reader checks."""
        with self._ask("GET", f"blobs/{digest}", {}, "pull") as answer:
            yield _Body(answer.body, str(self.name))

    def has_blob(self, digest: str) -> bool:
        """Return whether the registry has the blob."""
        try:
            with self._ask("HEAD", f"blobs/{digest}", {}, "pull,push"):
                return True
        except NotFoundError:
            return False

    def push_blob(self, source: Path | bytes, descriptor: Descriptor) -> bool:
        """Return whether it had to be sent; a registry that has it is not sent it again."""
        if self.has_blob(descriptor.digest):
            return False
        with self._ask("POST", "blobs/uploads/", {"Content-Length": "0"}, "pull,push") as answer:
            place = answer.headers["Location"] or ""
        url = urljoin(self._url(""), place)
        url += ("&" if urlsplit(url).query else "?") + urlencode({"digest": descriptor.digest})
        headers = {
            "Content-Length": str(descriptor.size),
            "Content-Type": "application/octet-stream",
        }
        opened = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        with opened as body, self._ask("PUT", url, headers, "pull,push", body):
            return True

    def push_manifest(self, body: bytes, media: str, reference: str) -> bool:
        """Return whether the manifest had to be sent, called ``reference``: a tag or its digest."""
        digest = f"sha256:{sha256_bytes(body)}"
        place = f"manifests/{reference}"
        try:
            with self._ask("HEAD", place, {"Accept": _ACCEPT}, "pull,push") as answer:
                if answer.headers["Docker-Content-Digest"] == digest:
                    return False
        except NotFoundError:
            pass
        headers = {"Content-Type": media, "Content-Length": str(len(body))}
        with self._ask("PUT", place, headers, "pull,push", body):
            return True

    def referrers(self, digest: str) -> bytes | None:
        """Return the index of what refers to a manifest; None of a registry that keeps none.

        Source: OCI distribution specification 1.1, listing referrers.
        """
        try:
            with self._ask("GET", f"referrers/{digest}", {"Accept": INDEX}, "pull,push") as answer:
                return answer.read() if answer.headers.get_content_type() == INDEX else None
        except NotFoundError:
            return None

    def _url(self, path: str) -> str:
        host = self.name.host
        local = (urlsplit(f"//{host}").hostname or "") in _LOCAL
        return f"{'http' if local else 'https'}://{host}/v2/{self.name.path}/{path}"

    @contextmanager
    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        scope: str,
        body: bytes | IO[bytes] | None = None,
    ) -> Iterator[_Answer]:
        """Give the answer, after logging in where that is asked for, and following redirects."""
        url = path if "://" in path else self._url(path)
        sent = dict(headers)
        own = urlsplit(url).netloc == self.name.host
        known = self._authorization or self._credentials.basic(self._account)
        if own and known:
            sent["Authorization"] = known
        asked_in = False
        for _ in range(_MOST_REDIRECTS):
            with _request(method, url, sent, body) as answer:
                challenge = answer.headers.get("WWW-Authenticate", "")
                # Once for each request: a token may have run out since the last one.
                if answer.status == 401 and own and challenge and not asked_in:
                    asked_in = True
                    self._authorization = self._log_in(challenge, scope)
                    sent["Authorization"] = self._authorization
                elif answer.status in {301, 302, 303, 307, 308} and method in {"GET", "HEAD"}:
                    url = urljoin(url, answer.headers["Location"] or "")
                    if urlsplit(url).netloc != self.name.host:
                        own = False
                        sent.pop("Authorization", None)
                else:
                    self._check(answer, url)
                    yield answer
                    return
            if body is not None and not isinstance(body, bytes):
                body.seek(0)
        raise UnavailableError(
            f"{self.name.host} sends from one address to the next", where=url, fix="try again later"
        )

    @property
    def _account(self) -> str:
        return f"{self.name.host}/{self.name.path}"

    def _known(self) -> tuple[str, str] | None:
        """Return user and secret; a helper that fails is told where the registry refuses then."""
        try:
            return self._credentials.login(self._account)
        except AfterfitError as error:
            self._helpless = error
            return None

    def _log_in(self, challenge: str, scope: str) -> str:
        """Return the header that a challenge asks for; raises ForbiddenError."""
        known = self._known()
        words = dict(_CHALLENGE.findall(challenge))
        if challenge.lower().startswith("basic") and known is not None and known[0] != IDENTITY:
            return basic_header(known)
        realm = words.get("realm", "")
        if not challenge.lower().startswith("bearer") or not realm:
            raise self._refused(challenge)
        asked = {"service": words.get("service", "")}
        asked["scope"] = words.get("scope", f"repository:{self.name.path}:{scope}")
        safe = urlsplit(realm).scheme == "https" or (urlsplit(realm).hostname or "") in _LOCAL
        with _ask_for_token(realm, asked, known if safe else None) as answer:
            if answer.status != 200:
                raise self._refused(challenge)
            token = _token(answer.read())
        if not token or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise self._refused(challenge)
        return f"Bearer {token}"

    def _refused(self, why: str = "") -> AfterfitError:
        if self._helpless is not None:
            return self._helpless
        return ForbiddenError(
            f"{self.name.host} refuses", where=str(self.name), why=why or "it answered 401 or 403",
            fix=f"docker login {self.name.host} (or podman login), then run the command again",
        )  # fmt: skip

    def _check(self, answer: _Answer, url: str) -> None:
        if answer.status < 300:
            return
        told = answer.read(65536).decode(errors="replace")[:300]
        if answer.status == 404:
            raise NotFoundError(
                f"{self.name.host} has no such image", where=str(self.name), why=told,
                fix="look at the name, the tag and the digest",
            )  # fmt: skip
        if answer.status in {401, 403}:
            raise self._refused(f"it answered {answer.status}: {told}")
        raise UnavailableError(
            f"{self.name.host} answered {answer.status}", where=url.partition("?")[0], why=told,
            fix="try again later",
        )  # fmt: skip


def _ask_for_token(
    realm: str, asked: Mapping[str, str], known: tuple[str, str] | None
) -> AbstractContextManager[_Answer]:
    """Return what a token service answers: to a password by GET, to an identity token by POST.

    Source: the token and the OAuth2 specification of Docker's registries.
    """
    if known is not None and known[0] == IDENTITY:
        form = {"grant_type": "refresh_token", "refresh_token": known[1], "client_id": "afterfit"}
        body = urlencode({**form, **asked}).encode()
        return _request("POST", realm, {"Content-Type": _FORM}, body)
    headers = {} if known is None else {"Authorization": basic_header(known)}
    url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(asked)
    return _request("GET", url, headers, None)


def _token(body: bytes) -> str:
    """Return the token of an answer; empty where there is none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(told.get("token") or told.get("access_token") or "") if type(told) is dict else ""


def _parts(url: str) -> tuple[SplitResult, int | None]:
    """Return an address and its port; raises UnavailableError for what is none."""
    try:
        port = urlsplit(url).port
    except ValueError as error:
        raise UnavailableError(
            "not the address of a registry", where=url.partition("?")[0], why=str(error),
            fix="look at the name of the image: HOST:PORT/PATH",
        ) from None  # fmt: skip
    return urlsplit(url), port


@contextmanager
def _request(
    method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes] | None
) -> Iterator[_Answer]:
    parts, port = _parts(url)
    host, local = parts.hostname or "", (parts.hostname or "") in _LOCAL
    if parts.scheme not in {"http", "https"} or (parts.scheme == "http" and not local):
        raise ForbiddenError(
            "a registry without TLS is used on the own machine only", where=url.partition("?")[0],
            why="what is sent can be read and changed on the way",
            fix="use a registry with https",
        )  # fmt: skip
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    )
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        try:
            connection.request(method, target, body=body, headers=dict(headers))
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"{parts.netloc} does not answer",
                where=url.partition("?")[0],
                why=str(error),
                fix="look at the address and the network, then run the command again",
            ) from None
        yield _Answer(answer.status, answer.headers, answer)
    finally:
        connection.close()
