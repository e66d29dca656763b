"""The native files of XGBoost, LightGBM and CatBoost: whether whole, and their versions."""

from __future__ import annotations

import re

import msgspec

from afterfit.models.pickle_rules import Rules
from afterfit.models.pickle_values import RefusedError

__all__ = ["audit_native"]

UBJ_VERSION = re.compile(rb"version\[#(?:L.{7}\x03|[iU]\x03)((?:[iUIlL].{1,8}?){3})", re.DOTALL)
UBJ_WIDTHS = {ord("i"): 1, ord("U"): 1, ord("I"): 2, ord("l"): 4, ord("L"): 8}
TAIL = 1 << 12


class _Learner(msgspec.Struct):
    gradient_booster: msgspec.Raw
    objective: msgspec.Raw


class _Booster(msgspec.Struct):
    learner: _Learner
    version: list[int] = []


def audit_native(form: str, data: memoryview, rules: Rules) -> None:
    """Read the versions and check that the file is whole; raises RefusedError."""
    {
        "xgboost-json": _xgboost_json,
        "xgboost-ubj": _xgboost_ubj,
        "lightgbm-text": _lightgbm,
        "catboost": _catboost,
    }[form](data, rules)


def _xgboost_json(data: memoryview, rules: Rules) -> None:
    try:
        model = msgspec.json.decode(data, type=_Booster)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(f"not a whole XGBoost model: {error}") from error
    if model.version:
        rules.versions["xgboost"] = ".".join(str(part) for part in model.version)


def _xgboost_ubj(data: memoryview, rules: Rules) -> None:
    tail = bytes(data[-TAIL:])
    if not tail.endswith(b"}"):
        raise RefusedError("the file ends in the middle of the XGBoost model", len(data))
    if b"gradient_booster" not in bytes(data[:TAIL]) + tail and b"learner" not in bytes(data[:64]):
        raise RefusedError("an XGBoost model without a learner")
    version = ubj_version(tail)
    if version:
        rules.versions["xgboost"] = version


def ubj_version(tail: bytes) -> str:
    """Return the version that the end of a UBJSON model tells, or an empty text."""
    found = UBJ_VERSION.search(tail)
    if not found:
        return ""
    parts, position = [], found.start(1)
    for _ in range(3):
        width = UBJ_WIDTHS.get(tail[position], 0) if position < len(tail) else 0
        if not width:
            return ""
        parts.append(int.from_bytes(tail[position + 1 : position + 1 + width], "big", signed=True))
        position += 1 + width
    return ".".join(str(part) for part in parts)


def _lightgbm(data: memoryview, rules: Rules) -> None:
    rules.long_text(data)
    if b"\nend of trees" not in bytes(data):
        raise RefusedError("the file ends before the last tree", len(data))
    if b"version=" not in bytes(data[:TAIL]):
        raise RefusedError("a LightGBM model without a version")


def _catboost(data: memoryview, rules: Rules) -> None:
    if len(data) < 8:
        raise RefusedError("the file ends in the middle of the CatBoost header", len(data))
    size = int.from_bytes(data[4:8], "little")
    if 8 + size > len(data):
        raise RefusedError("the file ends in the middle of the CatBoost model", len(data))
    found = re.search(rb"catboost_version_info", bytes(data))
    if found:
        rules.note("the file tells the CatBoost version that wrote it")
