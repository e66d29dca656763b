"""A bundle: the payload that is shipped, holding only what decides predictions.

::

    manifest.json      path -> {sha256, size}; its SHA-256 is the version digest
    signature.json     columns, classes, positive class, threshold
    fingerprint.json   the reference distribution
    ood.json           how rows unlike the reference are told, if they are
    golden.json        synthetic rows with their expected outputs
    variant.json       how the model file is run
    model/…            the model file(s)
    code/…             the user's own code, if any
    requirements.lock  the serving environment
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import msgspec

from afterfit.core.digest import canonical_json, sha256_bytes, sha256_file
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.scale import AnswerScale
from afterfit.core.shell import shell_word
from afterfit.core.signature import Signature
from afterfit.errors import RESTORE, IntegrityError, NotFoundError, UntrustedError

T = TypeVar("T")
MANIFEST = "manifest.json"
OWN_CODE_FORMATS = frozenset({"cloudpickle", "function"})
JUDGED_FORMATS = frozenset(
    {
        "catboost",
        "joblib",
        "lightgbm-text",
        "onnx",
        "pickle",
        "skops",
        "torch-export",
        "torchscript",
        "xgboost-json",
        "xgboost-ubj",
    }
)
"""What holds data alone, or is audited each time before it is loaded."""


class BundleFile(msgspec.Struct, frozen=True):
    """One file of a bundle: the SHA-256 of its bytes and its size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Every file of a bundle by its relative path, sorted."""

    files: dict[str, BundleFile]
    schema: int = 1

    def encode(self) -> bytes:
        """Return the canonical bytes, whose SHA-256 is the version digest."""
        return canonical_json(self)

    @property
    def digest(self) -> str:
        """The version digest."""
        return sha256_bytes(self.encode())


class TensorInput(msgspec.Struct, frozen=True, kw_only=True):
    """One input of an ONNX graph, and the columns it is made of.

    ``rank`` 1 is a tensor of [n], ``rank`` 2 one of [n, columns]. ``shape`` is that of one row
    where it is no list of columns: 64 columns of an image are (1, 8, 8), and the tensor [n, 1, 8,
    8]. ``missing`` is the string that stands for a missing value in a string tensor.
    """

    name: str
    columns: tuple[str, ...]
    dtype: Literal["float32", "float64", "int64", "int32", "bool", "string"]
    rank: Literal[1, 2] = 2
    missing: str = ""
    shape: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


class GraphOutput(msgspec.Struct, frozen=True, kw_only=True):
    """Where an ONNX graph's answer is and what form it has.

    ``matrix``: [n, classes] probabilities. ``positive``: [n] or [n, 1], the second class's.
    ``scores`` and ``score`` are the same before a softmax and a sigmoid, which are then added.
    ``zipmap``: a list of {class: p}. ``label``: [n] labels. ``value``: [n] or [n, 1] numbers.
    ``label`` names a second output that holds labels, where the graph decides them by itself.
    ``refuses_nan`` says that the model refuses rows for which the graph answers NaN, so that they
    must be refused.
    """

    name: str
    form: Literal["matrix", "positive", "scores", "score", "zipmap", "label", "value"]
    label: str | msgspec.UnsetType = msgspec.UNSET
    refuses_nan: bool | msgspec.UnsetType = msgspec.UNSET


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One runnable form of the model and how to run it.

    ``runtime`` names an entry point of the group ``afterfit.variants``. ``file`` is relative to
    the bundle. ``function`` is ``module:function`` for the user's own. ``trusted`` lists what the
    audit let in, as the loader of that format needs it. ``large`` is what answers many rows.
    """

    name: str
    runtime: str
    framework: str
    file: str
    format: str = ""
    inputs: tuple[TensorInput, ...] = ()
    output: GraphOutput | None = None
    code: bool = False
    function: str = ""
    trusted: tuple[str, ...] = ()
    large: Large | msgspec.UnsetType = msgspec.UNSET

    @property
    def own_code(self) -> bool:
        """Whether it brings code of the user's own: a folder of it, or classes by value."""
        mine = self.code or bool(self.function) or self.format in OWN_CODE_FORMATS
        return mine or (self.large.variant.own_code if self.large else False)

    @property
    def asks(self) -> str:
        """What runs in it that no audit judges, in words; empty where nothing does."""
        if self.runtime not in {"native", "onnx"}:
            return f"a plugin runs it ({self.runtime})"
        if self.own_code:
            return "it brings code of its own"
        if self.trusted:
            more = f" and {len(self.trusted) - 5} more" if len(self.trusted) > 5 else ""
            return f"its file needs names let in: {', '.join(self.trusted[:5])}{more}"
        if self.runtime != "onnx" and self.format not in JUDGED_FORMATS:
            return f"nothing audits the format {self.format!r}"
        return self.large.variant.asks if self.large else ""


class Large(msgspec.Struct, frozen=True, kw_only=True):
    """What answers a call of ``rows`` rows and more, in place of the variant that holds it."""

    rows: int
    variant: Variant


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """Synthetic rows (column -> values) and what the model must answer, within ``tolerance``.

    ``scale`` is that of a regression's answers to the reference, which ``tolerance`` multiplies.
    """

    columns: dict[str, list[Any]]
    probabilities: list[list[float]] | None = None
    values: list[float] | None = None
    codes: list[int] | None = None
    tolerance: float = 1e-5
    scale: AnswerScale | msgspec.UnsetType = msgspec.UNSET


class Bundle:
    """A bundle on disk, read lazily; ``verify`` before believing it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifest: Manifest | None = None

    @property
    def manifest(self) -> Manifest:
        """The manifest; raises NotFoundError or IntegrityError."""
        if self._manifest is None:
            self._manifest = _read(self.folder / MANIFEST, Manifest)
        return self._manifest

    @property
    def digest(self) -> str:
        """The version digest."""
        return self.manifest.digest

    @property
    def signature(self) -> Signature:
        """The columns and outputs."""
        return _read(self.folder / "signature.json", Signature)

    @property
    def fingerprint(self) -> Fingerprint:
        """The reference distribution."""
        return _read(self.folder / "fingerprint.json", Fingerprint)

    @property
    def variant(self) -> Variant:
        """How the model file is run."""
        return _read(self.folder / "variant.json", Variant)

    @property
    def golden(self) -> Golden:
        """Synthetic rows with their expected outputs."""
        return _read(self.folder / "golden.json", Golden)

    def verify(self, expected: str | None = None) -> str:
        """Return the digest after hashing every byte; raises IntegrityError naming the file."""
        path = self.folder / MANIFEST
        digest = sha256_bytes(_bytes(path))
        if expected is not None and digest != expected:
            raise _changed(path, expected, digest)
        for name, entry in self.manifest.files.items():
            check_file_name(name, path)
            _check_file(self.folder / name, entry)
        _check_nothing_else(self.folder, self.manifest)
        return digest


def require_trust(bundle: Bundle) -> None:
    """Do nothing for a bundle that anybody may load; raises UntrustedError for one that asks more.

    A bundle tells itself what it needs let in, so its own word is none. What counts is that
    somebody named its digest: the registry, or whoever starts it.
    """
    asks = bundle.variant.asks
    if asks:
        raise UntrustedError(
            "the bundle runs what no audit judges, and nobody has named its digest",
            where=str(bundle.folder),
            why=asks,
            fix="compare its digest with the one that its maker tells you, then name it: "
            f"--trust sha256:{bundle.digest}",
            code="bundle",
            found=bundle.variant.trusted,
        )


def write_manifest(folder: Path) -> Manifest:
    """Return the manifest of every file below ``folder`` after writing it there."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            files[name] = BundleFile(sha256_file(path), path.stat().st_size)
    manifest = Manifest(files=files)
    (folder / MANIFEST).write_bytes(manifest.encode())
    return manifest


def check_file_name(name: str, where: Path) -> None:
    """Raise IntegrityError for a manifest's path that leads out of its folder or means a drive."""
    path = PurePosixPath(name)
    bad = path.is_absolute() or ".." in path.parts or any(c in name for c in "\\:\0")
    if bad or not name or path.as_posix() != name or name == MANIFEST:
        raise IntegrityError(
            f"the manifest names a file that no bundle may have: {name!r}",
            where=str(where),
            why="a file of a bundle has a plain path below the bundle's folder",
            fix="do not use this bundle; register the model again from its source",
        )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(
            f"{path.name} is not there",
            where=str(path),
            why="a bundle is a folder with a manifest and every file that it names",
            fix="name the folder of a bundle: .afterfit/bundles/DIGEST",
        ) from None


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(_bytes(path), type=kind)
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            f"{path.name} cannot be read", where=str(path), why=str(error), fix=RESTORE
        ) from None


def _check_file(path: Path, entry: BundleFile) -> None:
    if not path.is_file():
        raise IntegrityError("a file of the bundle is gone", where=str(path), fix=RESTORE)
    found = sha256_file(path)
    if found != entry.sha256:
        raise _changed(path, entry.sha256, found)


def _check_nothing_else(folder: Path, manifest: Manifest) -> None:
    # A stray __pycache__ counts too: Python would run it in place of the digested source.
    # A link's bytes are elsewhere, and what it leads to can change after it was looked at.
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise IntegrityError(
                "a link, where a bundle has plain files", where=str(path), fix=RESTORE
            )
        if path.is_file() and name != MANIFEST and name not in manifest.files:
            raise IntegrityError(
                "a file that the manifest does not name",
                where=str(path),
                fix=f"rm {shell_word(path)}   # if nobody needs it",
            )


def _changed(path: Path, expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} is not the file that was registered",
        where=str(path),
        why=f"its SHA-256 is {found[:16]}…, the registered one {expected[:16]}…",
        fix="restore it from a copy, or register the model again",
    )
