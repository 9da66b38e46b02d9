"""The run of a sweep: what is not yet stored is simulated, and stored point by point."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from accelsim.errors import InputError, Problem
from accelsim.sweep.local import Finished, local_outcomes
from accelsim.sweep.records import Outcome, Point

if TYPE_CHECKING:
    from accelsim.sweep.space import Sweep

Runner = Callable[[Iterable[Point]], Iterator[Finished]]
"""Simulates points, taken as there is room for them, and yields each with its outcome."""


class Results(Protocol):
    """What keeps the outcomes; `put` has committed when it returns."""

    def done_keys(self) -> set[str]:
        """Keys of the points that are stored, failed ones too."""

    def put(self, point: Point, outcome: Outcome) -> None:
        """Store what became of a point."""

    def outcome(self, key: str) -> Outcome | None:
        """What became of a point before; None if it is not stored."""


@dataclass(slots=True)
class Tally:
    """How far a sweep is. `total` is None where a search has yet to say."""

    total: int
    stored: int = 0
    done: int = 0
    failed: int = 0

    @property
    def finished(self) -> int:
        """Points that need no more work."""
        return self.stored + self.done + self.failed


Watcher = Callable[[Tally, Point | None, Outcome | None], None]


def execute(
    sweep: "Sweep", results: Results, runner: Runner, watch: Watcher | None = None
) -> Tally:
    """Simulate what `results` lacks and store each outcome as it comes.

    `watch` is called at the start and after each point. What interrupts this loses no stored
    point: called again, it goes on from there.
    """
    known = results.done_keys()
    total = len(sweep.points) + (sweep.search.trials if sweep.search else 0)
    tally = Tally(total, stored=sum(point.key in known for point in sweep.points))
    if watch:
        watch(tally, None, None)

    def stored(source: Iterable[Point]) -> Iterator[Finished]:
        for point, outcome in runner(source):
            results.put(point, outcome)
            if outcome.status == "done":
                tally.done += 1
            else:
                tally.failed += 1
            if watch:
                watch(tally, point, outcome)
            yield point, outcome

    for _ in stored(_by_hardware(point for point in sweep.points if point.key not in known)):
        pass
    if sweep.search:
        from accelsim.sweep.search import searched  # Optuna is optional

        searched(sweep, results, stored, tally)
    return tally


def _by_hardware(points: Iterable[Point]) -> list[Point]:
    """Points whose layers are alike one after another, DRAM changing fastest: they share work."""
    return list(points)


def runner_for(
    jobs: int | None = None, scheduler: str | None = None, timeout_s: float | None = None
) -> Runner:
    """The runner of `jobs` processes here (all cores if None), or of a Dask scheduler.

    Raises InputError if both are asked for, or the scheduler cannot be reached.
    """
    if scheduler is None:
        workers = jobs or available_cores()
        return lambda points: local_outcomes(points, workers, timeout_s)
    if jobs is not None:
        message = "give --jobs for this machine or --scheduler for a cluster, not both"
        raise InputError(Problem(message, key="--jobs"))
    from accelsim.sweep.cluster import cluster_runner  # Dask is optional

    return cluster_runner(scheduler, timeout_s)


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
