"""Processors are counted as the kernel grants them, from cgroup files made by hand."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import pytest

from afterfit.runtime.cpus import (
    WORKER_BYTES,
    Division,
    cpu_quota,
    divide,
    memory_limit,
    usable_cpus,
    workers_in_memory,
)

if TYPE_CHECKING:
    from pathlib import Path

VERSION_2 = "0::/kubepods/pod7\n"
VERSION_1 = "5:cpuset:/\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n"


class Files:
    """A cgroup tree, and the file in which a process reads where it stands."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "cgroup"
        self.own = folder / "self"
        self.root.mkdir()

    def write(self, name: str, text: str) -> None:
        """One file of the tree."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def quota(self, own: str) -> float:
        """The quota of a process that stands there."""
        self.own.write_text(own)
        return cpu_quota(self.root, self.own)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An empty tree."""
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("400000 100000\n", 4.0),
        ("25000 50000\n", 0.5),
        ("max 100000\n", math.inf),
        ("200000\n", 2.0),
        ("", math.inf),
        ("odd words\n", math.inf),
        ("100000 0\n", math.inf),
    ],
)
def test_version_2_grants_quota_by_period(text: str, expected: float, files: Files) -> None:
    """``max`` and what cannot be read are no limit; the period is 100 ms where it is left out."""
    files.write("cpu.max", text)
    assert files.quota("0::/\n") == expected


def test_a_parents_limit_holds_for_its_children(files: Files) -> None:
    """The least on the way up counts, wherever it stands."""
    files.write("kubepods/pod7/cpu.max", "300000 100000")
    assert files.quota(VERSION_2) == 3.0
    files.write("kubepods/cpu.max", "200000 100000")
    assert files.quota(VERSION_2) == 2.0
    files.write("kubepods/pod7/cpu.max", "100000 100000")
    assert files.quota(VERSION_2) == 1.0
    files.write("elsewhere/cpu.max", "1000 100000")
    assert files.quota(VERSION_2) == 1.0


def test_a_container_that_is_told_the_hosts_path_finds_its_own_group_at_the_top(
    files: Files,
) -> None:
    """Without a cgroup namespace the path does not exist inside; ``..`` leads outside."""
    files.write("cpu.max", "200000 100000")
    assert files.quota("0::/system.slice/docker-abc.scope\n") == 2.0
    assert files.quota("0::/../../other\n") == 2.0


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_version_1_grants_quota_by_period(mount: str, files: Files) -> None:
    """Under either name of the mount; -1 is no limit."""
    files.write(f"{mount}/docker/abc/cpu.cfs_quota_us", "250000\n")
    files.write(f"{mount}/docker/abc/cpu.cfs_period_us", "100000\n")
    files.write(f"{mount}/cpu.cfs_quota_us", "-1\n")
    files.write("cpuset/cpu.cfs_quota_us", "1000\n")
    assert files.quota(VERSION_1) == 2.5
    files.write(f"{mount}/docker/abc/cpu.cfs_quota_us", "-1\n")
    assert files.quota(VERSION_1) == math.inf


def test_a_machine_with_both_versions_obeys_both(files: Files) -> None:
    """The unified tree beside the older one."""
    files.write("cpu/cpu.cfs_quota_us", "300000")
    files.write("cpu/cpu.cfs_period_us", "100000")
    files.write("unified/cpu.max", "100000 100000")
    assert files.quota("3:cpu:/\n0::/\n") == 1.0


def test_the_cpus_are_whole_at_least_one_and_not_more_than_allowed(files: Files) -> None:
    """Half a processor is one worker; a quota beyond the affinity is the affinity."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    files.own.write_text("0::/\n")
    for text, expected in (("50000 100000", 1), ("6400000 100000", allowed), ("max", allowed)):
        files.write("cpu.max", text)
        assert usable_cpus(files.root, files.own) == expected


def test_a_process_kept_to_one_processor_counts_one(files: Files) -> None:
    """As under taskset or a cpuset, which no quota tells of."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("NOT RUN: this system has no affinity of processes")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cpus(files.root, files.own) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_a_system_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    """And the processors of this very machine are counted without any file made by hand."""
    assert cpu_quota(tmp_path / "none", tmp_path / "nothing") == math.inf
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((8, None, None), Division(8, 1)),
        ((1, None, None), Division(1, 1)),
        ((8, 2, None), Division(2, 4)),
        ((8, 3, None), Division(3, 2)),
        ((2, 8, None), Division(8, 1)),
        ((8, None, 4), Division(8, 4)),
        ((8, 2, 1), Division(2, 1)),
    ],
)
def test_what_is_not_given_is_divided(
    given: tuple[int, int | None, int | None], expected: Division
) -> None:
    """One worker a processor, and the threads of all workers together on all processors."""
    assert divide(*given) == expected


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ("0::/kubepods/pod7\n", "kubepods/memory.max"),
        ("4:memory:/\n", "memory/memory.limit_in_bytes"),
    ],
)
def test_the_memory_limit_of_either_version(own: str, name: str, files: Files) -> None:
    """A parent's counts; ``max`` is none."""
    files.own.write_text(own)
    files.write(name, "268435456\n")
    assert memory_limit(files.root, files.own) == 256 << 20
    files.write(name, "max\n")
    assert memory_limit(files.root, files.own) == math.inf


def test_workers_are_no_more_than_the_memory_has_room_for(files: Files) -> None:
    """On a machine of 64 processors a container of 1 GB does not start 64 workers."""
    files.own.write_text("0::/\n")
    files.write("memory.max", str(1 << 30))
    assert workers_in_memory(0, files.root, files.own) == (1 << 30) // WORKER_BYTES
    large = workers_in_memory(400 << 20, files.root, files.own)
    assert divide(64, most=large) == Division(1, 64)
    assert divide(64, most=3.0) == Division(3, 21)
    assert divide(64, 8, most=3.0).workers == 8
    assert divide(2, most=math.inf) == Division(2, 1)
