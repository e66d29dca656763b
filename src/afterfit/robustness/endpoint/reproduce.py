"""A request as a command to paste."""

from __future__ import annotations

import base64
import lzma

from afterfit.core.shell import shell_word
from afterfit.core.wire.client import Client, Sent

SHOWN, PACKED = 2000, 6000
"""Characters of a body that stand in the command as they are, and packed."""
_PAUSE_S = 5


def curl(client: Client, sent: Sent) -> str:
    """Return the command that sends a request again; headers of the user keep their secrets.

    A body that cannot be pasted is packed (xz, base64); one that is too large even so is told by
    its size.
    """
    scheme = "https" if client.address.secure else "http"
    url = f"{scheme}://{client.address.authority}{client.address.base}{sent.path}"
    words = ["curl -sS -i", f"-m {max(1, round(client.timeout))}"]
    words.append("-I" if sent.method == "HEAD" else f"-X {sent.method}")
    words += [f"-H {shell_word(f'{name}: …')}" for name, _ in client.headers]
    words += [f"-H {_header(name, value)}" for name, value in sent.headers]
    before, body = _body(sent.body)
    words += [body] if body else []
    return f"{before}{' '.join(words)} {shell_word(url)}"


def piped(client: Client, data: bytes) -> str:
    """Return the command that sends bytes over a bare connection, then its end."""
    after = f"s.shutdown(1); s.settimeout({_PAUSE_S}); print(s.recv(65536).decode())"
    return f"{_unpacked(data)} | {_python(client, after)}"


def held(client: Client, data: bytes, count: int) -> str:
    """Return the command that sends bytes over some connections and keeps them for a minute."""
    one = f"{_unpacked(data)} | {_python(client, 'time.sleep(60)')} &"
    return f"for i in $(seq {count}); do {one} done; sleep 1"


def _python(client: Client, after: str) -> str:
    """Return the command that writes its input to the server, and then does something."""
    place = (client.address.host, client.address.port)
    begin = f"import socket, sys, time; s = socket.create_connection({place})"
    return f"python3 -c {shell_word(f'{begin}; s.sendall(sys.stdin.buffer.read()); {after}')}"


def _unpacked(data: bytes) -> str:
    """Return the command that writes the bytes; packed twice where that is much shorter."""
    packed = lzma.compress(data, preset=1)
    again = lzma.compress(packed)
    twice = 2 * len(again) < len(packed)
    text = base64.b64encode(again if twice else packed).decode()
    return f"echo {text} | base64 -d | xz -dc{' | xz -dc' * twice}"


def _body(body: bytes) -> tuple[str, str]:
    if not body:
        return "", ""
    text = body.decode("ascii", "replace") if len(body) <= SHOWN else "\ufffd"
    if "\ufffd" not in text and text.isprintable() and not text.startswith("@"):
        return "", f"--data-binary {shell_word(text)}"
    command = _unpacked(body)
    if len(command) > PACKED:
        return "", f"--data-binary @body-of-{len(body)}-bytes"
    return f"{command} | ", "--data-binary @-"


def _header(name: str, value: str) -> str:
    """Return a header as a word; a long one of one letter is made where the command runs."""
    if len(value) <= SHOWN:
        return shell_word(f"{name}: {value}")
    return (
        f"@<(echo {shell_word(f'{name}:')} $(head -c {len(value)} /dev/zero | tr '\\0' {value[0]}))"
    )
