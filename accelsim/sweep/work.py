"""One point, simulated: what a worker does, and what is said where a worker could not."""

import gc
import multiprocessing
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from accelsim import __version__
from accelsim.errors import AccelsimError
from accelsim.sweep.code import CODE
from accelsim.sweep.records import NO_RESULT, Outcome, Point, Status, packed

if TYPE_CHECKING:
    from accelsim.lowering.recall import Memory


@dataclass
class Worker:
    """What a process that computes points keeps from one to the next: it changes no result."""

    memory: "Memory | None" = None


this_worker = Worker()

YOUNG_OBJECTS = 10_000
"""So many more before Python looks which of them nobody can reach: by default, 700, a worker that
remembers much looks through all of it so often that it takes some tenth of the time."""


def evaluate(point: Point, worker: Worker = this_worker) -> Outcome:
    """Simulate `point`, exactly as `accelsim run` does.

    A point's own failure is a failed Outcome with its message. Only a MemoryError is raised: it
    is the machine's failure as likely as the point's.
    """
    from accelsim.facade import simulate  # who only reads results need not wait for it
    from accelsim.lowering.recall import Memory

    if point.code != CODE:
        return failed(point, other_code(point.code))
    worker.memory = worker.memory or Memory()
    start = time.perf_counter()
    totals: dict[str, Any] = {}
    result, error = NO_RESULT, ""
    try:
        run = simulate(
            point.graph,
            point.hardware,
            batch=point.batch,
            memory=worker.memory,
            mapping=point.mapping,
        )
        totals = run.totals
        result = packed(totals, [layer.as_dict() for layer in run.layers])
    except MemoryError:
        raise
    except AccelsimError as failure:
        error = str(failure)
    except Exception as failure:
        error = f"internal error: {type(failure).__name__}: {failure}"
    status: Status = "failed" if error else "done"
    return Outcome(
        key=point.key,
        status=status,
        totals=totals,
        result=result,
        wall_seconds=time.perf_counter() - start,
        error=error,
    )


def other_code(wanted: str) -> str:
    """Why a worker refuses to compute for a process that has other sources than itself."""
    return (
        f"a worker has other sources of accelsim {__version__} ({CODE}) than what started the "
        f"sweep ({wanted}); install the same, and do not edit them while a sweep starts"
    )


def failed(point: Point, error: str, attempts: int = 1, wall_seconds: float = 0.0) -> Outcome:
    """The row of a point that no worker finished."""
    return Outcome(
        key=point.key,
        status="failed",
        totals={},
        result=NO_RESULT,
        wall_seconds=wall_seconds,
        error=error,
        attempts=attempts,
    )


def out_of_time(point: Point, timeout_s: float) -> Outcome:
    """The row of a point that took longer than the sweep file allows."""
    error = (
        f"took longer than timeout_s: {timeout_s:g}; raise it and give --retry-failed, or leave "
        "the point out"
    )
    return failed(point, error, wall_seconds=timeout_s)


def died_twice(point: Point) -> Outcome:
    """The row of a point whose worker ended twice, the second time with no other beside it."""
    error = (
        "its worker ended twice before it was done, the second time with no other point beside "
        "it: killed (by the system, for want of memory?), or crashed"
    )
    return failed(point, error, attempts=2)


def prepare_worker() -> None:
    """One BLAS thread for each worker; a worker whose parent has gone goes, too.

    What simulates is imported here, before the time of a first point counts; it stays, so nobody
    need look whether it is garbage.
    """
    import accelsim.facade  # noqa: F401

    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    threadpool_limits(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(1)
