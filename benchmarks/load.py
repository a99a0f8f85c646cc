"""Keep every core busy with other work, as on a shared machine, while something is measured.

python benchmarks/load.py            # until it is stopped
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fusionlab.threads import available_cores

EDGE = 512
"""Of the matrices that the processes multiply; they do not fit into the smaller caches."""


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Let so many processes compute for the length of the block, one thread each."""
    context = multiprocessing.get_context("spawn")
    kept = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when a process imports numpy
    workers = [context.Process(target=_multiply, daemon=True) for _ in range(processes)]
    try:
        for worker in workers:
            worker.start()
        time.sleep(2 if workers else 0)  # until they have started
        yield
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
        if kept is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = kept


def _multiply() -> None:
    matrix = np.full((EDGE, EDGE), 1 / EDGE, np.float32)
    while True:
        matrix = matrix @ matrix


if __name__ == "__main__":
    with busy(available_cores()):
        print(f"{available_cores()} busy processes; Ctrl-C ends them")
        while True:
            time.sleep(60)
