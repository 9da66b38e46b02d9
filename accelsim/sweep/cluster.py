"""Points on many machines: a Dask scheduler that is running already, and whatever workers it has.

Dask moves the points and notices workers that come and go; what is stored, and what is tried
again, is decided here, so that a scheduler that is lost takes no result with it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ctypes import c_ulong, py_object, pythonapi
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

import accelsim.facade  # noqa: F401 - before the time of a worker's first point counts
from accelsim import __version__
from accelsim.errors import InputError, Problem, TryAgainError
from accelsim.sweep.code import CODE
from accelsim.sweep.local import Finished, Work
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.work import died_twice, evaluate, other_code, out_of_time

if TYPE_CHECKING:
    from distributed import Client, Future

PER_THREAD = 3
"""Points under way for each thread of a worker: one at work, the others on their way."""
LEAST_UNDER_WAY = 16
_PATIENCE_S = 10
_log = logging.getLogger(__name__)


class ClusterLostError(TryAgainError):
    """The scheduler has gone; what is stored is safe."""


def cluster_runner(
    address: str, timeout_s: float | None = None, work: Work = evaluate
) -> Callable[[Iterable[Point]], Iterator[Finished]]:
    """A runner on the scheduler at `address`, such as tcp://host:8786.

    Raises InputError if Dask is not installed or the scheduler cannot be reached; the runner does
    if a worker has another accelsim, and ClusterLostError when the scheduler goes.
    """
    _connected(address).close()

    def run(points: Iterable[Point]) -> Iterator[Finished]:
        client = _connected(address)
        with _losses_untold():
            try:
                yield from cluster_outcomes(points, client, timeout_s, work)
            finally:
                client.close(timeout=2)

    return run


def _connected(address: str) -> "Client":
    try:
        from distributed import Client
        from distributed.comm import get_address_host
    except ModuleNotFoundError:
        message = 'needs Dask; install it with pip install "accelsim[dask]"'
        raise InputError(Problem(message=message, source="--scheduler")) from None
    try:
        _check_address(address)
        get_address_host(address)
        with _losses_untold():
            return Client(address, timeout=_PATIENCE_S, set_as_default=False)
    except OSError as error:
        message = (
            f"no Dask scheduler answers ({_first_line(error)}); start one with `dask scheduler`"
        )
    except Exception as error:  # each kind of address has a library of its own behind it
        message = f"is no scheduler's address ({_first_line(error)}); {_ADDRESSES}"
    raise InputError(Problem(message=message, source=address))


def _check_address(address: str) -> None:
    """Raise ValueError for an address that Dask would be long about."""
    from distributed.security import Security

    scheme, colon, _ = address.partition("://")
    if colon and scheme not in ("tcp", "tls"):
        raise ValueError(f"{scheme}:// is not supported")
    if scheme == "tls" and not Security().get_connection_args("client").get("ssl_context"):
        raise ValueError("no certificates are configured for TLS")


_LOGS = ("distributed", "distributed.client", "distributed.comm", "asyncio", "tornado")
_ADDRESSES = "give tcp://HOST:PORT, or tls://HOST:PORT with Dask's TLS files configured"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _losses_untold() -> Iterator[None]:
    """What Dask logs of a scheduler that has gone is not shown; ClusterLostError says it."""
    logs = [logging.getLogger(name) for name in _LOGS]
    levels = [log.level for log in logs]  # each has one of its own
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def cluster_outcomes(
    points: Iterable[Point],
    client: "Client",
    timeout_s: float | None = None,
    work: Work = evaluate,
) -> Iterator[Finished]:
    """Do `work` on `points` on a cluster and yield each with its outcome, once, as it is done.

    A few points per thread are under way at a time, so that memory does not grow with the sweep.
    Dask gives a point to another worker when its worker goes, and gives it up when several have
    gone under it; such points are tried once more at the end, with no other beside them. Where no
    worker is left, it says so and waits for one.
    """
    task = _Task(work, timeout_s)
    suspects: list[Point] = []
    for point, outcome in _tried(iter(points), client, task):
        if outcome is None:
            suspects.append(point)
        else:
            yield point, outcome
    for suspect in suspects:
        for point, outcome in _tried(iter([suspect]), client, task):
            yield point, replace(outcome, attempts=2) if outcome else died_twice(point)


def _tried(
    points: Iterator[Point], client: "Client", task: "_Task"
) -> Iterator[tuple[Point, Outcome | None]]:
    """Every point with its outcome; None where Dask gave it up."""
    under_way: dict[Future, Point] = {}
    while True:
        room = max(LEAST_UNDER_WAY, PER_THREAD * _threads(client)) - len(under_way)
        for point in islice(points, max(room, 0)):
            under_way[client.submit(task, point, key=_task_key(point), pure=False)] = point
        if not under_way:
            return
        for future in _finished(under_way, client):
            point = under_way.pop(future)
            yield point, _outcome(future)
            future.release()


def _task_key(point: Point) -> str:
    """A name that no task had before: Dask remembers those that failed."""
    return f"accelsim-{point.key}-{time.monotonic_ns()}"


def _threads(client: "Client") -> int:
    """Threads of all workers."""
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1).get("workers", {})
    return sum(worker["nthreads"] for worker in workers.values())


def _finished(under_way: "dict[Future, Point]", client: "Client") -> "list[Future]":
    """Wait for some points to be done; raises ClusterLostError if the scheduler goes."""
    from distributed import CancelledError, wait

    while True:
        _check_running(client)
        try:
            with client.as_current():
                wait(list(under_way), timeout=1, return_when="FIRST_COMPLETED")
        except TimeoutError:
            _await_worker(client)
        except (CancelledError, OSError) as error:
            raise ClusterLostError(_LOST) from error
        # one that is "lost" had its result on a worker that has gone; Dask makes it again
        if any(future.status == "cancelled" for future in under_way):
            raise ClusterLostError(_LOST)
        done = [future for future in under_way if future.status in ("finished", "error")]
        if done:
            return done


def _check_running(client: "Client") -> None:
    if client.status != "running":
        raise ClusterLostError(_LOST)


def _await_worker(client: "Client") -> None:
    """Return when there is a worker; say so if there is none."""
    if not _threads(client):
        address = client.scheduler.address
        _log.warning("waiting for a worker; `dask worker %s` starts one", address)
    while not _threads(client):
        _check_running(client)
        time.sleep(0.2)


def _outcome(future: "Future") -> Outcome | None:
    """What a task has returned; None if it had no worker or no memory left."""
    from distributed import KilledWorker

    try:
        outcome = future.result()
    except (KilledWorker, MemoryError):
        return None
    except ModuleNotFoundError as error:
        message = f"a worker cannot import {error.name}; install accelsim {__version__} there"
        raise InputError(Problem(message=message, source="--scheduler")) from None
    assert isinstance(outcome, Outcome)
    return outcome


_LOST = "the connection to the Dask scheduler is lost"


# --- On a worker ----------------------------------------------------------------------------------


class _Task:
    """`work` on a worker's thread, within `timeout_s`, by the same accelsim as the client's."""

    def __init__(self, work: Work, timeout_s: float | None) -> None:
        self.work, self.timeout_s = work, timeout_s
        self.version, self.code = __version__, CODE

    def __call__(self, point: Point) -> Outcome:
        """The outcome; raises InputError on a worker with another accelsim."""
        if self.version != __version__:
            message = f"a worker has accelsim {__version__}, not {self.version}; install the same"
            raise InputError(Problem(message=message, source="--scheduler"))
        if self.code != CODE:
            raise InputError(Problem(message=other_code(self.code), source="--scheduler"))
        with threadpool_limits(1):
            if self.timeout_s is None:
                return self.work(point)
            return _in_time(self.work, point, self.timeout_s)


class _OutOfTime(BaseException):
    """Raised in a thread from outside; no `except Exception` may stop it."""


def _in_time(work: Work, point: Point, timeout_s: float) -> Outcome:
    """`work(point)`, or its failure after `timeout_s`.

    A worker's thread cannot be killed, but an exception can be raised in it between two steps of
    the interpreter.
    """
    thread = threading.get_ident()
    lock, over = threading.Lock(), False

    def stop() -> None:
        with lock:
            if not over:
                pythonapi.PyThreadState_SetAsyncExc(c_ulong(thread), py_object(_OutOfTime))

    timer = threading.Timer(timeout_s, stop)
    timer.start()
    try:
        outcome = work(point)
        with lock:
            over = True
        return outcome
    except _OutOfTime:
        return out_of_time(point, timeout_s)
    finally:
        timer.cancel()
