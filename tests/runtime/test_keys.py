"""API keys: who is let in, to what, how often; and what happens when the file changes."""

from __future__ import annotations

import base64
import json
import math
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.errors import (
    AfterfitError,
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UsageError,
)
from afterfit.runtime import keys as keys_module
from afterfit.runtime.key_file import (
    KeyFile,
    KeyLimits,
    Role,
    add_key,
    encode_key_file,
    find_key,
    new_key_file,
    read_key_file,
    revoke_key,
)
from afterfit.runtime.keys import Grant, KeyRing, Refusal, credentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = time.time()


class Shop:
    """A file of keys that a test changes, and what its rings said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = new_key_file()
        self.said: list[dict[str, Any]] = []
        self.save()

    def add(self, *roles: Role, **options: Any) -> bytes:
        """The header of a new key in the file."""
        self.file, _, text = add_key(self.file, f"k{len(self.file.keys)}", roles, **options)
        self.save()
        return b"Bearer " + text.encode()

    def save(self, data: bytes | None = None) -> None:
        """Write the file, as a command does: beside it, then in its place."""
        new = self.path.with_name("new")
        new.write_bytes(encode_key_file(self.file) if data is None else data)
        new.chmod(0o600)
        new.replace(self.path)

    def ring(self, share: float = 1.0) -> KeyRing:
        """A ring of the file."""
        return KeyRing(self.path, share=share, say=self.said.append)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A file without keys."""
    return Shop(tmp_path / "keys.json")


def refused(answer: Grant | Refusal) -> Refusal:
    """The answer, which is a refusal."""
    assert isinstance(answer, Refusal)
    return answer


def granted(answer: Grant | Refusal) -> Grant:
    """The answer, which is a grant."""
    assert isinstance(answer, Grant), answer
    return answer


def problem_of(ring: KeyRing) -> AfterfitError | None:
    """Why the last reload failed; a call, because type checkers think that nothing changes it."""
    return ring.problem


def test_a_key_holds_for_its_roles_and_no_other(shop: Shop) -> None:
    """The whole matrix: 403 where the role is missing, and admin is no other role."""
    headers = {role: shop.add(role) for role in ("predict", "label", "admin")}
    ring = shop.ring()
    for held, header in headers.items():
        for asked in ("predict", "label", "admin"):
            answer = ring.authorize(header, asked, "churn", NOW)
            if held == asked:
                assert granted(answer).name == f"k{list(headers).index(held)}"
            else:
                assert refused(answer).status == 403
                assert asked in refused(answer).message


def test_a_key_of_several_roles_holds_for_each(shop: Shop) -> None:
    """A key has a set of roles."""
    header = shop.add("predict", "label")
    ring = shop.ring()
    granted(ring.authorize(header, "predict", "m", NOW))
    granted(ring.authorize(header, "label", "m", NOW))
    assert refused(ring.authorize(header, "admin", "m", NOW)).status == 403


def test_a_key_limited_to_models_holds_for_them(shop: Shop) -> None:
    """Others are 403; what is about no model passes, except an order that concerns all models."""
    header, free = shop.add("predict", "admin", models=("churn", "fraud")), shop.add("admin")
    ring = shop.ring()
    for model in ("churn", "fraud", ""):
        granted(ring.authorize(header, "predict", model, NOW))
    assert refused(ring.authorize(header, "predict", "other", NOW)).status == 403
    granted(ring.authorize(header, "admin", "churn", NOW))
    assert refused(ring.authorize(header, "admin", "", NOW)).status == 403
    granted(ring.authorize(free, "admin", "", NOW))


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1],
        lambda key: key + b"x",
        lambda key: key[:-1] + (b"A" if key[-1:] != b"A" else b"B"),
        lambda key: key.upper(),
        lambda key: b"af_000000000000_" + key.split(b"_", 2)[2],
        lambda key: key.split(b"_", 2)[2],
        lambda _: b"af__",
        lambda _: b"__",
        lambda key: key * 100,
        lambda _: b"\x00\xff" * 20,
        lambda _: b"",
    ],
)
@pytest.mark.parametrize("form", [b"Bearer %s", b"%s"])
def test_what_is_not_exactly_the_key_is_401(
    shop: Shop, form: bytes, change: Callable[[bytes], bytes]
) -> None:
    """Before and after the right key was seen; the client is told how to show one."""
    header = shop.add("predict")
    wrong = form % change(header.removeprefix(b"Bearer "))
    ring = shop.ring()
    for _ in range(2):
        answer = refused(ring.authorize(wrong, "predict", "m", NOW))
        assert answer.status == 401
        assert answer.headers == (("www-authenticate", 'Bearer realm="afterfit"'),)
        granted(ring.authorize(header, "predict", "m", NOW))


def test_the_secret_of_one_key_does_not_open_another(shop: Shop) -> None:
    """The hash covers the id: ids and hashes that were exchanged in the file hold for nobody."""
    first, second = shop.add("predict"), shop.add("admin")
    one, two = shop.file.keys
    mixed = b"Bearer af_%s_%s" % (two.id.encode(), first.split(b"_", 2)[2])
    ring = shop.ring()
    assert refused(ring.authorize(mixed, "admin", "", NOW)).status == 401
    document = json.loads(encode_key_file(shop.file))
    keys = document["keys"]
    keys[0]["hash"], keys[1]["hash"] = keys[1]["hash"], keys[0]["hash"]
    shop.save(json.dumps(document).encode())
    assert ring.reload_if_changed()
    for header in (first, second, mixed):
        assert refused(ring.authorize(header, "admin", "", NOW)).status == 401
    assert {one.id, two.id} == {key["id"] for key in keys}


@given(header=st.binary(max_size=600))
def test_no_header_is_an_error(header: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any bytes are refused with 401 and change nothing."""
    ring = _any_ring(tmp_path_factory)
    assert refused(ring.authorize(header, "predict", "m", NOW)).status == 401
    assert ring._verified == {}


_RINGS: list[KeyRing] = []


def _any_ring(factory: pytest.TempPathFactory) -> KeyRing:
    if not _RINGS:
        shop = Shop(factory.mktemp("keys") / "keys.json")
        shop.add("predict")
        _RINGS.append(shop.ring())
    return _RINGS[0]


def test_both_headers_are_read(shop: Shop) -> None:
    """``X-API-Key`` before ``Authorization``; the scheme's case and spaces do not matter."""
    header = shop.add("predict")
    key = header.removeprefix(b"Bearer ")
    ring = shop.ring()
    for headers in (
        {b"authorization": header},
        {b"authorization": b"bearer " + key},
        {b"authorization": b"BEARER  " + key + b" "},
        {b"x-api-key": key},
        {b"x-api-key": key, b"authorization": b"Bearer token-of-a-gateway"},
        {b"x-api-key": b"", b"authorization": header},
    ):
        granted(ring.authorize(credentials(headers), "predict", "m", NOW))
    for headers in ({}, {b"authorization": b"Basic " + key}, {b"cookie": key}):
        assert refused(ring.authorize(credentials(headers), "predict", "m", NOW)).status == 401


def test_an_expired_key_is_401_from_that_second_on(shop: Shop) -> None:
    """Also where it was let in before."""
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    header = shop.add("predict", expires=expires)
    ring, end = shop.ring(), expires.timestamp()
    granted(ring.authorize(header, "predict", "m", end - 0.001))
    answer = refused(ring.authorize(header, "predict", "m", end))
    assert (answer.status, "expired" in answer.message) == (401, True)
    assert "expired" in refused(shop.ring().authorize(header, "predict", "m", end + 1e6)).message


def test_a_rate_limit_is_429_with_the_time_to_wait(shop: Shop) -> None:
    """The header has whole seconds; who waits is let in; another key is not touched."""
    header, other = shop.add("predict", limits=KeyLimits(rate=0.4, burst=2)), shop.add("predict")
    ring = shop.ring()
    for _ in range(2):
        granted(ring.authorize(header, "predict", "m", NOW))
    answer = refused(ring.authorize(header, "predict", "m", NOW))
    assert answer.status == 429
    assert answer.retry_after_s == pytest.approx(2.5, abs=1e-4)
    assert answer.headers == (("retry-after", "3"),)
    assert "0.4 requests/s" in answer.message
    granted(ring.authorize(other, "predict", "m", NOW))
    granted(ring.authorize(header, "predict", "m", NOW + answer.retry_after_s))


def test_a_refused_request_takes_no_token(shop: Shop) -> None:
    """Nor does one of the wrong role or model."""
    limits = KeyLimits(rate=1, burst=1)
    header = shop.add("predict", models=["m"], limits=limits)
    ring = shop.ring()
    assert refused(ring.authorize(header, "label", "m", NOW)).status == 403
    assert refused(ring.authorize(header, "predict", "x", NOW)).status == 403
    granted(ring.authorize(header, "predict", "m", NOW))


def test_rows_are_charged_afterwards_and_paid_before_the_next_request(shop: Shop) -> None:
    """A request larger than the burst passes once; the debt is waited for."""
    header = shop.add("predict", limits=KeyLimits(rows_rate=100, rows_burst=50))
    ring = shop.ring()
    granted(ring.authorize(header, "predict", "m", NOW)).charge(250, NOW)
    answer = refused(ring.authorize(header, "predict", "m", NOW))
    assert answer.status == 429
    assert "100 rows/s" in answer.message
    assert answer.retry_after_s == pytest.approx(2.01, abs=1e-3)
    granted(ring.authorize(header, "predict", "m", NOW + 2.02))


def test_without_a_limit_nothing_is_counted(shop: Shop) -> None:
    """Ten thousand requests of a million rows in one moment."""
    header = shop.add("predict")
    ring = shop.ring()
    for _ in range(10_000):
        granted(ring.authorize(header, "predict", "m", NOW)).charge(1_000_000, NOW)


@pytest.mark.parametrize(("workers", "expected"), [(1, 100), (4, 100), (8, 96)])
def test_the_workers_of_a_server_keep_a_limit_together(
    shop: Shop, workers: int, expected: int
) -> None:
    """Each has its share of the burst, in whole requests."""
    header = shop.add("predict", limits=KeyLimits(rate=100))
    rings = [shop.ring(share=1 / workers) for _ in range(workers)]
    admitted = sum(
        isinstance(ring.authorize(header, "predict", "m", NOW), Grant)
        for ring in rings
        for _ in range(200)
    )
    assert admitted == expected


def test_a_revoked_key_is_out_after_the_reload(shop: Shop) -> None:
    """Though it was let in a moment before; the other key goes on."""
    header, other = shop.add("predict"), shop.add("predict")
    ring = shop.ring()
    granted(ring.authorize(header, "predict", "m", NOW))
    assert not ring.reload_if_changed()
    shop.file, _ = revoke_key(shop.file, "k0")
    shop.save()
    assert ring.reload_if_changed()
    answer = refused(ring.authorize(header, "predict", "m", NOW))
    assert (answer.status, "revoked" in answer.message) == (401, True)
    granted(ring.authorize(other, "predict", "m", NOW))
    assert shop.said[-1]["event"] == "keys_loaded"
    assert (shop.said[-1]["active"], shop.said[-1]["revoked"]) == (1, 1)


def test_a_new_key_is_in_after_the_reload(shop: Shop) -> None:
    """Without a restart."""
    ring = shop.ring()
    header = shop.add("predict")
    assert refused(ring.authorize(header, "predict", "m", NOW)).status == 401
    assert ring.reload_if_changed()
    granted(ring.authorize(header, "predict", "m", NOW))


@pytest.mark.parametrize("broken", ["text", "empty", "other schema", "gone", "writable by others"])
def test_a_broken_file_keeps_the_old_keys_and_says_so(shop: Shop, broken: str) -> None:
    """Once, with what is wrong; when the file is good again, it holds."""
    header = shop.add("predict")
    ring = shop.ring()
    good = shop.path.read_bytes()
    if broken == "gone":
        shop.path.unlink()
    elif broken == "writable by others":
        shop.path.chmod(0o666)
    else:
        data = {"text": b"{", "empty": b"", "other schema": good.replace(b": 1,", b": 2,", 1)}
        shop.save(data[broken])
    for _ in range(3):
        assert not ring.reload_if_changed()
        granted(ring.authorize(header, "predict", "m", NOW))
    told = [line for line in shop.said if line["event"] == "keys_not_reloaded"]
    assert len(told) == 1
    assert told[0]["where"] == str(shop.path)
    assert told[0]["kept"] == 1
    assert ring.problem is not None
    assert ring.problem.message == told[0]["message"]
    shop.save(good)
    assert ring.reload_if_changed()
    assert problem_of(ring) is None
    granted(ring.authorize(header, "predict", "m", NOW))


def test_a_reload_does_not_fill_the_buckets(shop: Shop) -> None:
    """Whoever can have the file touched gets no more by it; another limit begins anew."""
    header = shop.add("predict", limits=KeyLimits(rate=1.0, burst=1.0))
    ring = shop.ring()
    granted(ring.authorize(header, "predict", "m", NOW))
    shop.add("label")
    assert ring.reload_if_changed()
    assert refused(ring.authorize(header, "predict", "m", NOW)).status == 429
    shop.save(shop.path.read_bytes().replace(b'"burst": 1.0', b'"burst": 2.0'))
    assert ring.reload_if_changed()
    granted(ring.authorize(header, "predict", "m", NOW))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.pop("pepper"), "pepper"),
        (lambda d: d.update(pepper=base64.b64encode(b"short").decode()), "$.pepper"),
        (lambda d: d["keys"][0].update(roles=["boss"]), "$.keys[0].roles[0]"),
        (lambda d: d["keys"][0].update(roles=[]), "$.keys[0].roles"),
        (lambda d: d["keys"][0].update(limits={"rat": 5}), "rat"),
        (lambda d: d["keys"][0].update(limits={"rate": 0}), "$.keys[0].limits.rate"),
        (lambda d: d["keys"][0].update(expires="2027-01-01T00:00:00"), "$.keys[0].expires"),
        (lambda d: d["keys"].append(d["keys"][0]), "two keys have one id"),
    ],
)
def test_a_file_that_says_something_else_is_refused_by_its_path(
    shop: Shop, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    """A misspelt limit would be no limit, so nothing unknown is passed over."""
    shop.add("predict")
    document = json.loads(shop.path.read_bytes())
    change(document)
    shop.save(json.dumps(document).encode())
    with pytest.raises(InputError) as caught:
        shop.ring()
    assert told in str(caught.value)
    assert str(shop.path) in caught.value.where


def test_a_server_does_not_start_without_its_file(tmp_path: Path) -> None:
    """The fix makes one."""
    with pytest.raises(NotFoundError, match="no file of API keys") as caught:
        KeyRing(tmp_path / "keys.json")
    assert "afterfit key create" in caught.value.fix


def test_modes_are_looked_at(shop: Shop) -> None:
    """Written by others: refused. Read by anyone: a warning. Read by its group: as a secret is."""
    for mode, expected in ((0o600, 0), (0o440, 0), (0o644, 1)):
        shop.path.chmod(mode)
        assert len(read_key_file(shop.path)[1]) == expected
    for mode in (0o620, 0o602):
        shop.path.chmod(mode)
        with pytest.raises(ForbiddenError, match="others can write"):
            read_key_file(shop.path)


def test_no_secret_is_kept_or_told(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in the file, nor in a log line, nor in an answer."""
    header = shop.add("predict", limits=KeyLimits(rate=1))
    ring = KeyRing(shop.path)
    secret = header.split(b"_", 2)[2]
    answers = [ring.authorize(header, "predict", "m", NOW) for _ in range(3)]
    answers.append(ring.authorize(header + b"x", "predict", "m", NOW))
    shop.save(b"{")
    ring.reload_if_changed()
    logged = capsys.readouterr()
    told = [logged.err, logged.out, *(refused(answer).message for answer in answers[1:])]
    assert "keys_loaded" in logged.err
    assert "keys_not_reloaded" in logged.err
    assert secret not in encode_key_file(shop.file)
    assert not any(secret.decode() in text for text in told)
    assert secret.decode() not in repr(answers[0])


def test_a_header_that_is_too_long_is_not_even_hashed(shop: Shop) -> None:
    """Not for the right key either: spaces after it are cut off, but not any number of them."""
    header = shop.add("predict")
    ring = shop.ring()
    granted(ring.authorize(header + b" " * 20, "predict", "m", NOW))
    assert refused(ring.authorize(header + b" " * 300, "predict", "m", NOW)).status == 401


def test_what_is_remembered_is_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One key written in many ways fills no memory, and keys that are not right none at all."""
    monkeypatch.setattr(keys_module, "MAX_VERIFIED", 8)
    header = shop.add("predict")
    ring = shop.ring()
    for spaces in range(50):
        granted(ring.authorize(header + b" " * spaces, "predict", "m", NOW))
        ring.authorize(header + b"x" * (spaces + 1), "predict", "m", NOW)
    assert 0 < len(ring._verified) <= 8
    assert all(seen.strip() == header for seen in ring._verified)


def test_keys_are_random_and_their_hashes_belong_to_one_file() -> None:
    """256 bits, in a form that a scanner for secrets can find; peppers differ."""
    file = new_key_file()
    texts = []
    for number in range(200):
        file, _, text = add_key(file, f"k{number}", ["predict"])
        texts.append(text)
    assert all(re.fullmatch(r"af_[0-9a-f]{12}_[\w-]{43}", text) for text in texts)
    secrets_ = [base64.urlsafe_b64decode(text.split("_", 2)[2] + "=") for text in texts]
    assert {len(secret) for secret in secrets_} == {32}
    ones = sum(secret[i] >> bit & 1 for secret in secrets_ for i in range(32) for bit in range(8))
    bits = 200 * 256
    assert abs(ones - bits / 2) < 6 * math.sqrt(bits / 4)
    assert len({key.hash for key in file.keys}) == len(set(texts)) == 200
    assert new_key_file().pepper != new_key_file().pepper


def test_the_file_is_read_as_it_was_written(shop: Shop) -> None:
    """Limits, models and times included."""
    limits = KeyLimits(rate=0.5, burst=3, rows_rate=7)
    expires = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
    shop.add("label", "admin", models=["ä b"], limits=limits, expires=expires)
    found, warnings = read_key_file(shop.path)
    assert found == shop.file
    assert warnings == ()
    assert isinstance(found, KeyFile)


@pytest.mark.parametrize(
    ("name", "roles", "options"),
    [
        ("", ["predict"], {}),
        ("x" * 65, ["predict"], {}),
        ("a\nb", ["predict"], {}),
        ("a", [], {}),
        ("a", ["boss"], {}),
        ("a", ["predict"], {"models": ["a/b"]}),
        ("a", ["predict"], {"models": [""]}),
        ("a", ["predict"], {"limits": KeyLimits(burst=5)}),
        ("a", ["predict"], {"limits": KeyLimits(rows_burst=5)}),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(
    name: str, roles: list[Any], options: dict[str, Any]
) -> None:
    """Each says which part."""
    with pytest.raises(UsageError) as caught:
        add_key(new_key_file(), name, roles, **options)
    assert caught.value.where


def test_a_name_is_free_again_once_its_key_is_out() -> None:
    """While it holds, the name is taken; the newest of several is meant afterwards."""
    file, first, _ = add_key(new_key_file(), "job", ["predict"])
    with pytest.raises(ConflictError, match="job"):
        add_key(file, "job", ["label"])
    file, _ = revoke_key(file, "job")
    file, second, text = add_key(file, "job", ["label"])
    assert find_key(file, "job").id == second.id
    assert find_key(file, first.id).id == first.id
    assert find_key(file, text).id == second.id
    file, again = revoke_key(file, "job")
    assert revoke_key(file, "job")[1] == again
    with pytest.raises(NotFoundError) as caught:
        find_key(file, f"af_123456789012_{'s' * 43}")
    assert "sss" not in str(caught.value)
