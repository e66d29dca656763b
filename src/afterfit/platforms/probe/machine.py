"""The machine that a probe runs on: what its cloud calls it, and which of its cores are whole.

Sources: the metadata services of EC2 (version 2), Compute Engine and Azure, which answer on a
link-local address; the kernel's ``cpu/topology``.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["Pinning", "machine_here", "pinning", "siblings_of", "usable_cpus"]

METADATA = "http://169.254.169.254"
SECONDS = 0.5
TOPOLOGY = Path("/sys/devices/system/cpu")


class Pinning(NamedTuple):
    """The CPUs of the server and those of the load, which overlap on a machine of one CPU.

    ``siblings`` says what the other hyperthreads of the server's cores do meanwhile.
    """

    server: tuple[int, ...]
    load: tuple[int, ...]
    siblings: Literal["busy", "idle", ""]


def machine_here(base: str = METADATA) -> str:
    """Return the machine's name (``aws/us-east-1/m7i.large``), empty where no cloud tells it.

    Only its type and place are asked for.
    """
    # No proxy: the address is one of this machine's own link.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str, headers: Mapping[str, str], method: str = "GET") -> str:
        request = urllib.request.Request(  # noqa: S310 - the address is ours
            base + path, headers=dict(headers), method=method
        )
        with opener.open(request, timeout=SECONDS) as answer:
            text: str = answer.read(4096).decode("utf-8", "replace")
            return text.strip()

    with suppress(OSError):
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = {"X-aws-ec2-metadata-token": ask("/latest/api/token", lifetime, "PUT")}
        region = ask("/latest/meta-data/placement/region", token)
        return f"aws/{region}/{ask('/latest/meta-data/instance-type', token)}"
    with suppress(OSError):
        google = {"Metadata-Flavor": "Google"}
        zone = ask("/computeMetadata/v1/instance/zone", google).rpartition("/")[2]
        kind = ask("/computeMetadata/v1/instance/machine-type", google).rpartition("/")[2]
        return f"gcp/{zone.rpartition('-')[0]}/{kind}"
    with suppress(OSError, ValueError, KeyError, TypeError):
        path = "/metadata/instance/compute?api-version=2021-02-01"
        told = json.loads(ask(path, {"Metadata": "true"}))
        return f"azure/{told['location']}/{told['vmSize']}"
    return ""


def pinning(cores: int, usable: tuple[int, ...], topology: Path = TOPOLOGY) -> Pinning:
    """Return which CPUs serve and which send, of those that may be used.

    Whole cores serve: a CPU and its hyperthread. At least one CPU is left for the load, on another
    core where there is one.
    """
    if len(usable) == 1:
        return Pinning(usable, usable, "busy")
    by_core: dict[frozenset[int], list[int]] = {}
    for cpu in usable:
        by_core.setdefault(siblings_of(cpu, topology), []).append(cpu)
    ordered = [cpu for cpus in by_core.values() for cpu in cpus]
    cores = min(cores, len(usable) - 1)
    server, rest = ordered[:cores], ordered[cores:]
    beside = {cpu for each in server for cpu in siblings_of(each, topology)} - set(server)
    apart = [cpu for cpu in rest if cpu not in beside]
    load = apart or rest
    known = all(siblings_of(cpu, topology) for cpu in server)
    siblings: Literal["busy", "idle", ""] = ""
    if known and not beside:
        siblings = "busy"
    elif known and apart:
        siblings = "idle"
    return Pinning(tuple(server), tuple(load), siblings)


def siblings_of(cpu: int, topology: Path = TOPOLOGY) -> frozenset[int]:
    """Return the CPUs of the same core, itself included; empty where the system does not tell."""
    with suppress(OSError, ValueError):
        text = (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text("ascii")
        found: set[int] = set()
        for part in text.strip().split(","):
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
        return frozenset(found)
    return frozenset()


def usable_cpus() -> tuple[int, ...]:
    """Return the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))
