"""What is required of a platform, in the words of ``--require`` and of ``[platforms]``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from afterfit.core.sections import PlatformsSection
from afterfit.errors import UsageError
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.facts import COMPLIANCE, PATHS
from afterfit.platforms.traffic import TrafficFile

__all__ = ["asked_of", "required_of", "settings_of", "weights_of_text"]

FLAGS = ("private_network", "own_keys", "scale_to_zero", "interruptible", "air_gapped")
LISTS = {"region": "regions", "provider": "providers", "exclude": "exclude"}
WORDS = {
    "residency": "residency", "gpu": "gpu_memory_gib", "payload": "payload_mb",
    "timeout": "timeout_s", "concurrency": "concurrency", "availability": "availability",
    "budget": "budget_usd_per_month", "commitment": "commitment",
}  # fmt: skip
TEXTS = ("residency", "commitment")


def settings_of(section: PlatformsSection, file: TrafficFile | None = None) -> PlatformsConfig:
    """Return the settings of ``[platforms]``, and of a ``traffic.toml``, which wins where it says.

    Programmes, systems and what is left out add up; a region or a provider of the file takes the
    place of the usual ones.

    Raises UsageError for a requirement that is none and for a value that cannot be.
    """
    told: dict[str, Any] = msgspec.to_builtins(section)
    words, known = told.pop("require"), told.pop("confirmed")
    config = asked_of(PlatformsConfig(), require=words, confirmed=known, **told)
    return config if file is None else file.asked(config)


def asked_of(
    usual: PlatformsConfig,
    *,
    require: Sequence[str] = (),
    confirmed: Sequence[str] = (),
    **own: Any,
) -> PlatformsConfig:
    """Return settings with those of a call, which win; lists of requirements add up.

    Raises UsageError for a requirement that is none and for a value that cannot be.
    """
    told: dict[str, Any] = msgspec.to_builtins(usual)
    required = told["requirements"]
    for name, value in required_of(require).items():
        required[name] = [*required[name], *value] if isinstance(value, list) else value
    known = [*usual.confirmed, *_split(confirmed)]
    try:
        return msgspec.convert(told | own | {"confirmed": known}, PlatformsConfig)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where[:-1].removeprefix("requirements.")
        required_ = f"--require {name}"
        option = required_ if "requirements" in where else f"--{name.replace('_', '-')}"
        option = option.removesuffix("[...]")
        raise UsageError(
            "an option cannot be that", where=option, why=what, fix="afterfit platforms --help"
        ) from None


def _split(texts: Iterable[str]) -> list[str]:
    return [word.strip() for each in texts for word in each.split(",") if word.strip()]


def required_of(texts: Iterable[str]) -> dict[str, Any]:
    """Return requirements by their names in the settings; raises UsageError for unknown ones."""
    found: dict[str, Any] = {}
    for word in _split(texts):
        name, told, value = (part.strip() for part in word.partition("="))
        name = name.replace("-", "_")
        if told and not value:
            raise _no_requirement(word, "it has no value", f"--require {name}=VALUE")
        if not told and name in FLAGS:
            found[name] = True
        elif not told and name in (*COMPLIANCE, *PATHS):
            kind = "compliance" if name in COMPLIANCE else "integrations"
            found.setdefault(kind, []).append(name)
        elif told and name in LISTS:
            found.setdefault(LISTS[name], []).append(value)
        elif told and (name in WORDS or name in WORDS.values()):
            found[WORDS.get(name, name)] = value if name in TEXTS else _amount(name, value)
        else:
            known = [*COMPLIANCE, *FLAGS, *PATHS, *(f"{each}=" for each in (*LISTS, *WORDS))]
            raise _no_requirement(
                word, f"there are {', '.join(known)}", "--require hipaa,region=eu"
            )
    return found


def _amount(name: str, text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise _no_requirement(f"{name}={text}", "it is a number", f"--require {name}=16") from None
    # People say 99.9 and mean per cent; a share above 1 is none.
    return value / 100 if name == "availability" and value > 1 else value


def _no_requirement(word: str, why: str, fix: str) -> UsageError:
    return UsageError(f"nothing can be required by {word!r}", where="--require", why=why, fix=fix)


def weights_of_text(text: str) -> dict[str, float]:
    """Return weights by criterion of ``cost=3,latency=2``; raises UsageError."""
    found: dict[str, float] = {}
    for word in _split([text]):
        name, _, value = (part.strip() for part in word.partition("="))
        try:
            found[name] = float(value)
        except ValueError:
            raise UsageError(
                f"{word!r} is no weight", where="--weights", why="it is NAME=NUMBER",
                fix="--weights cost=3,latency=2",
            ) from None  # fmt: skip
    return found
