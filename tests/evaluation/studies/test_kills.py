"""A study whose processes are killed again and again ends with the rows of an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

KILLS = 20

STUDY = """
[study]
metrics = ["EN", "Qabf", "SSIM", "VIF"]
executor = "local:2"
[sets]
s = "set"
[[methods]]
backbone = { grid = ["densefuse@1e0", "identity"] }
strategy = { grid = ["l1norm", "max", "mean", "sml", "multi_scale"] }
"""


@pytest.fixture
def study(tmp_path):
    rng = np.random.default_rng(0)
    for letter in "ab":
        (tmp_path / "set" / letter).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (240, 320), dtype=np.uint8)
            iio.imwrite(tmp_path / "set" / letter / f"{number:02}.png", pixels)
    (tmp_path / "kills.toml").write_text(STUDY)
    return tmp_path


def start(folder, name, *options):
    command = [sys.executable, "-m", "fusionlab", "study", "run", "kills.toml", "-o", name]
    return subprocess.Popen(
        [*command, *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def check_same_rows(study):
    for name in ("rows.csv", "means.csv"):
        assert (study / "killed" / name).read_bytes() == (study / "calm" / name).read_bytes()


def workers_of(pid):
    """Return the workers that a process has started, without the resource tracker."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    children = [child for file in lists for child in read(file).split()]
    return [int(child) for child in children if "spawn_main" in read(f"/proc/{child}/cmdline")]


def read(file):
    """Return the content of a file of /proc; nothing if its process has ended."""
    try:
        return Path(file).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers in /proc")
def test_twenty_kills_change_no_row(study):
    calm = start(study, "calm")
    calm.communicate()
    assert calm.returncode == 0
    randomly = random.Random(1)
    kills = {"coordinator": 0, "worker": 0}
    process = start(study, "killed")
    while sum(kills.values()) < KILLS:
        # in turn: the coordinator whenever it may be, and a worker once there is one
        kind = min(kills, key=kills.get)
        while kind == "worker" and process.poll() is None and not workers_of(process.pid):
            time.sleep(0.1)
        time.sleep(randomly.uniform(0, 4))
        if process.poll() is not None:  # it was done before the next kill: begin again
            _, errors = process.communicate()
            assert process.returncode == 0, errors
            (study / "killed" / "rows.jsonl").unlink()
            process = start(study, "killed")
            continue
        victims = workers_of(process.pid) if kind == "worker" else [process.pid]
        if not victims:
            continue
        try:
            os.kill(randomly.choice(victims), signal.SIGKILL)
        except ProcessLookupError:
            continue
        kills[kind] += 1
        if kind == "coordinator":
            process.communicate()
            process = start(study, "killed")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    check_same_rows(study)


def wait_for_rows(study, count):
    journal, deadline = study / "killed" / "rows.jsonl", time.monotonic() + 300
    while not journal.exists() or len(journal.read_bytes().splitlines()) < count:
        assert time.monotonic() < deadline, "the study computes nothing"
        time.sleep(0.1)


@pytest.mark.slow
def test_dask_gives_the_job_of_a_killed_worker_to_another(study):
    """One of two workers is killed with SIGKILL in the middle of a job."""
    distributed = pytest.importorskip("distributed")
    calm = start(study, "calm")
    calm.communicate()
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        process = start(study, "killed", "--executor", f"dask://{address}")
        wait_for_rows(study, 20)
        victim = next(iter(cluster.workers.values())).pid
        os.kill(victim, signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    check_same_rows(study)
