"""All executors give the same rows; workers that die cost a try, then a row, never the run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusionlab import FusionlabError, evaluate, load_strategy
from fusionlab.evaluation.executors import ExecutorChoice
from fusionlab.evaluation.jobs import run_job
from fusionlab.evaluation.processes import LocalProcesses, WorkerDied
from fusionlab.torch_defaults import torch_threads

KILLER = """
    import os, signal
    from dataclasses import dataclass
    from fusionlab import Strategy, hookimpl
    from fusionlab.plugins.offers import StrategyRef

    @hookimpl
    def fusionlab_strategies():
        return [StrategyRef("killer", __name__ + ":Killer", "Kills its process.")]

    @dataclass(frozen=True)
    class Killer(Strategy):
        \"\"\"Kill the process that fuses.\"\"\"

        support = 0

        def fuse(self, features, scene):
            os.kill(os.getpid(), signal.SIGKILL)
"""
METHODS = ["densefuse@1e2/l1norm,r=0", "identity/max"]


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("threads:3", ExecutorChoice("threads", 3)),
        ("local:2", ExecutorChoice("local", 2)),
        ("dask:4", ExecutorChoice("dask", 4)),
        ("dask://10.0.0.1:8786", ExecutorChoice("dask", 0, "10.0.0.1:8786")),
    ],
)
def test_executors_are_written_in_one_way(text, choice):
    assert ExecutorChoice.parse(text) == choice


@pytest.mark.parametrize(("threads", "workers"), [(3, 3), (16, 8)])
def test_without_a_number_there_are_as_many_workers_as_threads_at_most_eight(threads, workers):
    with torch_threads(threads):
        assert ExecutorChoice.parse("local").workers == workers


@pytest.mark.parametrize(
    "text", ["", "thread", "local:", "local:0", "local:-1", "dask://", "ssh:2"]
)
def test_other_executors_are_refused(text):
    with pytest.raises(FusionlabError) as refused:
        ExecutorChoice.parse(text)
    assert (refused.value.code, refused.value.option) == ("executor", "executor")


@pytest.mark.usefixtures("warm_spawn")
def test_processes_give_the_same_rows_and_images_as_threads(image_set, metrics, tmp_path):
    names, rows, images = "brightness,EN,Qabf", [], []
    for executor in ("threads:2", "local:2"):
        out = tmp_path / executor.partition(":")[0]
        options = {"executor": executor, "output": out, "save_images": True, "baselines": False}
        rows.append(evaluate(image_set, METHODS, names, **options).rows)
        images.append([file.read_bytes() for file in sorted(out.rglob("*.png"))])
    assert [len(rows[0]), len(images[0])] == [6, 6]
    assert rows[0] == rows[1]
    assert images[0] == images[1]


@pytest.mark.slow
def test_dask_gives_the_same_rows_as_threads(image_set):
    pytest.importorskip("distributed")
    rows = [
        evaluate(image_set, METHODS, "EN,Qabf", executor=executor, baselines=False).rows
        for executor in ("threads:2", "dask:2")
    ]
    assert rows[0] == rows[1]


@pytest.mark.usefixtures("warm_spawn")
def test_a_method_that_kills_its_worker_fails_and_the_others_do_not(
    image_set, install, tmp_path, monkeypatch
):
    monkeypatch.setattr("fusionlab.evaluation.run.MAX_DEATHS", 2)
    install("killer", KILLER)
    for file in image_set.glob("*/t*.png"):
        file.unlink()
    report = evaluate(
        image_set,
        ["identity/max", "identity/killer", "identity/mean"],
        "EN",
        executor="local:1",
        output=tmp_path / "out",
    )
    failed = [row for row in report.rows if row.problem]
    assert [row.method for row in failed] == ["identity/killer"]
    assert "2 worker processes died over it" in failed[0].problem
    assert "signal 9" in failed[0].problem
    assert sum(bool(row.values) for row in report.rows) == 2


def test_jobs_hold_absolute_paths_because_workers_may_have_another_working_directory(
    image_set, monkeypatch
):
    jobs = []

    def recorded(_, job, workers):
        jobs.append(job.portable)
        return workers.submit(run_job, job.portable)

    monkeypatch.chdir(image_set.parent)
    monkeypatch.setattr("fusionlab.evaluation.run.ScoringRun._submit", recorded)
    folder = Path(image_set.name) / "a"
    methods = ["identity/max", folder]
    evaluate(image_set.name, methods, "EN", truth=folder, executor="threads:1", baselines=False)
    paths = {
        path
        for job in jobs
        for files in (
            job.item.sources,
            job.settings.truth.images.files.values(),
            *(cell.method.results.files.values() for cell in job.cells if cell.method.label == "a"),
        )
        for path in files
    }
    assert paths == set(image_set.glob("?/*.*"))


def test_an_object_of_a_script_cannot_be_sent_to_a_process(image_set):
    with pytest.raises(FusionlabError) as refused:
        evaluate(image_set, load_strategy("max"), "EN", executor="local:1")
    assert (refused.value.code, refused.value.option) == ("not-portable", "executor")


def test_an_error_of_a_job_is_raised_where_it_was_submitted():
    processes = LocalProcesses(1)
    try:
        with pytest.raises(ZeroDivisionError):
            processes.submit(divmod, 1, 0).result()
        assert processes.submit(divmod, 7, 2).result() == (3, 1)
        died = processes.submit(os._exit, 3)
        with pytest.raises(WorkerDied, match="exit code 3"):
            died.result()
        assert processes.submit(divmod, 9, 2).result() == (4, 1)  # in a new process
    finally:
        processes.shutdown(cancel_futures=True)


def test_workers_end_with_a_parent_that_is_killed():
    script = (
        "import time\n"
        "from fusionlab.evaluation.processes import LocalProcesses\n"
        "if __name__ == '__main__':\n"
        "    processes = LocalProcesses(1)\n"
        "    processes.submit(divmod, 7, 2).result()\n"
        "    print(*processes.pids(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)  # it runs
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    for _ in range(100):
        if not _runs(worker):
            return
        time.sleep(0.1)
    pytest.fail("the worker outlives its parent")


def _runs(pid):
    """Return whether a process runs; not one that ended and waits to be reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
