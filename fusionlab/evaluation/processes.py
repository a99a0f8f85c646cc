"""Processes of this machine as an executor whose workers may die without taking others with them.

`ProcessPoolExecutor` breaks as a whole when a worker is killed, and its workers outlive a parent
that is killed. Here each worker has a pipe of its own: the end of a worker concerns one job, and
the end of the parent ends the workers. Nothing heavy is imported before the limits of threads are
set in a worker, which libraries read when they are loaded.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Lock, local
from typing import Any

from fusionlab.errors import PluginWarning

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerDied(BrokenExecutor):
    """The process that computed a job ended: killed, or out of memory."""


class LocalProcesses(Executor):
    """Processes by `spawn`, each of which computes one job at a time with one thread.

    Args:
        count: the number of processes.
        device: where they compute. With `cuda`, each sees one GPU only, in turns.
    """

    def __init__(self, count: int, device: str = "cpu") -> None:
        self._threads = ThreadPoolExecutor(count, "local")
        self._device = device
        self._own = local()
        self._lock = Lock()
        self._workers: list[_Worker] = []
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Compute `fn(*args, **kwargs)` in the next free process; all of it is pickled."""
        return self._threads.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; with `cancel_futures` at once, also those that compute."""
        if cancel_futures:
            self._threads.shutdown(wait=False, cancel_futures=True)
            with self._lock:
                self._closed = True
                for worker in self._workers:
                    worker.process.kill()
        self._threads.shutdown(wait=wait)
        for worker in self._workers:
            worker.close()

    def pids(self) -> list[int]:
        """Return the process numbers of the workers that run."""
        with self._lock:
            return [worker.process.pid or 0 for worker in self._workers]

    def _call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Send a job to the process of this thread, and wait for its result."""
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            worker = self._own.worker = self._start()
        try:
            worker.pipe.send((function, args, kwargs))
            succeeded, result = worker.pipe.recv()
        except (EOFError, OSError):
            self._own.worker = None
            with self._lock:
                self._workers.remove(worker)
            worker.close()
            code = worker.process.exitcode
            how = f"killed by signal {-code}" if code and code < 0 else f"exit code {code}"
            raise WorkerDied(f"the worker process ended: {how}") from None
        if not succeeded:
            raise result
        return result

    def _start(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise WorkerDied("the executor has been shut down")
            worker = _Worker(len(self._workers), self._device)
            self._workers.append(worker)
            return worker


class _Worker:
    """A process, and this end of its pipe."""

    def __init__(self, number: int, device: str) -> None:
        context = get_context("spawn")
        self.pipe, remote = context.Pipe()
        self.process = context.Process(
            target=_work, args=(remote, number, device), name=f"fusionlab-{number}", daemon=True
        )
        self.process.start()
        remote.close()  # now the end of the process closes the pipe

    def close(self) -> None:
        self.pipe.close()
        self.process.join()


def _work(pipe: Connection, number: int, device: str) -> None:
    """Compute jobs until the parent closes the pipe, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    warnings.simplefilter("ignore", PluginWarning)  # the parent has said it
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    if device.startswith("cuda") and ":" not in device:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", _gpu(number))
    while True:
        try:
            function, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = True, function(*args, **kwargs)
        except Exception as error:  # whatever a job raises is raised where it was submitted
            answer = False, error
        try:
            pipe.send(answer)
        except OSError:
            return
        except Exception as error:  # a result or error that cannot be pickled
            pipe.send((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _gpu(number: int) -> str:
    """Return the GPU of a worker, by turns."""
    import torch

    return str(number % max(1, torch.cuda.device_count()))
