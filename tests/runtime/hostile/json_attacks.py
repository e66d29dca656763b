"""JSON that a client should never send: valid documents with a wound in a random place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Callable


class Raw(str):
    """Text that stands in a document as it is, whether it is JSON or not."""

    __slots__ = ()


class Pairs(NamedTuple):
    """An object whose names may come twice."""

    items: list[tuple[str, Any]]


TOKENS = [
    *("NaN", "Infinity", "-Infinity", "1e309", "-1e309", "1e-400", "-0", "-0.0", "5e-324"),
    *("1.7e308", "-1.7e308", "1e155", "9007199254740993", "9223372036854775807", "1e19"),
    *("9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" + "0" * 400),
    *("1" * 5000, "0." + "1" * 5000, "1e99999999999", "01", "+1", ".5", "1.", "0x1F", "1_000"),
    *("-", "--1", "1E+2", "nul", "None", "undefined", "'a'", "True", "null", "true", "false"),
    *("[]", "{}", "[[]]", '{"a":1}', "[1]", "[null]", '""', '"NaN"', '"nan"', '"Infinity"'),
    *(r'"\ud800"', r'"\udfff\ud800"', r'"\u0000"', r'"\uD83D"', r'"\x41"', '"\t"', '"a\nb"'),
    *('"\u202e\u200d\ufeff"', '"e\u0301"', '"\u00e9"', '"' + "x" * 9_999 + '"', '"clerk "'),
    *('"' + "x" * 10_001 + '"', '"' + "\U0001f600" * 3_000 + '"', '"$(id)"', '"\';--"', '"%s%n"'),
]
WORDS = ["rows", "columns", "inputs", "instances", "data", "__proto__", "", "a" * 3000, "\u202e"]


def encode(value: Any) -> str:
    """The text of a document."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        value = Pairs(list(value.items()))
    if isinstance(value, Pairs):
        members = (f"{json.dumps(name)}:{encode(item)}" for name, item in value.items)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(encode, value)) + "]"
    return json.dumps(value)


def wounded(document: Any, rng: random.Random) -> bytes:
    """The bytes of a document with one to three wounds; now and then it is left whole."""
    root = [document]
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        rng.choice(WOUNDS)(root, rng)
    data = encode(root[0]).encode("utf-8", "surrogatepass")
    return damaged(data, rng) if rng.random() < 0.25 else data


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes with a wound of their own."""
    return rng.choice(DAMAGES)(data, rng)


def _place(root: list[Any], rng: random.Random) -> tuple[Any, Any]:
    """A random container of the document and a key in it; deep ones are as likely as high ones."""
    container: Any = root
    key: Any = 0
    while rng.random() < 0.75:
        inner = container[key]
        if isinstance(inner, dict) and inner:
            container, key = inner, rng.choice(list(inner))
        elif isinstance(inner, list) and inner:
            container, key = inner, rng.randrange(len(inner))
        else:
            break
    return container, key


def _replace(root: list[Any], rng: random.Random) -> None:
    container, key = _place(root, rng)
    container[key] = Raw(rng.choice(TOKENS))


def _remove(root: list[Any], rng: random.Random) -> None:
    container, key = _place(root, rng)
    if container is not root:
        del container[key]


def _rename(root: list[Any], rng: random.Random) -> None:
    container, key = _place(root, rng)
    if isinstance(container, dict):
        name = rng.choice([*WORDS, str(key).upper(), f"{key} ", f"{key}\u0301"])
        container[name] = container.pop(key)


def _twice(root: list[Any], rng: random.Random) -> None:
    container, key = _place(root, rng)
    inner = container[key]
    if isinstance(inner, dict) and inner:
        name = rng.choice(list(inner))
        container[key] = Pairs([*inner.items(), (name, Raw(rng.choice(TOKENS)))])


def _add(root: list[Any], rng: random.Random) -> None:
    container, key = _place(root, rng)
    token = Raw(rng.choice(TOKENS))
    if isinstance(container, dict):
        container[rng.choice(WORDS)] = token
    else:
        container[key] = [container[key], token]


def _nest(root: list[Any], rng: random.Random) -> None:
    container, key = _place(root, rng)
    depth = rng.choice((1, 10, 200, 1_500, 9_000))
    before, after = rng.choice((("[", "]"), ('{"a":', "}"), ("[" * 3, "]" * 3)))
    if rng.random() < 0.2:
        after = ""
    container[key] = Raw(before * depth + encode(container[key]) + after * depth)


def _repeat(root: list[Any], rng: random.Random) -> None:
    container, key = _place(root, rng)
    if isinstance(container[key], list):
        container[key] = container[key] * rng.choice((2, 49, 50, 51, 500))


WOUNDS: list[Callable[[list[Any], random.Random], None]] = [
    *(_replace, _replace, _replace, _remove, _rename, _twice, _add, _nest, _repeat)
]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        changed[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(changed)


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    piece = rng.choice((b"\0", b"\xff", b"\xed\xa0\x80", b"//", b",", b"\xc3", b"\x1b[31m", b" "))
    return data[:at] + piece * rng.choice((1, 1, 100)) + data[at:]


def _around(data: bytes, rng: random.Random) -> bytes:
    before, after = rng.choice(
        ((b"\xef\xbb\xbf", b""), (b" " * 5000, b""), (b"", data), (b"", b"]"), (b"\xff\xfe", b""))
    )
    return before + data + after


def _recode(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "latin-1")), "replace")


def _other(_: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        (b"", b" ", b"\0", b"{}", b"[]", b"null", b"0", b'"', b"{", b"[" * 50_000, b"NaN", b"\xff")
    )


DAMAGES = [_cut, _cut, _flip, _flip, _insert, _around, _recode, _other]
