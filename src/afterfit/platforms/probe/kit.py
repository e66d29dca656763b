"""What people get of a probe: a folder with the container, and how to start each finalist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from afterfit.core.shell import shell_word
from afterfit.platforms.probe.results import RESULT
from afterfit.platforms.shapes import Machine, Offer, Price, Source, Term

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Finalist", "Kit", "finalist_of", "kit_files"]

TEMPLATES = Path(__file__).parent / "templates"
IGNORED = "# Only what the Dockerfile copies is sent to the builder.\n*\n!probe.lock\n!probe.json\n"
AROUND_MIN = 10
"""About so long a machine stands for starting, building and copying."""
FILES = {"Dockerfile", "compose.yaml", "probe.sh", "README.md"}


@dataclass(frozen=True)
class Finalist:
    """An offer as the README has it: its commands are those that start, measure and delete."""

    title: str
    cost: str
    commands: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Kit:
    """What the kit's files say: ``image`` is the tag of what ships, ``base`` its base image."""

    name: str
    number: int
    digest: str
    slo: str
    cores: int
    seconds: float
    base: str
    finalists: tuple[Finalist, ...] = ()

    @property
    def image(self) -> str:
        """The tag of the image that ships."""
        return f"{self.name}:{self.number}"


class Started(NamedTuple):
    """A machine to start: region and name as words of a shell, its id, its architecture."""

    region: str
    name: str
    told: str
    arch: str


def kit_files(kit: Kit) -> dict[str, str]:
    """Return file name to text of all but the image, its bundle and ``probe.json``."""
    told = {
        "image": kit.image, "name": kit.name, "number": kit.number, "digest": kit.digest[:12],
        "slo": kit.slo, "cores": kit.cores, "minutes": round(kit.seconds / 60), "base": kit.base,
        "finalists": kit.finalists, "result": RESULT,
    }  # fmt: skip
    env = _environment()
    made = {name: env.get_template(f"{name}.j2").render(told) for name in sorted(FILES)}
    lock = resources.files("afterfit.platforms.probe").joinpath("data", "probe.lock")
    return {**made, ".dockerignore": IGNORED, "probe.lock": lock.read_text("utf-8")}


def finalist_of(
    offer: Offer,
    sources: Mapping[str, Source],
    seconds: float,
    *,
    cores: int = 1,
    machines: Iterable[Machine] = (),
) -> Finalist:
    """Return how an offer is measured; what has no machine of its own is told in words.

    A machine without room for the load beside the replica's ``cores`` is measured on the next size
    of its family, of ``machines``: the processor is the same.
    """
    if offer.service.sized == "shares":
        return _without_machine(offer, _cost(offer.machine, offer.prices, sources, seconds))
    name = offer.machine.name.removeprefix(offer.service.prefix)
    own = msgspec.structs.replace(offer.machine, name=name)
    machine = _with_room(own, machines, cores + 1)
    started = Started(
        shell_word(machine.region), shell_word(machine.name), machine.id, machine.arch
    )
    commands = _STARTED.get(machine.provider, _elsewhere)(started)
    notes = []
    if machine is not own:
        notes.append(
            f"{name} has {own.vcpu:g} vCPU, which server and load would share: {machine.name} of "
            "the same family is measured in its place."
        )
    elif own.vcpu is not None and own.vcpu < cores + 1:
        notes.append(f"It has {own.vcpu:g} vCPU, which server and load share: the rate is too low.")
    if offer.service.kind not in ("vm", "host"):
        notes.append(f"{offer.service.title} runs on the same processors: a machine is measured.")
    prices = machine.prices or offer.prices
    cost = _cost(machine, prices, sources, seconds)
    return Finalist(offer.title, cost, tuple(commands), " ".join(notes))


def _with_room(machine: Machine, machines: Iterable[Machine], vcpu: float) -> Machine:
    """Return the machine, or the least of its family and region with so many vCPUs."""
    if machine.vcpu is None or machine.vcpu >= vcpu:
        return machine
    alike = [
        each
        for each in machines
        if (each.provider, each.region, each.family)
        == (machine.provider, machine.region, machine.family)
        and (each.vcpu or 0) >= vcpu
    ]
    return min(alike, key=lambda each: each.vcpu or 0, default=machine)


def _without_machine(offer: Offer, cost: str) -> Finalist:
    machine = offer.machine
    size = f"{machine.vcpu:g} vCPU and {machine.memory_gib:g} GiB"
    return Finalist(
        offer.title, cost, _run_job(offer) if offer.service.provider == "gcp" else (),
        f"It has no machine to log in to: run the image `-probe` there once, with {size}, and "
        f"arguments `--machine {shell_word(machine.id)}`. The last line of its log is the result: "
        f"save it as `{RESULT}`. The server and the load share those vCPU, so give it one more, "
        "if the service sells that.",
    )  # fmt: skip


def _cost(
    machine: Machine,
    prices: Mapping[Term, Price],
    sources: Mapping[str, Source],
    seconds: float,
) -> str:
    price = machine.prices.get("on_demand") or prices.get("on_demand")
    minutes = seconds / 60 + AROUND_MIN
    if price is None:
        return f"What {minutes:.0f} minutes of it cost is not known here."
    source = sources.get(price.source, Source(text=price.source))
    dated = f", prices of {source.date}" if source.date else ""
    usd = price.usd_per_hour * minutes / 60
    return (
        f"About {usd:.2g} USD for {minutes:.0f} minutes at {price.usd_per_hour:.4g} USD/h on demand"
        f"{dated}; disk and address not counted."
    )


def _aws(at: Started) -> Iterable[str]:
    arch = at.arch or "x86_64"
    image = f"resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}"
    yield f"ID=$(aws ec2 run-instances --region {at.region} --instance-type {at.name} \\"
    yield f"  --image-id {image} --key-name YOUR_KEY \\"
    yield "  --instance-initiated-shutdown-behavior terminate \\"
    yield "  --query 'Instances[0].InstanceId' --output text)"
    yield f'aws ec2 wait instance-status-ok --region {at.region} --instance-ids "$ID"'
    yield f'HOST=ec2-user@$(aws ec2 describe-instances --region {at.region} --instance-ids "$ID" \\'
    yield "  --query 'Reservations[0].Instances[0].PublicDnsName' --output text)"
    yield from _over_ssh("sudo dnf install -y docker && sudo systemctl start docker", at.told)
    yield f'aws ec2 terminate-instances --region {at.region} --instance-ids "$ID"'


def _azure(at: Started) -> Iterable[str]:
    image = "Canonical:ubuntu-24_04-lts:server-arm64:latest" if at.arch == "arm64" else "Ubuntu2404"
    yield f"az group create --name afterfit-probe --location {at.region}"
    yield "HOST=azureuser@$(az vm create --resource-group afterfit-probe --name probe \\"
    yield f"  --size {at.name} --image {image} --admin-username azureuser \\"
    yield "  --generate-ssh-keys --query publicIpAddress --output tsv)"
    yield from _over_ssh("sudo apt-get update && sudo apt-get install -y docker.io", at.told)
    yield "az group delete --name afterfit-probe --yes"


def _gcp(at: Started) -> Iterable[str]:
    family = "debian-12-arm64" if at.arch == "arm64" else "debian-12"
    zone = f"--zone {at.region}-b"
    yield f"gcloud compute instances create probe {zone} --machine-type {at.name} \\"
    yield f"  --image-family {family} --image-project debian-cloud --boot-disk-size 20GB"
    yield f"gcloud compute scp --recurse {zone} . probe:probe"
    run = f"sudo apt-get update && sudo apt-get install -y docker.io && {_measured(at.told)}"
    yield f"gcloud compute ssh {zone} probe --command {shell_word(run)}"
    yield f"gcloud compute scp {zone} probe:probe/out/{RESULT} {_named(at.told)}"
    yield f"gcloud compute instances delete probe {zone} --quiet"


def _elsewhere(at: Started) -> Iterable[str]:
    yield f"HOST=root@...   # a {at.name} in {at.region}, with docker"
    yield from _over_ssh("true", at.told)


_STARTED = {"aws": _aws, "azure": _azure, "gcp": _gcp}


def _over_ssh(ready: str, told: str) -> Iterable[str]:
    yield 'scp -r . "$HOST":probe'
    yield f'ssh "$HOST" {shell_word(f"{ready} && {_measured(told)}")}'
    yield f'scp "$HOST":probe/out/{RESULT} {_named(told)}'


def _measured(told: str) -> str:
    return f"sudo sh probe/probe.sh --machine {shell_word(told)}"


def _named(told: str) -> str:
    return shell_word(f"{Path(RESULT).stem}-{told.replace('/', '-')}.json")


def _run_job(offer: Offer) -> tuple[str, ...]:
    machine = offer.machine
    region, told = shell_word(machine.region), shell_word(machine.id)
    return (
        "# push the image that probe.sh builds to YOUR_IMAGE first",
        f"gcloud run jobs create probe --region {region} --image YOUR_IMAGE \\",
        f"  --cpu {machine.vcpu:g} --memory {machine.memory_gib:g}Gi --task-timeout 20m \\",
        f"  --args=--machine,{told} --max-retries 0 --execute-now --wait",
        f"gcloud run jobs delete probe --region {region} --quiet",
    )


@cache
def _environment() -> Environment:
    import jinja2

    # Shell, YAML and Markdown, no HTML; names of versions and machines are checked words.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701
        keep_trailing_newline=True,
    )
