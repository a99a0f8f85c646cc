"""Where jobs are computed: threads, processes of this machine, or a Dask cluster.

    threads[:N]         N threads of this process
    local[:N]           N processes of this machine, each with one thread; on the device `cuda` each
                        has a GPU, in turns
    dask                a Dask cluster of its own on this machine
    dask://HOST:PORT    a running Dask cluster, given by its scheduler

All of them are `concurrent.futures.Executor`; a run needs nothing else of them. Every job computes
with one thread of torch, since sums depend on the number of threads: the same scores come out of
all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    import torch

MAX_JOBS = 8
"""Default limit of jobs at the same time: each may take a gigabyte."""
DASK_RETRIES = 2
"""How often Dask computes a job again whose worker died, before the run hears of it."""


@dataclass(frozen=True)
class ExecutorChoice:
    """An executor as it is written, `KIND[:N]` or `dask://HOST:PORT`."""

    kind: str
    count: int
    """How many jobs are computed at the same time; 0: see `workers`."""
    address: str = ""

    @classmethod
    def parse(cls, text: str) -> ExecutorChoice:
        """Parse the name of an executor.

        Raises:
            FusionlabError: it is none (code `executor`).
        """
        if text.startswith("dask://") and text.removeprefix("dask://"):
            return cls("dask", 0, text.removeprefix("dask://"))
        kind, colon, number = text.partition(":")
        if kind in ("threads", "local", "dask"):
            if not colon:
                return cls(kind, 0)
            if number.isdecimal() and int(number) > 0:
                return cls(kind, int(number))
        raise FusionlabError(
            "expected threads, local or dask, each with :N for a number of workers, or "
            f"dask://HOST:PORT; got {text!r}",
            code="executor",
            option="executor",
        )

    @property
    def workers(self) -> int:
        """How many jobs are computed at the same time on this machine.

        Where the text does not say, as many as torch may use threads, at most `MAX_JOBS`.
        """
        if self.count:
            return self.count
        import torch

        return min(torch.get_num_threads(), MAX_JOBS)

    @contextmanager
    def open(self, device: str | torch.device = "cpu") -> Iterator[RunningExecutor]:
        """Start the executor for the length of the block; jobs that still run are abandoned.

        Args:
            device: where jobs compute; processes share the GPUs of `cuda`.

        Raises:
            FusionlabError: the package of the executor is not installed (code `no-dask`), or there
                is no such cluster (code `no-cluster`).
        """
        if self.kind == "threads":
            from fusionlab.torch_defaults import torch_threads

            count = self.workers  # before torch is told to use one thread
            with torch_threads(1), _shut_down(ThreadPoolExecutor(count)) as threads:
                yield RunningExecutor(threads, count, in_process=True)
        elif self.kind == "local":
            from fusionlab.evaluation.processes import LocalProcesses

            with _shut_down(LocalProcesses(self.workers, str(device))) as processes:
                yield RunningExecutor(processes, self.workers)
        else:
            with _dask(self) as running:
                yield running


@dataclass(frozen=True)
class RunningExecutor:
    """An executor, and what a run needs to know about it."""

    executor: Executor
    workers: int
    """How many jobs are computed at the same time."""
    deaths: tuple[type[BaseException], ...] = (BrokenExecutor,)
    """The errors that say that the worker of a job died."""
    in_process: bool = False
    """Whether jobs may hold objects that cannot be sent to another process."""

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Compute `function(*args)` in a worker."""
        return self.executor.submit(function, *args)


@contextmanager
def _dask(choice: ExecutorChoice) -> Iterator[RunningExecutor]:
    """Connect to a Dask cluster, or start one."""
    try:
        from distributed import Client, LocalCluster
        from distributed.scheduler import KilledWorker
    except ModuleNotFoundError:
        raise FusionlabError(
            'the executor dask needs the package "distributed"; install fusionlab-imaging[dask]',
            code="no-dask",
            option="executor",
        ) from None
    cluster = None
    try:
        if not choice.address:
            cluster = LocalCluster(
                n_workers=choice.workers, threads_per_worker=1, dashboard_address=None
            )
        client = Client(cluster or f"tcp://{choice.address}", timeout="10s")
    except OSError as error:
        raise FusionlabError(
            f"there is no Dask scheduler at {choice.address}; start one with 'dask scheduler'",
            code="no-cluster",
            option="executor",
        ) from error
    try:
        workers = client.scheduler_info()["workers"].values()
        threads = sum(worker["nthreads"] for worker in workers)
        executor = client.get_executor(pure=False, retries=DASK_RETRIES)
        yield RunningExecutor(executor, max(1, threads), (BrokenExecutor, KilledWorker))
    finally:  # closing the client cancels what still runs
        client.close()
        if cluster is not None:
            cluster.close()


@contextmanager
def _shut_down(executor: Executor) -> Iterator[Executor]:
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
