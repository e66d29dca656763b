"""One run: what it contacts, what it sends, and that it ends whatever the server does."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import threading
import time
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.runtime.certificates import issue, make_authority
from tests.testing.conformance.faults import refuses
from tests.testing.conformance.reference import (
    MODELS,
    Fault,
    Proceed,
    Reference,
    Reply,
    Request,
    error,
    json_reply,
)

from afterfit.errors import (
    AfterfitError,
    InputError,
    NotFoundError,
    ResourceError,
    UnavailableError,
    UsageError,
)
from afterfit.testing import conformance

if TYPE_CHECKING:
    from pathlib import Path

    from afterfit.testing.conformance import Outcome, Report


def outcome(report: Report, check: str) -> Outcome:
    """The outcome of one check."""
    return next(each for each in report.outcomes if each.check == check)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """The error names the URL and why there was no connection."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError, match="cannot be reached") as caught:
        conformance.run(url, model="churn")
    assert caught.value.where == url
    assert "no connection" in caught.value.why


def test_what_is_no_http_server_is_unavailable() -> None:
    """A port that says something else is told apart from one that says nothing."""

    def rubbish(_: Request, __: Proceed) -> Reply:
        raise ConnectionError

    with Reference(Fault(around=rubbish)) as server, pytest.raises(UnavailableError) as caught:
        conformance.run(server.url, model="churn")
    assert "closed the connection" in caught.value.why


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://localhost", "scheme"),
        ("http://", "no host"),
        ("http://localhost:notaport", "port"),
        ("http://localhost/a b", "space"),
        ("http://user:secret@localhost", ""),
    ],
)
def test_a_url_that_names_no_server_is_wrong_usage(url: str, why: str) -> None:
    """It is told why, without the password."""
    with pytest.raises(UsageError) as caught:
        conformance.run(url)
    assert why in (caught.value.why or "").lower()
    assert "secret" not in str(caught.value)


def test_a_model_that_the_server_does_not_have_is_not_found() -> None:
    """No report is made of a name that was misspelt."""
    with Reference() as server:
        with pytest.raises(NotFoundError, match="no model 'mixd'"):
            conformance.run(server.url, model="mixd")
        with pytest.raises(NotFoundError, match="of version '7'"):
            conformance.run(server.url, model="mixed", version="7")


def test_without_a_name_the_first_model_of_the_index_is_taken() -> None:
    """The report says which."""
    with Reference() as server:
        assert conformance.run(server.url).model == "mixed"


def test_without_a_name_and_without_an_index_the_name_is_asked_for() -> None:
    """A run that checks nothing must not look like one that passed."""

    def no_index(request: Request, proceed: Proceed) -> Reply:
        return error(404, "no") if "repository" in request.path else proceed(request)

    with Reference(Fault(around=no_index)) as server, pytest.raises(UsageError, match="no model"):
        conformance.run(server.url)


def test_a_version_stands_in_every_path_of_the_model() -> None:
    """Only unknown versions and models are asked for otherwise."""
    with Reference() as server:
        report = conformance.run(server.url, model="plain", version="2")
    assert report.failed() == []
    paths = {r.path for r in server.seen if "plain" in r.path}
    assert {p for p in paths if "/versions/2" not in p and "no-such" not in p} == set()


def test_headers_of_the_user_are_sent_with_every_request_and_never_shown() -> None:
    """A key opens the server and does not get into the report."""

    def keyed(request: Request, proceed: Proceed) -> Reply:
        allowed = request.headers.get("authorization") == "Bearer sesame"
        return proceed(request) if allowed else error(401, "no key")

    with Reference(Fault(around=keyed, blames="shape")) as server:
        headers = [("authorization", "Bearer sesame")]
        report = conformance.run(server.url, model="mixed", headers=headers)
    assert [o.check for o in report.failed()] == ["error.client-fault"]
    assert "sesame" not in repr(report)


def test_only_the_address_of_the_url_is_contacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy of the environment nor the target of a redirect sees a connection."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        elsewhere = f"http://127.0.0.1:{other.getsockname()[1]}"
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, elsewhere)

        def moved(request: Request, proceed: Proceed) -> Reply:
            if request.path == "/v2/health/ready":
                return Reply(302, b"", {"location": elsewhere})
            return proceed(request)

        with Reference(Fault(around=moved)) as server:
            report = conformance.run(server.url, model="plain")
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    assert [o.check for o in report.failed()] == ["server.ready"]


def test_a_path_in_front_of_v2_is_kept() -> None:
    """As behind an ingress that serves several servers."""

    def behind(request: Request, proceed: Proceed) -> Reply:
        if not request.target.startswith("/team/a/v2"):
            return error(404, "elsewhere")
        return proceed(replace(request, target=request.target.removeprefix("/team/a")))

    with Reference(Fault(around=behind)) as server:
        for end in ("", "/", "/v2", "/v2/"):
            assert conformance.run(f"{server.url}/team/a{end}", model="plain").failed() == []


def test_a_server_behind_tls_is_checked_and_a_certificate_that_nobody_signed_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authorities are those of the system, or of SSL_CERT_FILE."""
    authority = make_authority(tmp_path, "authority")
    pair = issue(authority, tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with Reference(tls=context) as server:
        with pytest.raises(UnavailableError) as caught:
            conformance.run(server.url, model="plain")
        assert "certificate" in caught.value.why.lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
        assert conformance.run(server.url, model="plain").failed() == []


def test_rows_of_the_user_are_sent_in_place_of_made_up_ones() -> None:
    """Nested or flat, with their parameters, and cut into rows where rows are wanted."""
    x = {"name": "x", "shape": [2, 3], "datatype": "FP64", "data": [[9, 8, 7], [6.5, 5, 4]]}
    request = {"inputs": [{**x, "parameters": {"mine": "a"}}], "parameters": {"all": "b"}}
    with Reference() as server:
        report = conformance.run(server.url, model="plain", request=request)
    assert report.failed() == []
    sent = [r.document() for r in server.seen if r.infers and r.headers.get("content-type")]
    whole = [d for d in sent if d.get("inputs") and isinstance(d["inputs"], list)]
    plain = whole[0]
    assert plain["inputs"][0]["data"] == [9, 8, 7, 6.5, 5, 4]
    assert plain["inputs"][0]["parameters"] == {"mine": "a"}
    assert plain["parameters"] == {"all": "b"}
    single = [d["inputs"][0].get("data") for d in whole if d.get("id") == "row-1"]
    assert single[0] == [6.5, 5, 4]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ([], "expected `object`, got `array`"),
        ({"inputs": []}, "$.inputs is empty"),
        ({"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1]}]}, "1 values"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "F", "data": [1]}]}, "'F'"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64"}]}, "$.inputs[0]"),
    ],
)
def test_a_request_of_the_user_that_makes_no_sense_is_refused(request_: Any, why: str) -> None:
    """Before it is sent, with the path of what is wrong."""
    with Reference() as server, pytest.raises(InputError, match="cannot be used") as caught:
        conformance.run(server.url, model="plain", request=request_)
    assert why.lower() in caught.value.why.lower()


def test_a_model_that_wants_other_values_says_how_to_give_them() -> None:
    """What the metadata cannot tell comes from the user."""
    picky = refuses(lambda request: b"magic" not in request.body)
    with Reference(picky()) as server:
        report = conformance.run(server.url, model="mixed")
    assert [o.check for o in report.failed("must")] == ["infer.accepted"]
    failure = outcome(report, "infer.accepted")
    assert "--input" in failure.why
    assert "not today" in failure.came
    assert outcome(report, "infer.batch").status == "skipped"


def test_a_model_that_never_answers_alike_is_not_said_to_be_wrong() -> None:
    """What would compare two answers is skipped."""
    count = itertools.count()

    def noisy(document: dict[str, Any]) -> None:
        for output in document["outputs"]:
            if "data" in output:
                output["data"] = [value + next(count) for value in output["data"]]

    with Reference(Fault(edit=noisy)) as server:
        report = conformance.run(server.url, model="plain")
    assert report.failed() == []
    assert "same way twice" in outcome(report, "infer.nested").why
    assert outcome(report, "http.concurrent").status == "skipped"
    assert outcome(report, "fault.wrong-shape").status == "pass"


def test_a_model_of_constant_answers_does_not_pass_as_never_mixed_up() -> None:
    """Answers that are all alike prove nothing about whose they are."""

    def constant(document: dict[str, Any]) -> None:
        for output in document["outputs"]:
            if "data" in output:
                output["data"] = [1.5] * len(output["data"])

    with Reference(Fault(edit=constant)) as server:
        report = conformance.run(server.url, model="plain")
    concurrent = outcome(report, "http.concurrent")
    assert (concurrent.status, concurrent.why[:31]) == (
        "skipped",
        "the model answers all rows alik",
    )


def test_a_server_that_declines_codings_and_lengths_is_not_wrong() -> None:
    """415 for gzip and 411 for chunks are allowed answers."""

    def declines(request: Request, proceed: Proceed) -> Reply:
        if request.headers.get("content-encoding") in {"gzip", "deflate"}:
            return error(415, "plain, please")
        if "transfer-encoding" in request.headers:
            return error(411, "how long?")
        return proceed(request)

    with Reference(Fault(around=declines)) as server:
        report = conformance.run(server.url, model="mixed")
    assert report.failed() == []
    checks = ("coding.gzip-request", "coding.deflate-request", "http.chunked")
    assert {outcome(report, check).status for check in checks} == {"not_applicable"}
    assert outcome(report, "binary.gzip-request").status == "skipped"


def test_a_server_that_hangs_is_told_and_does_not_hold_the_run() -> None:
    """One request that is not answered in time fails, and what needs its answer is skipped."""

    def hangs(request: Request, proceed: Proceed) -> Reply:
        if request.infers and request.document():
            time.sleep(2)
        return proceed(request)

    begun = time.monotonic()
    with Reference(Fault(around=hangs)) as server:
        report = conformance.run(server.url, model="mixed", timeout=0.3)
    assert time.monotonic() - begun < 20
    failure = outcome(report, "infer.accepted")
    assert (failure.status, failure.why) == ("fail", "no answer within 0.3 s")
    assert outcome(report, "infer.nested").status == "skipped"


def test_a_server_that_dies_is_told_once() -> None:
    """The request that ended it fails; what comes after is skipped and not failed."""
    server = Reference()

    def dies(request: Request, proceed: Proceed) -> Reply:
        if b"[[[[[[[[" in request.body:
            server.stop()
            raise ConnectionError
        return proceed(request)

    server.fault = Fault(around=dies)
    with server:
        report = conformance.run(server.url, model="mixed")
    failed = {o.check: o.why for o in report.failed()}
    assert "closed the connection" in failed["fault.deep-json"]
    assert len(failed) == 2
    after = [o for o in report.outcomes if "no longer takes connections" in o.why]
    assert len(after) > 40
    assert {o.status for o in after} == {"skipped"}


def test_an_answer_that_drips_is_late_as_a_whole() -> None:
    """The time of an exchange counts from its start and not from the last byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n" + b"x" * 400:
                    try:
                        connection.sendall(bytes([byte]))
                    except OSError:
                        return
                    time.sleep(0.02)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        begun = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            conformance.run(url, model="x", timeout=0.4)
        assert time.monotonic() - begun < 2
        assert caught.value.why == "no answer within 0.4 s"
        thread.join(5)


def test_the_seconds_of_a_run_are_bounded() -> None:
    """Past the limit the rest is skipped, and with no time at all there is no report."""
    with Reference() as server:
        with pytest.raises(ResourceError):
            conformance.run(server.url, model="mixed", limit=0)
        report = conformance.run(server.url, model="mixed", limit=0.05)
    skipped = [o for o in report.outcomes if o.status == "skipped"]
    assert skipped
    assert {o.why for o in skipped} == {"the seconds of this run are used up"}
    assert report.failed() == []


def test_inputs_that_are_too_large_to_make_up_are_not_made() -> None:
    """A size in the metadata cannot take the memory of whoever asks."""

    def huge(request: Request, proceed: Proceed) -> Reply:
        reply = proceed(request)
        if request.path == "/v2/models/plain":
            document = reply.document()
            document["inputs"][0]["shape"] = [-1, 1 << 62]
            return json_reply(document)
        return reply

    with Reference(Fault(around=huge)) as server:
        report = conformance.run(server.url, model="plain")
    assert report.failed() == []
    assert "too large to make up" in outcome(report, "infer.accepted").why


ODD: tuple[Any, ...] = (None, -1, 1.5, "x", [], {}, True, [1], [[1, "a"]], 1 << 70, [-1], [{}])


def odd(document: Any, random: Random) -> Any:
    """A document some of whose parts are something else."""
    if random.random() < 0.1:
        return random.choice(ODD)
    if isinstance(document, dict):
        return {key: odd(value, random) for key, value in document.items()}
    return [odd(each, random) for each in document] if isinstance(document, list) else document


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_server_answers_there_is_a_report_or_an_error_of_ours(seed: int) -> None:
    """Documents of any form, statuses of any number and bytes that say nothing end no run."""
    random = Random(seed)

    def strange(request: Request, proceed: Proceed) -> Reply:
        reply = proceed(request)
        kind = random.choice(("right", "right", "right", "odd", "bytes", "status"))
        if kind == "odd" and "octet" not in reply.headers["content-type"]:
            return replace(json_reply(odd(reply.document(), random)), status=reply.status)
        if kind == "bytes":
            return replace(reply, body=random.randbytes(40))
        return replace(
            reply, status=random.choice((200, 204, 404, 599)) if kind == "status" else 200
        )

    model = random.choice(sorted(MODELS))
    with Reference(Fault(around=strange)) as server:
        try:
            report = conformance.run(server.url, model=model, timeout=5)
        except AfterfitError:
            return
    assert len(report.outcomes) == len(conformance.CHECKS)


def test_the_same_seed_sends_the_same_requests() -> None:
    """And another seed others."""

    def bodies(seed: int) -> list[bytes]:
        with Reference() as server:
            conformance.run(server.url, model="mixed", seed=seed)
        in_turn = [r for r in server.seen if not str(r.document().get("id", "")).startswith("row")]
        return [r.body for r in in_turn]

    first = bodies(1)
    assert first == bodies(1)
    assert first != bodies(2)


def test_the_report_goes_to_json_and_back() -> None:
    """What one machine found, another can read."""
    with Reference() as server:
        report = conformance.run(server.url, model="plain")
    text = msgspec.json.encode(report)
    assert msgspec.json.decode(text, type=conformance.Report) == report
    first = json.loads(text)["outcomes"][0]
    assert set(first) == {
        *("check", "level", "section", "clause", "status", "why", "sent", "came", "seconds")
    }


def test_a_refusal_without_metadata_still_tells_what_is_missing() -> None:
    """No inputs can be made up without metadata: they come from the user then."""

    def nothing(request: Request, proceed: Proceed) -> Reply:
        if request.path == "/v2/models/plain":
            return json_reply({"name": "plain"})
        return proceed(request)

    x = {"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [1, 2, 3]}
    with Reference(Fault(around=nothing)) as server:
        without = conformance.run(server.url, model="plain")
        given = conformance.run(server.url, model="plain", request={"inputs": [x]})
    assert [o.check for o in without.failed()] == ["model.metadata"]
    assert outcome(without, "infer.accepted").status == "skipped"
    assert [o.check for o in given.failed()] == ["model.metadata"]
    assert outcome(given, "infer.answer").status == "pass"
