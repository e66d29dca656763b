"""Exact pins, and the hashes that pip finds: from a wheelhouse, from an index, behind a proxy."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from afterfit.errors import (
    AfterfitError,
    ForbiddenError,
    InputError,
    UnavailableError,
    UsageError,
)
from afterfit.package import pip
from afterfit.package.config import IndexConfig, PackageConfig
from afterfit.package.lock import (
    exact_pins,
    for_cuda,
    hashed_lock,
    pins,
    resolve_hashes,
    serving_pins,
)

SECRET = "hunter2"  # noqa: S105 - looked for in everything that is written


def wheel(
    folder: Path, name: str, version: str, requires: str = "", tag: str = "py3-none-any"
) -> str:
    """Write a wheel of nothing; return its SHA-256."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def config(platforms: tuple[str, ...] = ("linux/amd64",), **index: object) -> PackageConfig:
    """A config that asks the given index."""
    return PackageConfig(platforms=platforms, index=IndexConfig(**index))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip knows nothing but what a test tells it, whatever this machine's settings are."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("EXTRA_INDEX_URL", "INDEX_URL", "FIND_LINKS", "NO_INDEX", "PROXY"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """A folder with a private library, two versions of it, and what it needs."""
    folder = tmp_path / "wheels"
    wheel(folder, "acme_lib", "1.0", requires="acme-base>=2")
    wheel(folder, "acme_lib", "1.1")
    wheel(folder, "acme_base", "2.5")
    return folder


class Index(ThreadingHTTPServer):
    """A package index on loopback that wants a password, and a proxy that is asked for any host."""

    folder: Path
    asked: list[str]


class Answer(BaseHTTPRequestHandler):
    """Serves ``/simple/NAME/`` and the files of a folder, to who knows the password."""

    server: Index

    def do_GET(self) -> None:
        """Answer one request."""
        self.server.asked.append(self.path)
        wanted = "Basic " + base64.b64encode(f"robot:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            return
        path = self.path.partition("/simple/")[2]
        found = self.server.folder / path.rpartition("/")[2]
        name = path.strip("/").replace("-", "_")
        if path.endswith("/"):
            links = [p.name for p in self.server.folder.glob(f"{name}-*.whl")]
            body = "".join(f'<a href="{link}">{link}</a>' for link in links).encode()
        else:
            body = found.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if path.endswith("/") else "application/zip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def index(wheelhouse: Path) -> Iterator[Index]:
    """The index, answering."""
    server = Index(("127.0.0.1", 0), Answer)
    server.folder, server.asked = wheelhouse, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_pins_are_reduced_to_what_decides() -> None:
    """Comments, hashes, index options and their credentials go; names and order are standard."""
    text = f"""
    # made by a tool
    --index-url https://robot:{SECRET}@index.example/simple
    -f https://wheels.example
    Foo_Bar.baz==1.0 \\
        --hash=sha256:{"a" * 64} \\
        --hash=sha256:{"b" * 64}
        # via somebody
    abc [x, y] == 2.0+cpu ; python_version < "3.13"  # why
    """
    assert exact_pins(text) == 'abc[x,y]==2.0+cpu ; python_version < "3.13"\nfoo-bar-baz==1.0\n'
    assert exact_pins(exact_pins(text)) == exact_pins(text)


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy>=2",
        "numpy==2.*",
        "-e .",
        "-r other.txt",
        "./wheel.whl",
        f"acme @ https://robot:{SECRET}@index.example/acme.whl",
        "numpy==1.0\nnumpy==2.0",
    ],
)
def test_what_is_no_exact_pin_is_refused(line: str) -> None:
    """Ranges, files and addresses say another thing tomorrow; no error repeats a password."""
    with pytest.raises(InputError) as caught:
        exact_pins(line)
    assert SECRET not in str(caught.value)


def test_serving_needs_little_and_all_of_it_is_pinned() -> None:
    """The shipped lock holds the runtime's own imports, and no framework."""
    names = [line.partition("==")[0] for line in serving_pins().splitlines()]
    assert {"httptools", "msgspec", "numpy", "onnxruntime"} <= set(names)
    assert {"scikit-learn", "pandas", "scipy"}.isdisjoint(names)


def test_native_pins_come_on_top() -> None:
    """A version that is given wins over the shipped one."""
    lines = pins({"scikit_learn": "1.9.0", "numpy": "2.4.5"}).splitlines()
    assert "scikit-learn==1.9.0" in lines
    assert [line for line in lines if line.startswith("numpy==")] == ["numpy==2.4.5"]


def test_the_shipped_lock_needs_no_network() -> None:
    """Pins of the shipped lock get its hashes, even where the index would be away."""
    text, finding = hashed_lock(serving_pins(), PackageConfig())
    assert finding.outcome == "passed"
    assert exact_pins(text) == serving_pins()
    blocks = text.replace("\\\n", "").splitlines()
    assert all("--hash=sha256:" in block for block in blocks)


def test_a_wheelhouse_is_used_alone(wheelhouse: Path) -> None:
    """The hashes are those of its files, what a pin needs comes along, and no place is written."""
    text = resolve_hashes("acme-lib==1.0\n", config(wheelhouse=str(wheelhouse)))
    base, lib = (
        hashlib.sha256((wheelhouse / f"{name}-py3-none-any.whl").read_bytes()).hexdigest()
        for name in ("acme_base-2.5", "acme_lib-1.0")
    )
    assert text == (
        f"acme-base==2.5 \\\n    --hash=sha256:{base}\nacme-lib==1.0 \\\n    --hash=sha256:{lib}\n"
    )


def test_each_platform_adds_the_hash_of_its_wheel(wheelhouse: Path) -> None:
    """One line, two hashes; and the wheel of another system is not taken."""
    tags = ("cp311-cp311-manylinux_2_28_x86_64", "cp311-cp311-manylinux2014_aarch64")
    found = sorted(wheel(wheelhouse, "fast", "3.0", tag=tag) for tag in tags)
    wheel(wheelhouse, "fast", "3.0", tag="cp311-cp311-win_amd64")
    both = config(("linux/amd64", "linux/arm64"), wheelhouse=str(wheelhouse))
    text = resolve_hashes("fast==3.0\n", both)
    assert text == " \\\n    ".join(["fast==3.0", *(f"--hash=sha256:{h}" for h in found)]) + "\n"


def test_an_index_with_a_password_is_asked_and_not_written(index: Index) -> None:
    """The same hashes, and neither host nor credentials in the text."""
    host = f"127.0.0.1:{index.server_port}"
    url = f"http://robot:{SECRET}@{host}/simple/"
    text, _ = hashed_lock("acme-lib==1.1\n", config(index_url=url))
    assert text.startswith("acme-lib==1.1 \\\n    --hash=sha256:")
    assert any("/simple/acme-lib/" in path for path in index.asked)
    assert SECRET not in text
    assert host not in text


def test_a_proxy_is_asked_for_the_index(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not exist is reached through the proxy, and pip's own settings hold."""
    monkeypatch.setenv("PIP_TRUSTED_HOST", "index.invalid")
    proxy = f"http://127.0.0.1:{index.server_port}"
    url = f"http://robot:{SECRET}@index.invalid/simple/"
    text = resolve_hashes("acme-lib==1.1\n", config(index_url=url, proxy=proxy))
    assert text.startswith("acme-lib==1.1")
    assert index.asked[0].startswith("http://index.invalid/simple/")


def test_a_missing_wheel_says_so_without_the_password(index: Index) -> None:
    """The reason of pip is told, its credentials are not."""
    url = f"http://robot:{SECRET}@127.0.0.1:{index.server_port}/simple/"
    with pytest.raises(InputError, match=r"acme-lib==9") as caught:
        resolve_hashes("acme-lib==9\n", config(index_url=url))
    assert SECRET not in str(caught.value)


def test_a_wheel_for_other_machines_alone(tmp_path: Path) -> None:
    """The machine and the Python that nothing fits are named."""
    wheel(tmp_path, "acme_lib", "1.1", tag="cp311-cp311-manylinux2014_aarch64")
    asked = config(wheelhouse=str(tmp_path))
    with pytest.raises(InputError, match="finds no wheels") as caught:
        resolve_hashes("acme-lib==1.1\n", asked)
    assert caught.value.where == "requirements.lock, for Python 3.11 on linux/amd64"
    assert "acme-lib==1.1" in caught.value.why


def test_an_index_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another error, with another fix."""
    monkeypatch.setenv("PIP_RETRIES", "1")  # of five, the waits between which take 8 s
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    gone = config(index_url=f"http://robot:{SECRET}@127.0.0.1:{port}/simple/")
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        resolve_hashes("acme-lib==1.1\n", gone)
    assert (caught.value.where, "refused" in caught.value.why) == ("127.0.0.1", True)
    assert "object at" not in caught.value.why
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(gone)


def test_a_wrong_password_is_told_as_one(index: Index) -> None:
    """Not as a missing wheel."""
    url = f"http://robot:wrong@127.0.0.1:{index.server_port}/simple/"
    with pytest.raises(ForbiddenError, match="401") as caught:
        resolve_hashes("acme-lib==1.1\n", config(index_url=url))
    assert "wrong@" not in str(caught.value)


@pytest.mark.parametrize("password", ["p@ss", "pa/ss", "p@s/s@", "a:b@c", "@", "%40//@@"])
@pytest.mark.parametrize("around", ["{}", "Looking in indexes: {}, {}", "({})", "git+{}"])
def test_no_password_is_left_in_a_text(password: str, around: str) -> None:
    """Whatever signs it has, nothing of it stays; the host and the words around it do."""
    url = f"https://robot:{password}@index.example/simple"
    assert pip.redact(around.format(url, url)) == around.format(
        *["https://***@index.example/simple"] * 2
    )
    assert pip.redact("nothing at https://index.example/simple") == (
        "nothing at https://index.example/simple"
    )


@pytest.mark.parametrize("password", ["wr0ng/p4rt", "wr0ng@p4rt"])
def test_a_password_with_signs_of_an_address_is_not_told(index: Index, password: str) -> None:
    """Such an address is read otherwise than it was meant; pip's words are told without it."""
    url = f"http://robot:{password}@127.0.0.1:{index.server_port}/simple/"
    with pytest.raises(AfterfitError) as caught:
        resolve_hashes("acme-lib==1.1\n", config(index_url=url))
    assert "wr0ng" not in str(caught.value)
    assert "p4rt" not in str(caught.value)


def test_the_fix_of_a_refusal_keeps_the_password_off_the_command_line(index: Index) -> None:
    """What is written there stands in the list of processes and in the shell's history."""
    url = f"http://robot:wrong@127.0.0.1:{index.server_port}/simple/"
    with pytest.raises(ForbiddenError) as caught:
        resolve_hashes("acme-lib==1.1\n", config(index_url=url))
    assert "--index-url" not in caught.value.fix
    assert "netrc" in caught.value.fix


def test_credentials_stay_off_the_command_line() -> None:
    """They go by the environment; what was not asked is left to pip's own settings."""
    told = IndexConfig(index_url=f"https://robot:{SECRET}@x/simple", extra_index_url=("a", "b"))
    environment = pip.environment(told, {"PIP_CERT": "c", "PIP_REQUIRE_VIRTUALENV": "1"})
    assert environment["PIP_INDEX_URL"].endswith("@x/simple")
    assert environment["PIP_EXTRA_INDEX_URL"] == "a b"
    assert environment["PIP_CERT"] == "c"
    assert not {"PIP_PROXY", "PIP_NO_INDEX", "PIP_REQUIRE_VIRTUALENV"} & environment.keys()


def test_a_wheelhouse_or_platform_that_is_not_there(tmp_path: Path) -> None:
    """A typing error is told as one."""
    with pytest.raises(UsageError, match="wheelhouse is no folder"):
        resolve_hashes("a==1\n", config(wheelhouse=str(tmp_path / "gone")))
    with pytest.raises(UsageError, match="linux/amd64, linux/arm64"):
        resolve_hashes("a==1\n", config(("windows/amd64",), wheelhouse=str(tmp_path)))


def test_vendored_wheels_are_those_of_the_lock(wheelhouse: Path, tmp_path: Path) -> None:
    """They are downloaded by hash, and other bytes under the same name are refused."""
    asked = config(wheelhouse=str(wheelhouse))
    lock = resolve_hashes("acme-lib==1.1\n", asked)
    assert pip.download(lock, asked, tmp_path / "v") == ["acme_lib-1.1-py3-none-any.whl"]
    wheel(wheelhouse, "acme_lib", "1.1", requires="evil")
    with pytest.raises(InputError):
        pip.download(lock, asked, tmp_path / "w")


def test_a_lock_for_gpus_has_the_runtime_for_gpus() -> None:
    """In place of the other, which must not be there too, and with the libraries of CUDA."""
    found = for_cuda("numpy==2.4.6\nonnxruntime==1.32.0\nuvloop==0.23.0\n")
    assert found == "numpy==2.4.6\nonnxruntime-gpu[cuda,cudnn]<=1.32.0\nuvloop==0.23.0\n"
    with pytest.raises(UsageError, match="does not run on ONNX Runtime"):
        for_cuda("numpy==2.4.6\n")
