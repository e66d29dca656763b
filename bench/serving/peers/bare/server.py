"""The yardstick: a handler of one model and one route with no feature at all.

No validation beyond the types of the body, no metrics, no events, no batching, no limits: HTTP by
httptools on asyncio.Protocol and uvloop, JSON by typed msgspec, one ``session.run`` a request.

    python server.py GRAPH PORT
"""

import asyncio
import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import httptools
import msgspec
import numpy as np
import onnxruntime
import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
ANSWER = (
    b'{"model_name":"bench","outputs":'
    b'[{"name":"probabilities","shape":[1,2],"datatype":"FP64","data":'
)


class Tensor(msgspec.Struct, gc=False):
    """One input of the Open Inference Protocol."""

    name: str
    shape: tuple[int, int]
    datatype: str
    data: list[float]


class InferRequest(msgspec.Struct, gc=False):
    """The body of infer."""

    inputs: list[Tensor]


class Model:
    """An ONNX graph on one thread that never spins."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        tensor = session.get_inputs()[0]
        self.run = session.run
        self.name = tensor.name
        self.dtype = np.float64 if tensor.type == "tensor(double)" else np.float32
        self.outputs = ["probabilities"]
        self.decode = msgspec.json.Decoder(InferRequest).decode
        self.encode = msgspec.json.Encoder().encode

    def answer(self, body: bytes) -> bytes:
        """The whole HTTP response to one body."""
        tensor = self.decode(body).inputs[0]
        row = np.array(tensor.data, self.dtype).reshape(tensor.shape)
        data = self.encode(self.run(self.outputs, {self.name: row})[0][0].tolist())
        return b"%b%d\r\n\r\n%b%b}]}" % (HEAD, len(ANSWER) + len(data) + 3, ANSWER, data)


class Connection(asyncio.Protocol):
    """One kept connection; its requests are answered in order."""

    def __init__(self, model: Model) -> None:
        self.reply = model.answer
        self.parse = httptools.HttpRequestParser(self).feed_data

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Keep what the answers are written to."""
        self.write = transport.write
        self.body = b""

    def data_received(self, data: bytes) -> None:
        """Parse what came; complete requests are answered from within."""
        self.parse(data)

    def on_body(self, part: bytes) -> None:
        """Collect the body, which mostly comes in one part."""
        self.body = self.body + part if self.body else part

    def on_message_complete(self) -> None:
        """Answer."""
        body, self.body = self.body, b""
        self.write(self.reply(body))


async def serve(path: str, port: int) -> None:
    """Serve until the process is ended."""
    model = Model(path)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(model), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
