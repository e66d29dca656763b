"""What a variant was proven on, and what it runs on: evidence beside a bundle, never in it.

::

    bundles/DIGEST/              the bundle
    bundles/DIGEST.proven.json   what its variant was proven on
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from afterfit.core.bundle import Variant
from afterfit.core.digest import canonical_json
from afterfit.core.shell import shell_word
from afterfit.errors import IntegrityError

__all__ = [
    "GoldenReport",
    "Proof",
    "Proven",
    "Surroundings",
    "libraries_of",
    "proven_file",
    "read_proven",
]

SUFFIX = ".proven.json"
_GRAPHS = "onnxruntime"
_DISTRIBUTIONS = {
    "catboost": ("catboost",),
    "lightgbm": ("lightgbm",),
    _GRAPHS: (_GRAPHS, "onnxruntime-gpu"),
    "sklearn": ("scikit-learn",),
    "torch": ("torch",),
    "xgboost": ("xgboost", "xgboost-cpu"),
}
"""The library that computes the answers to the distributions that it comes in."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the last digits of an answer, beside the bundle.

    ``libraries`` are the versions of those that compute it; ``machine`` is the kind of processor
    (``x86_64``) and ``cpu_features`` those of its instruction sets that matter.
    """

    libraries: dict[str, str]
    machine: str = ""
    cpu_features: tuple[str, ...] = ()

    def differences(self, proven: Surroundings) -> tuple[str, ...]:
        """Return in words what is other here than where a variant was ``proven``."""
        found = []
        for name, version in sorted(proven.libraries.items()):
            here = self.libraries.get(name) or "unknown"
            if here != version:
                found.append(f"{name} is {here} here and was {version}")
        if self.machine != proven.machine:
            found.append(f"the processor is {self.machine} here and was {proven.machine}")
        mine, others = set(self.cpu_features), set(proven.cpu_features)
        if mine != others:
            told = [f"without {name}" for name in sorted(others - mine)]
            told += [f"with {name}" for name in sorted(mine - others)]
            found.append(f"the processor here is one {', '.join(told)}")
        return tuple(found)


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence that refers to a bundle by its digest: how and on what its variant was proven.

    ``by`` is a ``certificate``, a ``comparison`` of its answers with the model's, or ``itself``
    for a model that ships as it is.
    """

    digest: str
    by: Literal["certificate", "comparison", "itself"]
    on: Surroundings
    schema: int = 1

    def encode(self) -> bytes:
        """Return the canonical bytes of the file."""
        return canonical_json(self)


class GoldenReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the golden rows said: the largest absolute difference, and whether it is allowed.

    ``outcome`` is ``skipped`` for a bundle without golden rows, which is not ``passed``.
    """

    outcome: Literal["passed", "failed", "skipped"]
    rows: int = 0
    worst: float | None = None
    tolerance: float = 0.0
    why: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a loaded variant: what it was proven on, and what it answered here.

    ``proven_on`` is None where nobody told; ``differs`` tells in words what is other here. The
    golden rows are answered each time that a bundle is loaded: ``reverified`` says that all of
    them, ``rows``, came out as they should on what is not, or not known to be, what the variant
    was proven on. ``largest_difference`` is that of an answer, and ``tolerance`` what is allowed.
    Where it is not reverified, ``why`` says why there was no need, or no way.
    """

    by: Literal["certificate", "comparison", "itself", "unknown"]
    proven_on: Surroundings | None
    running_on: Surroundings
    differs: tuple[str, ...]
    reverified: bool
    rows: int = 0
    largest_difference: float | None = None
    tolerance: float = 0.0
    why: str = ""


def libraries_of(variant: Variant, version_of: Callable[[str], str]) -> dict[str, str]:
    """Return distribution to version of what computes a variant's answers, of both its forms.

    ``version_of`` returns the installed version of a distribution, or an empty string. Names of
    builds (``2.13.0+cpu``) are left out.
    """
    forms = [variant, variant.large.variant] if variant.large else [variant]
    names = {_GRAPHS if form.runtime == "onnx" else form.framework for form in forms}
    found = {}
    for name in sorted(names & set(_DISTRIBUTIONS)):
        versions = [version_of(each) for each in _DISTRIBUTIONS[name]]
        if version := next(filter(None, versions), ""):
            found[_DISTRIBUTIONS[name][0]] = version.partition("+")[0]
    return found


def proven_file(folder: Path) -> Path:
    """Return where the evidence of the bundle in ``folder`` lies: beside it."""
    return folder.parent / (folder.name + SUFFIX)


def read_proven(folder: Path, digest: str) -> Proven | None:
    """Return what lies beside the bundle in ``folder``; None where nothing does that can be read.

    Raises IntegrityError for a file that is no evidence, or that of another bundle.
    """
    path = proven_file(folder.absolute())
    fix = f"rm {shell_word(path)}   # nothing is then told of what the bundle was proven on"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Proven)
    except OSError:
        # What is beside a mounted folder need not be ours to look at.
        return None
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            "what the bundle was proven on cannot be read", where=str(path), why=str(error), fix=fix
        ) from None
    if found.digest != digest:
        raise IntegrityError(
            "the evidence beside the bundle is that of another one",
            where=str(path),
            why=f"it is of {found.digest[:12]}…, the bundle is {digest[:12]}…",
            fix=fix,
        )
    return found
