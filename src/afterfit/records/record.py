"""The record: the frozen, versioned result of one step."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from afterfit.core.digest import canonical_json, digest_of, sha256_bytes
from afterfit.core.finding import Finding
from afterfit.core.metric import Metric

Status = Literal["complete", "partial", "failed"]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where a step ran, as far as it can change what the step measured.

    ``cpu`` is the model name and ``cpu_features`` the instruction sets that matter to inference;
    ``packages`` maps distribution to version; the git fields are those of the user's folder, of
    which ``git_diff`` is the SHA-256 of what was not committed, ``git_remote`` an address without
    credentials.
    """

    afterfit: str
    python: str = ""
    system: str = ""
    cpu: str = ""
    cpu_features: tuple[str, ...] = ()
    cores: int = 0
    packages: dict[str, str] = {}
    git_commit: str = ""
    git_dirty: bool = False
    git_diff: str = ""
    git_branch: str = ""
    git_remote: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="step"):
    """The body of a record; its digest is the SHA-256 of its canonical JSON.

    ``subject`` is the digest of what was examined (a model file or a bundle), ``inputs`` the
    digests of everything else that was read, ``args`` what the user asked, ``resolved`` what
    that meant after defaults, ``blobs`` the digests of files kept beside it.
    """

    subject: str
    env: Environment
    inputs: dict[str, str] = {}
    args: dict[str, Any] = {}
    resolved: dict[str, Any] = {}
    status: Status = "complete"
    findings: tuple[Finding, ...] = ()
    metrics: tuple[Metric, ...] = ()
    blobs: dict[str, str] = {}
    schema: int = 1

    @property
    def step(self) -> str:
        """The name of the step that made it."""
        return str(type(self).__struct_config__.tag)

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical body."""
        return digest_of(self)

    def encode(self) -> bytes:
        """Return the canonical JSON of the body."""
        return canonical_json(self)

    @property
    def issues(self) -> tuple[Finding, ...]:
        """The findings whose outcome is ``issue``."""
        return tuple(finding for finding in self.findings if finding.outcome == "issue")


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a record beside its body; never hashed.

    ``created`` is ISO 8601 in UTC; ``duration_s`` is seconds of wall time, ``allowed_s`` those that
    the step might take, None where nothing limited it; ``key`` is the reuse key: equal keys mean
    that the step would do the same again, as far as its time allows.
    """

    digest: str
    key: str = ""
    created: str = ""
    host: str = ""
    user: str = ""
    duration_s: float = 0.0
    allowed_s: float | None = None


def given(config: msgspec.Struct) -> dict[str, Any]:
    """Return the settings of a config that are not at their defaults, as plain values."""
    usual, told = type(config)(), msgspec.to_builtins(config)
    return {n: value for n, value in told.items() if getattr(config, n) != getattr(usual, n)}


def reuse_key(
    step: str,
    subject: str,
    inputs: dict[str, str],
    resolved: dict[str, Any],
    env: Environment,
    *,
    measured: bool,
) -> str:
    """Return the key under which an equal run would be found again.

    Packages and Python decide what a model answers; what is ``measured`` depends on the CPU too.
    """
    machine = [env.cpu, env.cores] if measured else []
    parts = [step, subject, inputs, resolved, env.afterfit, env.python, env.packages, machine]
    return sha256_bytes(canonical_json(parts))
