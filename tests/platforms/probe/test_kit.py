"""The texts of a kit: commands that can be pasted, and a cost."""

from __future__ import annotations

import subprocess
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from afterfit.platforms.catalog import builtin
from afterfit.platforms.probe.kit import Finalist, Kit, finalist_of, kit_files
from afterfit.platforms.shapes import Machine, Offer, Price, Service, Source

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = {"list": Source(text="a list", date="2026-07-20")}
OFFERS = {offer.id: offer for offer in builtin().offers()}
OF_ALL = (
    "aws-ec2/us-east-1/m7g.large", "aws-sagemaker/us-east-1/ml.m5.large",
    "azure-vm/eastus/Standard_D2s_v5", "gcp-gce/us-central1/n2-standard-2",
    "gcp-run/us-central1/2vcpu-4gib", "aws-fargate/us-east-1/1vcpu-2gib",
)  # fmt: skip


def finalist(id_: str) -> Finalist:
    """A finalist of the catalog that ships."""
    return finalist_of(OFFERS[id_], builtin().sources, 600)


def kit(*finalists: Finalist) -> Kit:
    """A kit of a version."""
    return Kit(name="fraud", number=3, digest="d" * 64, slo="p99 <= 50 ms", cores=1, seconds=600,
               base="python:3.11-slim", finalists=finalists)  # fmt: skip


@pytest.mark.parametrize("id_", OF_ALL)
def test_the_commands_of_each_kind_of_place_are_shell(id_: str) -> None:
    """`sh -n` reads them; the machine and its region are in them, as is its end."""
    found = finalist(id_)
    text = "\n".join(found.commands)
    done = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    region, name = id_.split("/")[1:]
    if found.commands:
        assert region in text
        assert "delete" in text or "terminate" in text
    assert name.removeprefix("ml.") in text + found.note
    assert "USD" in found.cost


def test_an_endpoint_is_measured_on_the_machine_below_it() -> None:
    """Its name there is without the service's own."""
    found = finalist("aws-sagemaker/us-east-1/ml.m5.large")
    text = "\n".join(found.commands)
    assert "--instance-type m5.large" in text
    assert "--machine aws/us-east-1/m5.large" in text
    assert "same processors" in found.note


def test_a_machine_without_room_for_the_load_is_measured_on_its_next_size() -> None:
    """Where there is one: the processor is the same, and the README says so."""
    catalog = builtin()
    small = OFFERS["aws-ec2/us-east-1/c8g.medium"]
    found = finalist_of(small, catalog.sources, 600, cores=1, machines=catalog.machines)
    assert any("--instance-type c8g.large" in line for line in found.commands)
    assert "c8g.medium has 1 vCPU" in found.note
    alone = finalist_of(small, catalog.sources, 600, cores=1)
    assert any("--instance-type c8g.medium" in line for line in alone.commands)
    assert "too low" in alone.note


def test_an_arm_machine_starts_with_an_arm_system() -> None:
    """Or nothing would run."""
    assert any("arm64" in line for line in finalist("aws-ec2/us-east-1/m7g.large").commands)


def offer(name: str = "big", price: float | None = 6.0) -> Offer:
    """An offer of a host."""
    prices: Any = {} if price is None else {"on_demand": Price(usd_per_hour=price, source="list")}
    machine = Machine(provider="host", region="here", name=name, vcpu=4.0, prices=prices)
    return Offer(service=Service(id="host", provider="host", title="Host", kind="host"),
                 machine=machine, prices=prices)  # fmt: skip


def test_the_cost_is_that_of_the_minutes_with_its_date() -> None:
    """Ten to measure and ten around; a price that nobody knows is told to be so."""
    told = finalist_of(offer(), SOURCES, 600).cost
    assert told.startswith("About 2 USD for 20 minutes at 6 USD/h on demand, prices of 2026-07-20")
    assert "not known" in finalist_of(offer(price=None), SOURCES, 600).cost


def test_a_name_from_a_hostile_price_list_stays_one_word(tmp_path: Path) -> None:
    """Names come from files of others, and commands are pasted."""
    found = finalist_of(offer("x; touch owned #$(touch owned)"), SOURCES, 600)
    for line in found.commands[1:]:
        # The programs are replaced by one that does nothing.
        script = f"scp() {{ :; }}; ssh() {{ :; }}; HOST=h; {line}"
        subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_a_kit_can_be_read_by_who_reads_them() -> None:
    """The script by a shell, compose by YAML; the lock has a hash for every file."""
    files = kit_files(kit(finalist("aws-ec2/us-east-1/m7g.large")))
    done = subprocess.run(["sh", "-n"], input=files["probe.sh"], text=True, check=False)
    assert done.returncode == 0
    assert set(yaml.safe_load(files["compose.yaml"])["services"]) == {"model", "probe"}
    assert "ARG MODEL=fraud:3\n" in files["Dockerfile"]
    assert "afterfit platforms fraud@3 --probes FOLDER" in files["README.md"]
    pins = [line for line in files["probe.lock"].splitlines() if "==" in line]
    assert len(pins) == 3
    assert "--hash=sha256:" in files["probe.lock"]


def test_what_sends_load_is_pinned_as_in_development(project_root: Path) -> None:
    """The kit's lock is a part of the other, so that what was tested is what measures."""
    ours = resources.files("afterfit.platforms.probe").joinpath("data", "probe.lock")
    lines = [line for line in ours.read_text("utf-8").splitlines() if not line.startswith("#")]
    theirs = (project_root / "requirements" / "dev.lock").read_text("utf-8")
    missing = [line for line in lines if line.rstrip(" \\") not in theirs]
    assert lines
    assert missing == []
