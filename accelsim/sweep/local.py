"""Points on this machine: one process per job, so that what happens to it is its point's alone.

Each job is an executor of one worker process from `concurrent.futures`. In a pool of several
(that, loky, pebble) a worker that dies takes the points of the others with it, or breaks the
pool; and no pool but pebble's can end a point that takes too long.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnContext, SpawnProcess
from operator import length_hint
from typing import Any

from accelsim.errors import AccelsimError
from accelsim.stops import interrupts_blocked, stops_held
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.work import died_twice, evaluate, out_of_time, prepare_worker

Work = Callable[[Point], Outcome]
Finished = tuple[Point, Outcome]


@dataclass(frozen=True, slots=True)
class _Task:
    """What is done with a point, and the seconds that it may take."""

    work: Work
    timeout_s: float | None


def local_outcomes(
    points: Iterable[Point],
    jobs: int,
    timeout_s: float | None = None,
    work: Work = evaluate,
) -> Iterator[Finished]:
    """Do `work` on `points` in `jobs` processes and yield each with its outcome as it is done.

    `points` are taken when a process is free, never before; the next of a list, before what became
    of another is yielded. Those whose worker died are tried again at the end, one at a time, in a
    fresh process each. `work` must be a module's function.
    """
    task = _Task(work, timeout_s)
    suspects = []
    for point, outcome in _tried(points, jobs, task):
        if outcome is None:
            suspects.append(point)
        else:
            yield point, outcome
    for suspect in suspects:
        ((point, outcome),) = _tried([suspect], 1, task)
        yield point, replace(outcome, attempts=2) if outcome else died_twice(point)


def _tried(
    points: Iterable[Point], jobs: int, task: "_Task"
) -> Iterator[tuple[Point, Outcome | None]]:
    """Every point with its outcome; None where its worker died."""
    waiting, listed = iter(points), length_hint(points)
    with _workers(min(jobs, listed or jobs), task) as workers:
        idle = list(workers)
        busy: dict[Future[Outcome], _Worker] = {}
        _hand_out(waiting, idle, busy)
        while busy:
            finished = [*_finished(busy, idle)]
            if listed:
                _hand_out(waiting, idle, busy)
            yield from finished
            _hand_out(waiting, idle, busy)


def _hand_out(
    waiting: Iterator[Point], idle: "list[_Worker]", busy: "dict[Future[Outcome], _Worker]"
) -> None:
    """A point for every worker that has none, as long as there are some."""
    while idle and (point := next(waiting, None)):
        worker = idle.pop()
        busy[worker.start(point)] = worker


def _finished(
    busy: "dict[Future[Outcome], _Worker]", idle: "list[_Worker]"
) -> Iterator[tuple[Point, Outcome | None]]:
    """Wait until some worker is done, or out of time, and say what became of its point."""
    patience = min(worker.deadline for worker in busy.values()) - time.monotonic()
    done, _ = wait(busy, None if patience == _NEVER else max(patience, 0), FIRST_COMPLETED)
    late = [worker for future, worker in busy.items() if future not in done and worker.is_late]
    for worker in late:
        worker.end()
    done |= {future for future, worker in busy.items() if worker in late}
    for future in done:
        worker = busy.pop(future)
        yield worker.point, worker.outcome(future, late=worker in late)
        idle.append(worker)


_NEVER = float("inf")
_STARTS = 5
"""Processes that may die, one after another, with nothing to do; it is no accident beyond."""


class _Context(SpawnContext):
    """Starts a process afresh, and knows it from then on."""

    process: SpawnProcess

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        """The process, about to start."""
        self.process = SpawnProcess(*args, **kwargs)
        return self.process


class _Worker:
    """One process, and the point in it. A new process takes the place of one that ended."""

    def __init__(self, task: _Task) -> None:
        self.task = task
        self.begin()

    def begin(self) -> None:
        """Start the process, without waiting for it."""
        self.context = _Context()
        self.executor = ProcessPoolExecutor(1, self.context, prepare_worker)
        with interrupts_blocked():
            self.started = self.executor.submit(os.getpid)

    def start(self, point: Point) -> "Future[Outcome]":
        """Begin with `point`; its time counts from here."""
        self.point = point
        for _ in range(_STARTS):
            try:
                self.started.result()
                answer = self.executor.submit(self.task.work, point)
            except BrokenProcessPool:  # it died before it had anything to do
                self.renew()
                continue
            timeout_s = self.task.timeout_s
            self.deadline = _NEVER if timeout_s is None else time.monotonic() + timeout_s
            return answer
        raise AccelsimError(_NO_WORKER)

    @property
    def is_late(self) -> bool:
        """Whether the point has had its time."""
        return time.monotonic() >= self.deadline

    def outcome(self, future: "Future[Outcome]", late: bool) -> Outcome | None:
        """What became of the point; None if the process died, or had no memory for it."""
        try:
            return future.result()
        except (BrokenProcessPool, MemoryError):
            self.renew()
        return out_of_time(self.point, self.task.timeout_s or 0) if late else None

    def renew(self) -> None:
        """Another process in place of this one."""
        with stops_held():
            self.end()
            self.begin()

    def end(self) -> None:
        """End the process, whatever it does, though it may not be up yet."""
        self.context.process.kill()
        self.executor.shutdown()


@contextmanager
def _workers(count: int, task: _Task) -> Iterator[list[_Worker]]:
    """Processes that have ended when this ends, however it does."""
    workers: list[_Worker] = []
    try:
        for _ in range(count):
            with stops_held():
                workers.append(_Worker(task))
        yield workers
    finally:
        with stops_held():
            for worker in workers:
                worker.end()


_NO_WORKER = (
    "a worker process could not start; a script that calls accelsim.sweep must do so under "
    '`if __name__ == "__main__":`, for each worker imports the script'
)
