"""Channels: what arrives, what is tried again, and what nobody gets to see."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.monitor.alarms.samples import one, until
from tests.monitor.alarms.servers import Receiver, http_receiver, mail_receiver
from tests.optional import optional

from afterfit.errors import ConfigError
from afterfit.monitor.channels import Message, Opened, Outbox, Sent, open_channel, verify
from afterfit.monitor.channels.outbox import Patience
from afterfit.monitor.evidence import Event, bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = Patience(tries=3, first_s=0.005, longest_s=0.01)
SECRET = "made-up-here"  # noqa: S105 - of this test


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server of HTTP."""
    with http_receiver() as found:
        yield found


def deliver(opened: Opened, event: Event = "firing", *, most: int = 9) -> list[Sent]:
    """What became of one alarm's news."""
    outbox = Outbox({opened.name: opened}, patience=QUICK, most=most)
    outbox.offer(opened.name, Message(one(), event))
    found: list[Sent] = []
    try:
        until(lambda: any(sent.last for sent in drained(outbox, found)))
    finally:
        outbox.close()
    return found


def drained(outbox: Outbox, found: list[Sent]) -> list[Sent]:
    """All that is known by now."""
    found += outbox.drain()
    return found


def webhook(port: int, secret: str = SECRET) -> Opened:
    """A signed webhook to this machine, its secret from the environment."""
    address = f"webhook://127.0.0.1:{port}/hook?team=a&secret=env:HOOK"
    return open_channel("own", address, environ={"HOOK": secret})


def test_a_signed_webhook_brings_the_evidence(receiver: Receiver) -> None:
    """The receiver can tell who sent it and when; the secret stays here."""
    (sent,) = deliver(webhook(receiver.port))
    assert (sent.delivery.state, sent.delivery.message) == ("sent", "firing")
    (request,) = receiver.requests
    assert request.path == "/hook?team=a"
    assert verify(SECRET, request.headers, request.body, now=time.time())
    assert request.body == bundle(one(), "firing")
    told = json.loads(request.body)
    assert told["runbook"]["code"] == "M078"
    assert "rollback" in told["runbook"]["page"]["fix"]
    assert told["id"] == one().id
    assert request.headers["Afterfit-Id"] == f"{one().id}-firing"
    assert SECRET not in str(request)


def test_a_signature_is_for_one_body_and_one_time(receiver: Receiver) -> None:
    """Another secret, body, time or none at all: refused."""
    deliver(webhook(receiver.port))
    headers, body, now = receiver.requests[0].headers, receiver.requests[0].body, time.time()
    assert verify(SECRET, headers, body, now=now + 200)
    assert not verify(SECRET, headers, body, now=now + 400)
    assert not verify("other", headers, body, now=now)
    assert not verify(SECRET, headers, body + b" ", now=now)
    assert not verify(SECRET, {}, body, now=now)
    for stamp in ("", "-1", "²", "9" * 400, str(int(now) - 1)):
        assert not verify(SECRET, headers | {"Afterfit-Timestamp": stamp}, body, now=now)
    assert not verify(SECRET, headers | {"Afterfit-Signature": "v1=é"}, body, now=now)


def test_the_snippet_of_the_page_takes_it(receiver: Receiver, project_root: Path) -> None:
    """Whoever copies the receiver of the page can check signatures without Afterfit."""
    deliver(webhook(receiver.port))
    page = (project_root / "docs" / "how-to" / "alarms.md").read_text("utf-8")
    names: dict[str, Callable[..., bool]] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)  # noqa: S102 - our own page
    request = receiver.requests[0]
    assert names["is_ours"](SECRET.encode(), request.headers, request.body)
    assert not names["is_ours"](b"other", request.headers, request.body)


@pytest.mark.parametrize(
    ("statuses", "states"),
    [
        ([503, 429], ["failed", "failed", "sent"]),
        ([500, 500, 500], ["failed", "failed", "dropped"]),
        ([404], ["dropped"]),
        ([302], ["dropped"]),
    ],
)
def test_what_may_pass_is_tried_again(
    receiver: Receiver, statuses: list[int], states: list[str]
) -> None:
    """A busy server is; one that refuses or sends elsewhere is not. Each attempt is seen."""
    receiver.statuses += statuses
    found = deliver(webhook(receiver.port))
    assert [sent.delivery.state for sent in found] == states
    assert [sent.delivery.attempt for sent in found] == list(range(1, len(states) + 1))
    assert str(statuses[0]) in found[0].delivery.message
    assert {request.path for request in receiver.requests} == {"/hook?team=a"}


def test_with_tls_nothing_goes_out_in_the_clear(receiver: Receiver) -> None:
    """A server that speaks none gets no request."""
    address = f"webhooks://127.0.0.1:{receiver.port}/hook?secret=env:HOOK"
    found = deliver(open_channel("own", address, environ={"HOOK": SECRET}))
    assert found[-1].delivery.state == "dropped"
    assert "SSL" in found[-1].delivery.message
    assert receiver.requests == []


def test_alertmanager_gets_alerts_of_its_own_form(receiver: Receiver) -> None:
    """The same labels for the end as for the beginning, and times that it reads."""
    address = f"alertmanager://127.0.0.1:{receiver.port}/base?token=env:TOKEN"
    opened = open_channel("am", address, environ={"TOKEN": SECRET})
    events: tuple[Event, ...] = ("firing", "resolved")
    for event in events:
        assert deliver(opened, event)[-1].delivery.state == "sent"
    assert [request.path for request in receiver.requests] == ["/base/api/v2/alerts"] * 2
    assert receiver.requests[0].headers["Authorization"] == f"Bearer {SECRET}"
    ((begun,), (over,)) = (json.loads(request.body) for request in receiver.requests)
    assert begun["labels"] == over["labels"]
    assert begun["labels"]["alertname"] == "AfterfitPerformance"
    assert {"model": "churn", "version": "3", "subject": "recall"}.items() <= begun[
        "labels"
    ].items()
    assert over["endsAt"] < begun["endsAt"]
    assert begun["startsAt"] == "1970-01-01T00:00:00.000+00:00"


def test_apprise_brings_it_to_json(receiver: Receiver) -> None:
    """Any address of Apprise is a channel; this one is a plain POST of title and text."""
    optional("apprise", "alerts")
    opened = open_channel("ops", "env:OPS", environ={"OPS": f"json://127.0.0.1:{receiver.port}/x"})
    (sent,) = deliver(opened)
    assert sent.delivery.state == "sent"
    told = json.loads(receiver.requests[0].body)
    assert told["title"] == "firing, high: performance recall of churn@3 on e"
    assert "0.6 (0.55 to 0.65, 95 %, n = 900)" in told["message"]
    assert "estimated loss: cannot tell" in told["message"]


def test_apprise_brings_it_by_e_mail() -> None:
    """A mail arrives at a real server of mail, its subject the title."""
    optional("apprise", "alerts")
    with mail_receiver() as receiver:
        address = (
            f"mailto://127.0.0.1:{receiver.port}?from=afterfit@example.org&to=ops@example.org"
            "&mode=insecure&format=text"
        )
        (sent,) = deliver(open_channel("mail", "env:MAIL", environ={"MAIL": address}))
        assert sent.delivery.state == "sent"
        (mail,) = receiver.mails
    assert "Subject: firing, high: performance recall of churn@3 on e" in mail
    assert "ops@example.org" in mail


def test_no_secret_is_said(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a delivery, nor a log, nor standard error shows any part of an address."""
    optional("apprise", "alerts")
    caplog.set_level(logging.DEBUG)
    token = "TOKEN" * 3
    address = f"json://user:{token}@127.0.0.1:{receiver.port}/{token}"
    receiver.statuses += [500] * 3
    found = deliver(open_channel("ops", "env:OPS", environ={"OPS": address}))
    assert [sent.delivery.state for sent in found] == ["failed", "failed", "dropped"]
    shown = capfd.readouterr()
    assert token not in f"{found}{caplog.text}{shown.out}{shown.err}"

    class Talkative:
        def send(self, message: Message) -> str:
            raise ValueError(f"cannot reach {address} for {message.title}")

    hidden = open_channel("ops", "env:OPS", environ={"OPS": address}).hidden
    assert token not in str(deliver(Opened("ops", Talkative(), hidden)))


@pytest.mark.parametrize(
    "address",
    [
        "slack://TokenA/TokenB/TokenC",
        "mailto://user:password@example.org",
        "webhook://user:pw@127.0.0.1/x?secret=env:HOOK",
        "webhook://127.0.0.1/x?secret=literal",
        "alertmanager://127.0.0.1:9093?token=literal",
        "webhook://127.0.0.1/x",
        "webhook:///x?secret=env:HOOK",
        "alertmanager://",
        "127.0.0.1:9093",
        "env:UNSET",
        "env:EMPTY",
        "env:WRONG",
        "webhook://127.0.0.1/x?secret=env:UNSET",
    ],
)
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    """A secret in the configuration, a part that is missing, or a scheme that nobody knows."""
    environ = {"HOOK": SECRET, "EMPTY": " ", "WRONG": "nonsense://TokenToken"}
    with pytest.raises(ConfigError) as caught:
        open_channel("ops", address, environ=environ)
    assert caught.value.fix
    assert "literal" not in str(caught.value)
    assert "TokenToken" not in str(caught.value)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """As Kubernetes and Docker hand them over; a channel may not bear an action's name."""
    (tmp_path / "url").write_text("alertmanager://127.0.0.1:1\n", "utf-8")
    opened = open_channel("ops", f"file:{tmp_path / 'url'}", environ={})
    assert opened.hidden == ("alertmanager://127.0.0.1:1",)
    with pytest.raises(ConfigError, match="name of an action"):
        open_channel("rollback", f"file:{tmp_path / 'url'}", environ={})


def test_nobody_waits_for_a_channel_that_hangs() -> None:
    """Offering returns at once, another channel goes on, and what is too much is seen to be."""
    release = threading.Event()

    class Hanging:
        def send(self, message: Message) -> str:
            release.wait(10)
            return message.event

    class Fine:
        def send(self, message: Message) -> str:
            return message.event

    channels = {"slow": Opened("slow", Hanging()), "ok": Opened("ok", Fine())}
    outbox = Outbox(channels, patience=QUICK, most=2)
    started, message = time.monotonic(), Message(one(), "firing")
    for _ in range(9):
        outbox.offer("slow", message)
    outbox.offer("ok", message)
    assert time.monotonic() - started < 1
    found: list[Sent] = []
    until(lambda: any(sent.delivery.channel == "ok" for sent in drained(outbox, found)))
    dropped = [s for s in found if s.delivery.state == "dropped"]
    assert len(dropped) in (6, 7)  # the first may have left the queue already
    assert "too much waits" in dropped[0].delivery.message
    release.set()
    outbox.close()
