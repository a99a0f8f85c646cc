"""The number of cores that a process may use."""

import os

import pytest

from fusionlab import threads
from fusionlab.threads import available_cores


@pytest.fixture
def on_eight_cores(monkeypatch, tmp_path):
    """Eight cores, and control groups in a folder."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "CPUS", tmp_path / "cpus")
    monkeypatch.setattr(threads, "CGROUPS", tmp_path)
    monkeypatch.setattr(threads, "OF_THIS_PROCESS", tmp_path / "cgroup")
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("max 100000", 8)],
)
def test_a_container_may_use_the_time_that_it_is_given(on_eight_cores, quota, cores):
    write(on_eight_cores / "cgroup", "0::/\n")
    write(on_eight_cores / "cpu.max", quota)
    assert available_cores() == cores


def test_the_tightest_of_nested_groups_counts(on_eight_cores):
    write(on_eight_cores / "cgroup", "0::/jobs/mine\n")
    write(on_eight_cores / "jobs" / "cpu.max", "300000 100000")
    write(on_eight_cores / "jobs" / "mine" / "cpu.max", "max 100000")
    assert available_cores() == 3


def test_groups_of_the_first_version_count(on_eight_cores):
    write(on_eight_cores / "cgroup", "4:memory:/a\n3:cpu,cpuacct:/docker/1\n0::/\n")
    write(on_eight_cores / "cpu" / "docker" / "1" / "cpu.cfs_quota_us", "400000")
    write(on_eight_cores / "cpu" / "docker" / "1" / "cpu.cfs_period_us", "100000")
    write(on_eight_cores / "cpu" / "cpu.cfs_quota_us", "-1")
    write(on_eight_cores / "cpu" / "cpu.cfs_period_us", "100000")
    assert available_cores() == 4


@pytest.mark.parametrize("text", ["", "0::/\n", "0::/gone\n", "no groups at all\n"])
def test_without_groups_the_cores_that_it_is_bound_to_count(on_eight_cores, text):
    write(on_eight_cores / "cgroup", text)
    assert available_cores() == 8


def test_a_group_without_a_period_is_no_limit(on_eight_cores):
    write(on_eight_cores / "cgroup", "0::/\n")
    write(on_eight_cores / "cpu.max", "100000 0")
    assert available_cores() == 8


def test_two_processors_of_a_core_count_once(on_eight_cores):
    for processor in range(8):
        topology = on_eight_cores / "cpus" / f"cpu{processor}" / "topology"
        write(topology / "physical_package_id", f"{processor // 4}\n")
        write(topology / "core_id", f"{processor % 2}\n")
    assert available_cores() == 4


def test_systems_without_affinity_count_their_processors(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(threads, "OF_THIS_PROCESS", tmp_path / "none")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1
