"""gpuhunt's items: JSON and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.platforms.importers.lists import prices, read

from afterfit.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

CSV = """\
instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size
gpu_1x_a10,us-east-1,0.75,30,200.0,1,A10,24.0,False,1400.0
gpu_1x_a10,us-east-1,0.3,30,200.0,1,A10,24.0,True,1400.0
cpu_4x,us-east-1,0,4,16.0,0,,,False,
"""


def item(**told: Any) -> Any:
    """An item of the JSON."""
    return {
        "provider": "nebius", "instance_name": "gpu-h100", "location": "eu-north1",
        "price": 2.95, "cpu": 16, "memory": 200.0, "gpu_count": 1, "gpu_name": "H100",
        "gpu_memory": 80.0, "spot": False, "cpu_arch": "x86", **told,
    }  # fmt: skip


def test_items_become_machines_with_their_gpus(tmp_path: Path) -> None:
    """JSON says whose they are."""
    found = read(tmp_path, [item(), item(spot=True, price=1.5), item(price=float("nan")), 3])
    [machine] = found.machines
    assert machine.id == "nebius/eu-north1/gpu-h100"
    assert (machine.gpu, machine.gpu_memory_gib, machine.arch) == ("H100", 80.0, "x86_64")
    assert prices(found) == {
        ("eu-north1/gpu-h100", "on_demand"): 2.95,
        ("eu-north1/gpu-h100", "spot"): 1.5,
    }
    assert found.skipped == {"a row that is no object": 1, "the price is missing or no number": 1}


def test_a_csv_is_named_after_its_provider(tmp_path: Path) -> None:
    """Its rows do not say it, so a file of another name asks."""
    found = read(tmp_path, CSV, "lambdalabs.csv")
    assert prices(found) == {
        ("us-east-1/gpu_1x_a10", "on_demand"): 0.75,
        ("us-east-1/gpu_1x_a10", "spot"): 0.3,
    }
    assert found.skipped == {
        "a machine without a price that can be used": 1,
        "the price is zero or negative": 1,
    }
    with pytest.raises(UsageError, match="whose prices"):
        read(tmp_path, CSV, "mine.csv")
