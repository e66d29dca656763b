"""``traffic.toml``: what it says, and every problem of it at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from afterfit.core.trace import Trace
from afterfit.errors import ConfigError, NotFoundError, UsageError
from afterfit.platforms.config import PlatformsConfig, Requirements
from afterfit.platforms.traffic import TrafficFile, read_traffic

REGIONS = ("us-east-1", "westeurope")
GOOD = """
shape = "diurnal"
peak_rps = 400
growth = 1.5
events = ["2026-11-27T08:00 x10 2h"]
response_bytes = 900

[slo]
objective = "p99<50ms"
survive = "zone"
zones = 3

[requirements]
residency = "eu"
regions = ["westeurope"]
compliance = ["hipaa"]

[weights]
cost = 3
security = 2
"""


def read(tmp_path: Path, text: str) -> TrafficFile:
    """What a file of this text says."""
    path = tmp_path / "traffic.toml"
    path.write_text(text, "utf-8")
    return read_traffic(path, regions=REGIONS)


def problems(tmp_path: Path, text: str) -> dict[str, str]:
    """What is wrong with it, by path."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.where == str(tmp_path / "traffic.toml")
    found = dict(each.split(": ", 1) for each in caught.value.why.split("; $"))
    return {"$" + path.removeprefix("$"): text for path, text in found.items()}


def test_everything_that_it_says_holds(tmp_path: Path) -> None:
    """The trace is scaled, has its event and grows; settings are those of the file."""
    told = read(tmp_path, GOOD)
    trace = told.traced()
    assert float(trace.rates[: len(trace.rates) // 4].max()) < 0.5 * 400 * 1.5
    assert trace.peak > 3 * 400 * 1.5
    asked = told.asked(PlatformsConfig(storage_gb=9.0))
    assert (asked.slo, asked.survive, asked.zones) == ("p99<50ms", "zone", 3)
    assert (asked.response_bytes, asked.request_bytes, asked.storage_gb) == (900, 2000, 9)
    assert asked.requirements.residency == "eu"
    assert asked.weights == {"cost": 3.0, "security": 2.0}


def test_what_the_file_leaves_out_is_that_of_the_settings(tmp_path: Path) -> None:
    """Programmes and what is left out add up, a region takes the place of the usual one."""
    usual = PlatformsConfig(
        survive="zone", zones=3, request_bytes=9000.0,
        requirements=Requirements(
            compliance=("hipaa",), regions=("us",), exclude=("heroku",), commitment="3y"
        ),
    )  # fmt: skip
    text = 'shape = "diurnal"\npeak_rps = 4\nresponse_bytes = 7\n[slo]\nobjective = "p99<9ms"\n'
    asked = read(tmp_path, text).asked(usual)
    assert (asked.survive, asked.zones, asked.slo) == ("zone", 3, "p99<9ms")
    assert (asked.request_bytes, asked.response_bytes) == (9000.0, 7.0)
    assert asked.requirements == usual.requirements
    more = '[requirements]\ncompliance = ["soc2"]\nregions = ["westeurope"]\nown_keys = true\n'
    both = read(tmp_path, text + more).asked(usual).requirements
    assert (both.compliance, both.regions) == (("hipaa", "soc2"), ("westeurope",))
    assert (both.exclude, both.commitment, both.own_keys) == (("heroku",), "3y", True)


def test_a_mean_scales_rates_that_were_read(tmp_path: Path) -> None:
    """A file of rates is read by whoever can; its mean is the one that was told."""
    told = read(tmp_path, 'file = "rates.csv"\nmean_rps = 10')
    rates = Trace("rates.csv", np.array([1.0, 2.0, 3.0]), 60.0)
    assert told.traced(rates).rates.tolist() == [5.0, 10.0, 15.0]
    plain = read(tmp_path, 'file = "rates.csv"')
    assert plain.traced(rates).rates.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("rates", [[0.0, 0.0], [0.0, float("nan")]])
def test_rates_without_traffic_are_told(tmp_path: Path, rates: list[float]) -> None:
    """Nothing can be sized for nothing."""
    told = read(tmp_path, 'file = "rates.csv"\npeak_rps = 4')
    with pytest.raises(UsageError, match="no traffic to size for"):
        told.traced(Trace("rates.csv", np.array(rates), 60.0))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Each with its path: a misspelt key, a word that is no choice, numbers that cannot be."""
    found = problems(
        tmp_path,
        """
shape = "diurnl"
peak_rps = -4
growth = inf
evnts = []
[slo]
objective = "p99<0.001ms"
survive = "all"
[requirements]
regions = ["us-east-7", "eu"]
residence = "eu"
[weights]
cost = -1
""",
    )
    assert "did you mean 'diurnal'" in found["$.shape"]
    assert "> 0" in found["$.peak_rps"]
    assert "finite" in found["$.growth"]
    assert "did you mean 'events'" in found["$.evnts"]
    assert "0.001 ms cannot be held" in found["$.slo.objective"]
    assert "'none', 'replica', 'zone'" in found["$.slo.survive"]
    assert "did you mean 'us-east-1'" in found["$.requirements.regions[0]"]
    assert "did you mean 'residency'" in found["$.requirements.residence"]
    assert ">= 0" in found["$.weights"]
    assert len(found) == 9


@pytest.mark.parametrize(
    ("text", "path", "word"),
    [
        ("peak_rps = 4", "$.shape", "give shape or file"),
        ('shape = "diurnal"', "$.peak_rps", "a shape has no size"),
        ('shape = "diurnal"\npeak_rps = 0', "$.peak_rps", "> 0"),
        ('shape = "diurnal"\npeak_rps = nan', "$.peak_rps", "> 0"),
        ('shape = "diurnal"\npeak_rps = "many"', "$.peak_rps", "Expected `float"),
        ('shape = "diurnal"\npeak_rps = 4\nmean_rps = 2', "$.mean_rps", "give one of them"),
        ('shape = "diurnal"\npeak_rps = 4\nevents = ["soon"]', "$.events[0]", "a start"),
        ('shape = "diurnal"\npeak_rps = 4\nslo = "p99<50ms"', "$.slo", "it is a table"),
        ('shape = "diurnal"\npeak_rps = 4\n[slo]\nobjective = "fast"', "$.slo.objective",
         "percentile"),
        ('shape = "diurnal"\npeak_rps = 4\n[weights]\nspeed = 1', "$.weights.speed",
         "no criterion"),
        ('shape = "diurnal"\npeak_rps = 4\n[weights]\ncost = 0', "$.weights", "nothing counts"),
        ('shape = "diurnal"\npeak_rps = 4\n[slo]\nsurvive = "zone"\nzones = 1', "$.slo.zones",
         "two or more"),
        ('shape = "diurnal"\npeak_rps = 4\n[requirements]\nresidency = "eu"\nregions = ["us"]',
         "$.requirements", "every region asked for is elsewhere"),
    ],
)  # fmt: skip
def test_a_problem_says_where_and_what(tmp_path: Path, text: str, path: str, word: str) -> None:
    """One wrong line, one problem at its path."""
    assert word in problems(tmp_path, text)[path]


def test_what_is_no_file_and_no_toml_is_told(tmp_path: Path) -> None:
    """A path that does not exist, and a text that cannot be read."""
    with pytest.raises(NotFoundError, match="no such file"):
        read_traffic(tmp_path / "nothing.toml")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read(tmp_path, "shape = ")


def test_regions_are_those_of_the_catalog_where_none_are_told(tmp_path: Path) -> None:
    """What ships knows us-central1, and no region of the moon."""
    path = tmp_path / "traffic.toml"
    text = 'shape = "weekly"\npeak_rps = 4\n[requirements]\nregions = ["us-central1"]'
    path.write_text(text, "utf-8")
    assert read_traffic(path).requirements.regions == ("us-central1",)
    path.write_text(text.replace("us-central1", "moon-1"), "utf-8")
    with pytest.raises(ConfigError, match="moon-1"):
        read_traffic(path)
