"""The same function over many jobs: here, in several processes, or on a cluster."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
from joblib.externals.loky import BrokenProcessPool

from forget.core.device import use_fixed_threads
from forget.core.errors import BadInput, ForgetError

WORKERS = "FORGET_WORKERS"
SCHEDULER = "FORGET_SCHEDULER"


def workers() -> int:
    """Processes to use, from ``FORGET_WORKERS``; 1 without it."""
    text = os.environ.get(WORKERS) or "1"
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 256):
        raise BadInput(f"{WORKERS} is '{text}'; set it to a count from 1 to 256 or unset it")
    return int(text)


def all_workers() -> int:
    """Processes for work whose seconds are not measured: ``FORGET_WORKERS``, or one a core."""
    return workers() if os.environ.get(WORKERS) else os.cpu_count() or 1


def elsewhere() -> bool:
    """Whether jobs go to other processes."""
    return bool(os.environ.get(SCHEDULER)) or workers() > 1


def each(
    function: Callable[..., Any], jobs: Sequence[tuple], processes: int | None = None
) -> Iterator[tuple[int, Any]]:
    """(index, ``function(*job)``) of every job as it is done, in any order.

    Runs in ``processes`` of this machine (None: ``FORGET_WORKERS``), or on the Dask scheduler whose
    address is in ``FORGET_SCHEDULER``; each job on one thread, so that the result is the same bit
    for bit. On a cluster a job whose worker dies is done again by another; here it fails with
    :class:`ForgetError`.
    """
    with _backend():
        work = joblib.Parallel(n_jobs=-1 if os.environ.get(SCHEDULER) else processes or workers(),
                               batch_size=1, return_as="generator_unordered")
        try:
            yield from work(joblib.delayed(_on_one_thread)(index, function, job)
                            for index, job in enumerate(jobs))
        except BrokenProcessPool as error:
            raise ForgetError(f"a worker process died (out of memory?); set {WORKERS} to a smaller "
                              "count and try again") from error


def _on_one_thread(index: int, function: Callable[..., Any], job: tuple) -> tuple[int, Any]:
    use_fixed_threads()
    return index, function(*job)


@contextlib.contextmanager
def _backend() -> Iterator[None]:
    address = os.environ.get(SCHEDULER)
    if not address:
        with joblib.parallel_config(backend="loky"):
            yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise BadInput(f"{SCHEDULER} is set, and Dask is not installed: "
                       "pip install -r requirements-dask.txt, or unset it") from error
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise BadInput(f"no Dask scheduler answers at '{address}'; start one there or unset "
                       f"{SCHEDULER}") from error
    with client:
        _check(client, address)
        with joblib.parallel_config(backend="dask"):
            yield


def _check(client, address: str) -> None:
    """Joblib waits for ever where the cluster cannot read what it is given."""
    if not client.nthreads():
        raise BadInput(f"the Dask scheduler at '{address}' has no workers; start one or unset "
                       f"{SCHEDULER}")
    try:
        client.run_on_scheduler(exec, f"import {__name__}")
        client.run(exec, f"import {__name__}")
    except ImportError as error:
        raise BadInput(f"the Dask cluster at '{address}' cannot import '{error.name}'; start its "
                       "scheduler and workers in this folder, with the same packages") from error
