"""A server of one process for tests of load: it answers a row's ``x`` doubled, and counts.

    python echo_server.py PORT [mix | tls CERT KEY]

With ``mix`` every 20th answer is the one to the request before it, as a batch mixed up would have.
``GET /count`` tells how many predictions were asked for.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import uuid
from typing import Any


class Echo(asyncio.Protocol):
    """Answers whole requests, as its clients send no others."""

    asked = 0
    last = 0.0
    mix = False

    def connection_made(self, transport: Any) -> None:
        """Keep where to write."""
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self.data) < end + 4 + length:
                return
            body, self.data = self.data[end + 4 : end + 4 + length], self.data[end + 4 + length :]
            self.transport.write(self.answer(head, body))

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Return the bytes of an answer."""
        if head.startswith(b"get /count"):
            return http(200, {"count": Echo.asked})
        try:
            row = json.loads(body)["rows"][0]["x"]
        except (ValueError, KeyError, TypeError):
            return http(422, {"error": "$.rows[0].x is missing"})
        Echo.asked += 1
        value = Echo.last if Echo.mix and Echo.asked % 20 == 0 else 2.0 * row
        Echo.last = 2.0 * row
        return http(200, {"predictions": [{"id": str(uuid.uuid4()), "value": value}]})


def http(status: int, document: Any) -> bytes:
    """Return an answer of JSON."""
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def main() -> None:
    """Serve until the process ends."""
    Echo.mix = "mix" in sys.argv
    context = None
    if "tls" in sys.argv:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*sys.argv[3:5])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", int(sys.argv[1]), ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the test reads it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
