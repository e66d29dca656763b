"""SkyPilot's files: any order of columns, zones, and a unit that is not what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.platforms.importers.lists import prices, read

from afterfit.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

AWS = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,\
AvailabilityZone,Arch
m6i.large,,,2.0,8.0,,0.096,0.03,us-east-1,us-east-1a,x86_64
m6i.large,,,2.0,8.0,,0.096,0.05,us-east-1,use1-az2,x86_64
m6i.large,,,2.0,8.0,,0.096,0.04,us-east-1,use1-az6,x86_64
m6i.large,,,2.0,8.0,,0.24,0.20,us-east-1,us-east-1-bos-1a,x86_64
m6i.large,,,2.0,8.0,,0.24,0.20,us-east-1,use1-bos1-az1,x86_64
m6i.xlarge,,,4.0,16.0,,,,us-east-1,us-east-1a,x86_64
,,,2.0,8.0,,0.1,,us-east-1,us-east-1a,x86_64
"""
RUNPOD = """\
Region,Price,InstanceType,AcceleratorName,AcceleratorCount,GpuInfo,vCPUs,MemoryGiB,SpotPrice
US,1.64,1x_A100-80GB,A100-80GB,1.0,"{{'Gpus': [{{'Name': 'A100-80GB', 'Count': 1.0, \
'MemoryInfo': {{'SizeInMiB': {size}}}}}]}}",8.0,117.0,
"""


def test_rows_are_read_by_their_header_and_spot_is_the_median_of_zones(tmp_path: Path) -> None:
    """The folder says whose they are; a local zone's price is no price of the region."""
    found = read(tmp_path, AWS, "aws/vms.csv")
    assert found.format == "skypilot"
    assert prices(found) == {
        ("us-east-1/m6i.large", "on_demand"): 0.096,
        ("us-east-1/m6i.large", "spot"): 0.04,
    }
    assert found.machines[0].provider == "aws"
    assert found.skipped == {
        "a local or wavelength zone": 2,
        "a machine without a price that can be used": 1,
        "a row without a machine's name or region, or of odd length": 1,
        "the price is missing or no number": 1,
    }
    assert [source.confidence for source in found.sources.values()] == ["medium"]


@pytest.mark.parametrize(("size", "gib", "told"), [
    ("80", 80.0, "GPU memory in GiB although the column says MiB (mended, the row is kept)"),
    ("81920", 80.0, ""),
    ("9999999999", None, "GPU memory that no GPU has (left out, the row is kept)"),
])  # fmt: skip
def test_gpu_memory_is_tried_for_its_unit(
    tmp_path: Path, size: str, gib: float | None, told: str
) -> None:
    """Some files write 80 MiB for 80 GiB; what is neither is left out, and counted."""
    found = read(tmp_path, RUNPOD.format(size=size), "runpod/vms.csv")
    [machine] = found.machines
    assert (machine.gpu, machine.gpu_count, machine.gpu_memory_gib) == ("A100-80GB", 1.0, gib)
    assert found.skipped == ({told: 1} if told else {})


def test_a_file_that_does_not_say_whose_it_is_asks(tmp_path: Path) -> None:
    """``--provider`` says it."""
    with pytest.raises(UsageError, match="whose prices") as error:
        read(tmp_path, AWS, "x/vms.csv")
    assert error.value.fix == "--provider aws"
    assert read(tmp_path, AWS, "x/vms.csv", provider="aws").machines[0].provider == "aws"
