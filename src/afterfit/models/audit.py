"""A model file looked at before anything in it is loaded; what is not known is refused.

The bytes are followed, never run: no import, no unpickling, no framework. A verdict of ``clean``
says that loading the file with its own loader (``joblib.load`` for ``joblib``, ``pickle.load`` for
``pickle``, ``skops.io.load`` with ``Audit.globals`` as trusted types, …) imports and calls nothing
but the names of ``allow.txt`` and of ``allow``. It says nothing about the quality of the model, and
does not bound the memory accesses of a framework that is given hostile arrays or trees. What the
allowed classes call on each other when the model predicts is not followed: methods that a state
would replace are refused, but attributes that honest models fill are the file's own choice. So a
clean file still belongs into a child process without a network.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from afterfit.errors import ModelError, UntrustedError
from afterfit.models.allow import danger
from afterfit.models.container import expand
from afterfit.models.native_files import audit_native
from afterfit.models.opcodes import follow
from afterfit.models.pickle_rules import Rules
from afterfit.models.pickle_values import RefusedError
from afterfit.models.protobuf import leaves_folder, onnx_facts
from afterfit.models.skops_file import audit_skops, checked_members, read_member
from afterfit.models.sniff import Format, compression, opened, sniff_bytes
from afterfit.models.torch_archive import audit_export, audit_script
from afterfit.models.torch_weights import audit_safetensors, pickled_network

__all__ = ["Audit", "Verdict", "audit", "known_dangers", "require_clean", "require_meant"]

Verdict = Literal["clean", "unknown", "hostile", "unreadable"]
SUFFIXES: dict[str, tuple[Format, ...]] = {
    ".onnx": ("onnx",),
    ".skops": ("skops",),
    ".joblib": ("joblib", "pickle"),
    ".pkl": ("pickle", "joblib"),
    ".pickle": ("pickle", "joblib"),
    ".ubj": ("xgboost-ubj",),
    ".json": ("xgboost-json",),
    ".cbm": ("catboost",),
    ".txt": ("lightgbm-text",),
    ".pt": ("torch", "torchscript"),
    ".pt2": ("torch-export",),
    ".safetensors": ("safetensors",),
}
SHOWN = 12
_ZIPS = frozenset({"skops", "torch", "torch-export", "torchscript"})
ASK = "Ask whoever made the file for one without it, such as ONNX or skops."
SEARCH = re.compile(r"sklearn\.model_selection\._search\w*\.\w*SearchCV")


class Audit(msgspec.Struct, frozen=True):
    """What a model file holds, and whether it may be loaded."""

    format: Format
    digest: str
    """sha256 of the file, in hexadecimal."""
    size: int
    """Bytes."""
    flavour: str
    """How the bytes are packed: ``plain``, a compression, or ``zip``."""
    globals: tuple[str, ...]
    """Every ``module.name`` that loading would import."""
    unknown: tuple[str, ...]
    """Those that are not known to be harmless, nor allowed."""
    dangerous: tuple[tuple[str, str], ...]
    """(name, reason) of those known to be dangerous, and not allowed by their exact name."""
    verdict: Verdict
    notes: tuple[str, ...]
    versions: dict[str, str]
    """Library versions that the file tells."""
    outside: tuple[str, ...] = ()
    """Other files that hold a part of the model, which the digest does not cover."""
    let_in: tuple[tuple[str, str], ...] = ()
    """(name, reason) of those known to be dangerous that were allowed: no ``clean`` covers them."""


def audit(path: Path, *, allow: frozenset[str] = frozenset()) -> Audit:
    """Return what the file holds and a verdict; ``allow`` adds exact ``module.name`` names.

    Raises what :func:`~afterfit.models.sniff.sniff` raises. Whatever else is wrong with the file is
    a verdict, not an exception.
    """
    with opened(path) as data:
        form = sniff_bytes(data, path)
        rules = Rules(allow=allow)
        flavour = "zip" if form in _ZIPS else "plain"
        if form == "joblib":
            flavour = compression(bytes(data[:16])) or "plain"
        trouble = ""
        try:
            form = _inspect(form, data, path, rules)
        except RefusedError as error:
            trouble = f"cannot be followed at byte {error.offset}: {error.reason}"
        except RecursionError:
            trouble = "cannot be followed: nested too deeply"
        except Exception as error:  # noqa: BLE001 what surprises the audit is not trusted either
            trouble = f"cannot be followed: {type(error).__name__}: {error}"
        rules.finish()
        digest = hashlib.sha256(data).hexdigest()
        size = len(data)
    _note_name(path, form, rules)
    if trouble:
        rules.note(trouble)
    return Audit(
        format=form,
        digest=digest,
        size=size,
        flavour=flavour,
        globals=tuple(sorted(rules.globals)),
        unknown=tuple(sorted(rules.unknown - set(rules.dangerous))),
        dangerous=tuple(sorted(rules.dangerous.items())),
        verdict=_verdict(rules, trouble),
        notes=tuple(rules.notes),
        versions=dict(sorted(rules.versions.items())),
        outside=tuple(sorted(rules.outside)),
        let_in=tuple(known_dangers(rules.globals & allow)),
    )


def known_dangers(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, reason), sorted, of the ``module.name`` that are known to be dangerous."""
    for full in sorted(names):
        module, _, name = full.rpartition(".")
        if reason := danger(module, name):
            yield full, reason


def _verdict(rules: Rules, trouble: str) -> Verdict:
    if rules.dangerous:
        return "hostile"
    if trouble or rules.outside:
        return "unreadable"
    return "unknown" if rules.unknown else "clean"


def _inspect(form: Format, data: memoryview, path: Path, rules: Rules) -> Format:
    if form in ("pickle", "joblib"):
        return _audit_pickle(data, rules)
    if form == "skops":
        audit_skops(data, rules)
    elif form == "onnx":
        _audit_onnx(data, path, rules)
    elif form in _ARCHIVES:
        _ARCHIVES[form](data, rules)
    elif form == "unknown":
        raise RefusedError("not the bytes of a model format that is known")
    else:
        audit_native(form, data, rules)
    return form


def _audit_pickle(data: memoryview, rules: Rules) -> Format:
    packed = compression(bytes(data[:16]))
    pickles, arrays = follow(expand(data, packed) if packed else data, rules)
    if pickles > 1:
        rules.note(f"holds {pickles} pickles one after the other; a loader reads the first only")
    # pickle.load would take the arrays that joblib writes between for instructions
    return "joblib" if packed or arrays else "pickle"


def _audit_onnx(data: memoryview, path: Path, rules: Rules) -> None:
    facts = onnx_facts(data)
    rules.versions.update(facts.versions)
    rules.globals |= facts.custom
    rules.unknown |= facts.custom - rules.allow
    for location in sorted(facts.locations):
        target = path.parent / location
        if leaves_folder(location):
            rules.dangerous[f"file {location}"] = "external data outside of the model's folder"
        elif not target.resolve().is_relative_to(path.parent.resolve()):
            rules.dangerous[f"file {location}"] = "a link out of the model's folder"
        elif not target.is_file():
            raise RefusedError(f"its external data {location} is missing")
        else:
            rules.outside.add(location)
            rules.note(f"keeps weights in {location}, which the digest does not cover")


def _audit_torch(data: memoryview, rules: Rules) -> None:
    rules.torch = True
    with checked_members(data, rules) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".pkl"):
                follow(memoryview(read_member(archive, name)), rules)


_ARCHIVES: dict[str, Callable[[memoryview, Rules], None]] = {
    "safetensors": audit_safetensors,
    "torch": _audit_torch,
    "torch-export": audit_export,
    "torchscript": audit_script,
}


def _note_name(path: Path, form: Format, rules: Rules) -> None:
    suffix = path.suffix.lower()
    expected = SUFFIXES.get(suffix)
    if expected is not None and form not in expected and form != "unknown":
        rules.note(f"the name ends in {suffix}, the bytes are {form}")


def require_clean(found: Audit, path: Path) -> None:
    """Return nothing where the file may be loaded.

    Raises ModelError for a file that cannot be followed to its end, and UntrustedError, with
    ``found`` and the command that would let in what is merely unknown, for the rest.
    """
    if found.verdict == "clean":
        return
    if found.format == "torch":
        raise pickled_network(path, found.unknown + tuple(name for name, _ in found.dangerous))
    bad = tuple(f"{name} ({reason})" for name, reason in found.dangerous)
    notes = "; ".join(found.notes)
    if found.verdict == "unreadable" and found.outside:
        raise ModelError(
            "The graph keeps weights in other files, so it is not loaded.",
            where=str(path),
            why=f"the digest of {path.name} would be the same with other weights in "
            f"{_shown(found.outside)}",
            fix=_merged(path),
            code="outside",
        )
    if found.verdict == "unreadable":
        raise ModelError(
            "The model file cannot be audited, so it is not loaded.",
            where=str(path),
            why=notes,
            fix="Write the model again with the library that made it, or export it to ONNX.",
            code="unreadable",
        )
    if bad:
        raise UntrustedError(
            "The model file holds what can harm this machine; it was not loaded.",
            where=str(path),
            why=_shown(bad) + (f". {notes}" if notes else ""),
            fix=_search_fix(found) or ASK,
            code="hostile",
            found=(*(name for name, _ in found.dangerous), *found.unknown),
        )
    names = " ".join(f"--allow {shlex.quote(name)}" for name in found.unknown)
    raise UntrustedError(
        "The model file holds names that are not known; it was not loaded.",
        where=str(path),
        why=f"{_shown(found.unknown)}: let them in only if they are yours"
        + (f". {notes}" if notes else ""),
        fix=f"afterfit trust {shlex.quote(str(path))} {names}",
        code="unknown",
        found=found.unknown,
    )


def require_meant(found: Audit, path: Path, names: Iterable[str]) -> None:
    """Return nothing where no name runs code that nobody judges; raises UntrustedError.

    ``found`` is the audit of the file with nothing let in.
    """
    wanted = set(names)
    bad = {n: why for n, why in found.dangerous if n in wanted} | dict(known_dangers(wanted))
    if not bad:
        return
    told = " ".join(f"--allow {shlex.quote(name)}" for name in sorted(wanted))
    raise UntrustedError(
        f"{_shown(tuple(sorted(bad)))}: known to be dangerous, so nothing was let in.",
        where=str(path),
        why="; ".join(f"{name} {reason}" for name, reason in sorted(bad.items()))
        + ": whoever made the file decides what it does here",
        fix=f"{ASK} If you made it: afterfit trust {shlex.quote(str(path))} {told} "
        "--i-know-it-runs-code",
        code="hostile",
        found=tuple(sorted(bad)),
    )


def _search_fix(found: Audit) -> str:
    """Return how to keep a search's model without the distributions that it drew from, if any."""
    if not any(SEARCH.fullmatch(name) for name in found.globals):
        return ""
    if not any(name.startswith("scipy.stats.") for name, _ in found.dangerous):
        return ""
    return (
        "joblib.dump(search.best_estimator_, 'model.joblib')   # if the search is yours: its model "
        f"alone, without the distributions it drew from. Otherwise a{ASK[1:]}"
    )


def _merged(path: Path) -> str:
    """Return the command that writes a graph and its weights into one file beside it."""
    whole = path.with_name(f"{path.stem}-whole{path.suffix}")
    code = f"import onnx; onnx.save(onnx.load({str(path)!r}), {str(whole)!r})"
    return f"python -c {shlex.quote(code)}"


def _shown(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
