"""The machine of a probe: its name by its cloud, and whole cores for the server."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from afterfit.platforms.probe.machine import Pinning, machine_here, pinning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

AWS = {
    "PUT /latest/api/token": ("x-aws-ec2-metadata-token-ttl-seconds", "60", "secret"),
    "GET /latest/meta-data/placement/region": ("x-aws-ec2-metadata-token", "secret", "eu-west-1"),
    "GET /latest/meta-data/instance-type": ("x-aws-ec2-metadata-token", "secret", "m7i.large"),
}
GCP = {
    "GET /computeMetadata/v1/instance/zone":
        ("metadata-flavor", "Google", "projects/1/zones/us-central1-b"),
    "GET /computeMetadata/v1/instance/machine-type":
        ("metadata-flavor", "Google", "projects/1/machineTypes/n2-standard-2"),
}  # fmt: skip
AZURE = {
    "GET /metadata/instance/compute?api-version=2021-02-01":
        ("metadata", "true", '{"location": "eastus", "vmSize": "Standard_D2s_v5"}'),
}  # fmt: skip
Answers = dict[str, tuple[str, str, str]]


@contextmanager
def metadata(answers: Mapping[str, tuple[str, str, str]]) -> Iterator[str]:
    """A metadata service on loopback: request -> (header, its value, answer)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            header, value, answer = answers.get(f"{self.command} {self.path}", ("", "", ""))
            self.send_response(200 if answer and self.headers.get(header) == value else 404)
            self.end_headers()
            self.wfile.write(answer.encode())

        do_PUT = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("answers", "name"), [
    (AWS, "aws/eu-west-1/m7i.large"),
    (GCP, "gcp/us-central1/n2-standard-2"),
    (AZURE, "azure/eastus/Standard_D2s_v5"),
    ({"GET /metadata/instance/compute?api-version=2021-02-01": ("metadata", "true", "[1]")}, ""),
    ({}, ""),
])  # fmt: skip
def test_each_cloud_tells_type_and_region_in_its_way(answers: Answers, name: str) -> None:
    """With the headers that it asks for; what answers otherwise is no cloud."""
    with metadata(answers) as base:
        assert machine_here(base) == name


def test_a_machine_without_a_cloud_has_no_name() -> None:
    """Nothing answers there, and that is no error."""
    assert machine_here("http://127.0.0.1:1") == ""


def hyperthreads(folder: Path, cpus: int) -> Path:
    """A topology in which CPU n and n + cpus/2 are one core."""
    for cpu in range(cpus):
        place = folder / f"cpu{cpu}" / "topology"
        place.mkdir(parents=True)
        first = cpu % (cpus // 2)
        (place / "thread_siblings_list").write_text(f"{first},{first + cpus // 2}\n")
    return folder


def test_whole_cores_serve_and_others_send(tmp_path: Path) -> None:
    """A CPU and its hyperthread are one core, whatever their numbers."""
    topology = hyperthreads(tmp_path, 8)
    usable = tuple(range(8))
    assert pinning(2, usable, topology) == Pinning((0, 4), (1, 5, 2, 6, 3, 7), "busy")
    # Half of a core: its other half stays idle.
    assert pinning(1, usable, topology) == Pinning((0,), (1, 5, 2, 6, 3, 7), "idle")
    # No other core is free for the load: what it does to the server is not known.
    assert pinning(1, (0, 4), topology) == Pinning((0,), (4,), "")


def test_one_cpu_is_left_for_the_load(tmp_path: Path) -> None:
    """Where there is more than one; without a topology siblings are not known."""
    assert pinning(4, (0, 1), tmp_path) == Pinning((0,), (1,), "")
    assert pinning(4, (3,), tmp_path) == Pinning((3,), (3,), "busy")
