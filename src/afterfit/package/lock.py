"""The serving environment: exact pins in the bundle, hashes of their files beside the image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources

from packaging.utils import canonicalize_name

from afterfit.core.finding import Finding
from afterfit.errors import InputError, UsageError
from afterfit.package import pip
from afterfit.package.config import PackageConfig
from afterfit.package.findings import DependenciesHashed

# They say where from, not what: pip gets that by its own settings.
_WHERE_OPTIONS = re.compile(
    r"(-i|-f|--index-url|--extra-index-url|--find-links|--no-index|--trusted-host|--pre"
    r"|--prefer-binary|--only-binary|--no-binary)\b"
)
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<extras>\[[A-Za-z0-9,._ -]*\])?\s*={2,3}\s*"
    r"(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)\s*(?:;\s*(?P<marker>.+))?"
)
_RUNTIME = re.compile(r"^onnxruntime==(\S+)", re.MULTILINE)
_HASH = re.compile(r"--hash[= ](sha256:[0-9a-f]{64})")


def serving_pins() -> str:
    """Return what an ONNX variant needs to be served: ``name==version`` lines, sorted."""
    return exact_pins(_shipped())


def pins(versions: Mapping[str, str]) -> str:
    """Return the pins of a mapping of distribution to version, with those that serving needs.

    For native variants: ``{"scikit-learn": "1.9.0"}``. A version given here wins.
    """
    mine = exact_pins("\n".join(f"{name}=={version}" for name, version in versions.items()))
    named = {_name_of(line) for line in mine.splitlines()}
    rest = [line for line in serving_pins().splitlines() if _name_of(line) not in named]
    return exact_pins("\n".join([*rest, *mine.splitlines()]))


def exact_pins(text: str) -> str:
    """Return the requirements as sorted ``name==version ; marker`` lines and nothing else.

    Comments, hashes and options that say where packages are found go; names are written the
    standard way (PEP 503). Raises InputError for what is no exact pin.
    """
    found: dict[str, str] = {}
    for number, line in _logical_lines(text):
        if _WHERE_OPTIONS.match(line):
            continue
        match = _PIN.fullmatch(_HASH.sub("", line).strip())
        if match is None:
            raise _no_pin(line, number)
        name = canonicalize_name(match["name"]) + (match["extras"] or "").replace(" ", "")
        marker = f" ; {match['marker'].strip()}" if match["marker"] else ""
        pin = f"{name}=={match['version']}{marker}"
        if found.setdefault(pin.partition("==")[0] + marker, pin) != pin:
            raise InputError(
                f"{name} is pinned twice",
                where=f"requirements, line {number}",
                why=f"{found[name + marker]} and {pin}",
                fix="keep one of them",
            )
    return "".join(f"{pin}\n" for pin in sorted(found.values()))


def hashed_lock(requirements: str, config: PackageConfig) -> tuple[str, Finding]:
    """Return the pins with the hashes of their files, and the finding that says whence.

    What Afterfit ships a lock for needs no network; anything else, and any index or wheelhouse
    that is asked for, goes through pip. Raises InputError, UnavailableError, DependencyError.
    """
    wanted = exact_pins(requirements)
    if config.accelerator == "cuda":
        wanted = for_cuda(wanted)
    shipped = _shipped_hashes()
    if not config.index.given and all(line in shipped for line in wanted.splitlines()):
        text = "".join(_entry(line, shipped[line]) for line in wanted.splitlines())
        return text, DependenciesHashed.passed("the hashes are those of the lock of Afterfit")
    text = resolve_hashes(wanted, config)
    return text, DependenciesHashed.passed("the hashes are those of the files that pip chose")


def for_cuda(requirements: str) -> str:
    """Return requirements with ONNX Runtime for GPUs of NVIDIA, and its libraries as wheels.

    Its releases come later than those for the CPU, so it is the newest up to the one that is
    pinned; the lock made of it is exact. Raises UsageError for a model without ONNX Runtime.
    """
    found, count = _RUNTIME.subn(r"onnxruntime-gpu[cuda,cudnn]<=\1", requirements)
    if not count:
        raise UsageError(
            "the model does not run on ONNX Runtime",
            why="no other runtime is put on a GPU",
            fix="leave --accelerator out",
        )
    return found


def resolve_hashes(requirements: str, config: PackageConfig) -> str:
    """Return ``name==version --hash=sha256:…`` lines of everything that pip would install.

    pip itself chooses, for each platform of ``config``, with its own rules for indexes, wheelhouses
    and proxies. Hosts and credentials stay out of the text. Errors as ``hashed_lock``.
    """
    hashes: dict[str, set[str]] = {}
    versions: dict[str, str] = {}
    for platform in config.platforms:
        for name, version, digest in pip.report(requirements, config, platform):
            if versions.setdefault(name, version) != version:
                raise InputError(
                    f"{name} resolves to {versions[name]} and {version} on different platforms",
                    fix="pin it, or package for one platform at a time",
                )
            hashes.setdefault(f"{name}=={version}", set()).add(f"sha256:{digest}")
    return "".join(_entry(pin, sorted(hashes[pin])) for pin in sorted(hashes))


def _entry(pin: str, hashes: list[str]) -> str:
    return " \\\n    ".join([pin, *(f"--hash={each}" for each in hashes)]) + "\n"


def _shipped() -> str:
    file = resources.files("afterfit.package").joinpath("data", "serving.lock")
    return file.read_text(encoding="utf-8")


def _shipped_hashes() -> dict[str, list[str]]:
    return {
        exact_pins(line).strip(): sorted(_HASH.findall(line))
        for _, line in _logical_lines(_shipped())
    }


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) without comments and blank lines, continued lines joined."""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        plain = re.sub(r"(^|\s)#.*$", "", line).strip()
        start = start if joined else number
        if plain.endswith("\\"):
            joined += plain[:-1] + " "
            continue
        joined += plain
        if joined.strip():
            yield start, joined.strip()
        joined = ""
    if joined.strip():
        yield start, joined.strip()


def _name_of(pin: str) -> str:
    return pin.partition("==")[0].partition("[")[0]


def _no_pin(line: str, number: int) -> InputError:
    return InputError(
        f"not an exact pin: {pip.redact(line)!r}",
        where=f"requirements, line {number}",
        why="a bundle states the environment that it was measured in: name==version, no ranges, "
        "no files, no addresses",
        fix="write, for example: scikit-learn==1.9.0",
    )
