"""Points on this machine: one process per job, so that what happens to it is its point's alone.

Each job is a process of its own at the other end of a pipe. In a pool of several
(`concurrent.futures`, loky, pebble) a worker that dies takes the points of the others with it, or
breaks the pool; and no pool but pebble's can end a point that takes too long. Nobody but its
process has the far end of a pipe, so that the end of the process is the end of what is read from
it, even in the middle of an outcome.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from operator import length_hint

from accelsim.errors import AccelsimError
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.work import died_twice, evaluate, out_of_time, serve

Work = Callable[[Point], Outcome]
Finished = tuple[Point, Outcome]
_Tried = tuple[Point, Outcome | None]


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

    Points of a list may wait in the pipe of a process that is busy, so that it goes on at once;
    those of an iterator are taken when a process is free, never before. Those whose worker died
    are tried again at the end, one at a time, in a fresh process each. `work` must be a module's
    function.
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


def _tried(points: Iterable[Point], jobs: int, task: _Task) -> Iterator[_Tried]:
    """Every point with its outcome; None where its worker died."""
    waiting = iter(points)
    with _workers(jobs, task) as workers:
        while True:
            _hand_out(waiting, workers)
            busy = {worker.connection: worker for worker in workers if worker.points}
            if not busy:
                return
            patience = min(worker.deadline for worker in busy.values()) - time.monotonic()
            heard = wait(busy, None if patience == _NEVER else max(patience, 0))
            for connection, worker in busy.items():
                if connection in heard:
                    yield from worker.heard()
                elif time.monotonic() >= worker.deadline:
                    yield from worker.ended(out_of_time(worker.points[0], task.timeout_s or 0))


def _hand_out(waiting: Iterator[Point], workers: "list[_Worker]") -> None:
    """A point for each process that has none, and a next one for each while there are plenty.

    The last ones of a list go to whoever is free first.
    """
    for worker in workers:
        if not worker.points and (point := next(waiting, None)):
            worker.give(point)
    for worker in workers:
        if len(worker.points) == 1 and length_hint(waiting) > len(workers):
            worker.give(next(waiting))


_NEVER = float("inf")
_STARTS = 5
"""Processes that may end, one after another, with no point begun; it is no accident beyond."""


class _Worker:
    """A process, the point in it and the next one. A new one takes the place of one that ended."""

    def __init__(self, task: _Task) -> None:
        self.task = task
        self.points: deque[Point] = deque()
        self.deadline = _NEVER
        self.has_begun = False
        self.idle_ends = 0
        self.process: SpawnProcess | None = None

    def give(self, point: Point) -> None:
        """Send `point` to the process, which comes to it when it is done with what it has."""
        self.points.append(point)
        if self.process is None:
            self.begin()
        else:
            self.send(point)

    def begin(self) -> None:
        """Start the process, without waiting for it, with the points; Ctrl-C is not for it."""
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self.task.work), daemon=True)
        with _interrupts_held():
            process.start()
            self.process = process
        theirs.close()
        for point in self.points:
            self.send(point)

    def send(self, point: Point) -> None:
        """Put `point` into the pipe; if nobody is there any more, reading from it will tell."""
        with suppress(OSError):
            self.connection.send(point)

    def heard(self) -> Iterator[_Tried]:
        """What the process says: that it begins with a point, what became of it, or no more."""
        try:
            outcome = self.connection.recv()
        except (EOFError, OSError):
            yield from self.ended(None)
            return
        self.has_begun = outcome is None
        if outcome is None:
            self.idle_ends = 0
            if self.task.timeout_s is not None:
                self.deadline = time.monotonic() + self.task.timeout_s
        else:
            self.deadline = _NEVER
            yield self.points.popleft(), outcome

    def ended(self, outcome: Outcome | None) -> Iterator[_Tried]:
        """The point that the process had begun with, if any; a new process has what is left."""
        has_begun = self.has_begun
        self.end()
        if has_begun:
            yield self.points.popleft(), outcome
        elif self.idle_ends == _STARTS:
            raise AccelsimError(_NO_WORKER)
        self.idle_ends += not has_begun
        if self.points:
            self.begin()

    def end(self) -> None:
        """End the process, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
        self.process, self.has_begun, self.deadline = None, False, _NEVER


@contextmanager
def _workers(count: int, task: _Task) -> Iterator[list[_Worker]]:
    """Processes that have ended when this ends, however it does."""
    workers = [_Worker(task) for _ in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.end()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; processes that start meanwhile never see it, for they inherit this."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_NO_WORKER = (
    "a worker process could not start; a script that calls accelsim.sweep must do so under "
    '`if __name__ == "__main__":`, for each worker imports the script'
)
