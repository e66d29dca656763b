"""Certificates for the tests, made with the ``openssl`` program: P-256, quick to make."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

LEAF = """\
basicConstraints = CA:FALSE
subjectAltName = IP:127.0.0.1, DNS:localhost
extendedKeyUsage = {usage}
"""
ROOT = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n"


class Pair(NamedTuple):
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


def make_key(path: Path) -> Path:
    """A new key, for its owner alone."""
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    path.chmod(0o600)
    return path


def make_authority(folder: Path, name: str) -> Pair:
    """A certificate that signs others."""
    return _make(folder, name, None, ROOT, 30)


def issue(
    authority: Pair, folder: Path, name: str, *, usage: str = "serverAuth", days: int = 30
) -> Pair:
    """A certificate for 127.0.0.1 that the authority has signed; negative days have passed."""
    return _make(folder, name, authority, LEAF.format(usage=usage), days)


def _make(folder: Path, name: str, signer: Pair | None, extensions: str, days: int) -> Pair:
    folder.mkdir(parents=True, exist_ok=True)
    made = Pair(folder / f"{name}.pem", make_key(folder / f"{name}.key"))
    request, text = folder / f"{name}.csr", folder / f"{name}.ext"
    text.write_text(extensions)
    _openssl("req", "-new", "-key", made.key, "-subj", f"/CN={name}", "-out", request)
    by: tuple[object, ...] = ("-signkey", made.key)
    if signer is not None:
        by = ("-CA", signer.cert, "-CAkey", signer.key, "-CAcreateserial")
    _openssl(
        "x509", "-req", "-in", request, *by, "-days", days, "-extfile", text, "-out", made.cert
    )
    return made


def _openssl(*arguments: object) -> None:
    program = shutil.which("openssl")
    if program is None:
        message = "NOT RUN: certificates are made with the openssl program, which is not here"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run(
        [program, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
