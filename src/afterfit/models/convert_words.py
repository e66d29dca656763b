"""What converters complain of, in words that name the cause and what to do."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from afterfit.errors import ModelError

__all__ = ["brief", "plain"]

MAX_MESSAGE = 300
"""Characters kept of a converter's complaint: some print megabytes."""

_NO_CONVERTER = re.compile(
    r"Unable to find a (?:shape calculator|converter) for type '<class '(.+?)'>"
)
_NOTHING = "or nothing, the model answers as it is"


def brief(error: BaseException) -> str:
    """Return the first words of an error, at most 300 characters."""
    text = str(error).strip()
    lines = [line.strip() for line in text[: 20 * MAX_MESSAGE].splitlines() if line.strip()]
    message = lines[0] if lines else type(error).__name__
    if isinstance(error, ModelError) or not lines:
        return message[:MAX_MESSAGE]
    return f"{type(error).__name__}: {message}"[:MAX_MESSAGE]


def plain(error: BaseException) -> str:
    """Return a known complaint as its cause and its fix in one line, another by its first words."""
    text = brief(error)
    if isinstance(error, ModelError):
        return text
    unknown = _NO_CONVERTER.search(text)
    if unknown:
        return _no_form(unknown.group(1))
    if "FunctionTransformer is not supported" in text:
        return (
            "a FunctionTransformer with a function of its own has no ONNX form (fix: a step of "
            f"scikit-learn's that does the same, or its work before the model; {_NOTHING})"
        )
    if "data-dependent" in text:
        return (
            "the network branches by what is in the rows (data-dependent control flow), which has "
            f"no ONNX form (fix: torch.where in place of if; {_NOTHING})"
        )
    newer = _protobuf()
    if newer >= 7 and "Unable to create node" in text:
        return (
            f"skl2onnx cannot write this model with protobuf {newer} (fix: pip install "
            f"'protobuf<7'; {_NOTHING})"
        )
    return text


def _no_form(kind: str) -> str:
    """Return what to do about a step without a converter; ``kind`` is its class with its module."""
    name = kind.rpartition(".")[2]
    if kind.startswith("sklearn."):
        return f"scikit-learn's {name} has no ONNX form (fix: a step that has one; {_NOTHING})"
    return (
        f"{name} is not scikit-learn's own and has no ONNX form (fix: steps of scikit-learn's, or "
        f"its work before the model; {_NOTHING})"
    )


def _protobuf() -> int:
    try:
        return int(version("protobuf").partition(".")[0])
    except (PackageNotFoundError, ValueError):
        return 0
