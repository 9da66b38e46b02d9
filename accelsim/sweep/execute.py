"""The run of a sweep: what is not yet stored is simulated, and stored point by point."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        """Keys of the points that are stored, those that failed too."""

    def put(self, point: Point, outcome: Outcome) -> None:
        """Store what became of a point."""

    def records(self) -> Iterable[Mapping[str, object]]:
        """What is stored, flat: `key`, `status` and the quantities of each point."""


@dataclass(slots=True)
class Tally:
    """How far a sweep is, in points (with a search, in trials).

    `stored` were there before, `done` and `failed` have been simulated since, `repeated` are
    trials of a point that an earlier one had already.
    """

    total: int
    stored: int = 0
    done: int = 0
    failed: int = 0
    repeated: int = 0

    @property
    def finished(self) -> int:
        """Those that need no more work."""
        return self.stored + self.done + self.failed + self.repeated


Watcher = Callable[[Tally, Point | None, Outcome | None], None]


def execute(
    sweep: "Sweep", results: Results, runner: Runner, watch: Watcher | None = None
) -> Tally:
    """Simulate what `results` lacks and store each outcome as it comes.

    `watch` is called at the start and after each point. Whatever interrupts this loses no stored
    point: called again, it goes on from there.
    """
    known = results.done_keys()
    trials = sweep.search.trials if sweep.search else 0
    tally = Tally(len(sweep.points) + trials)
    tally.stored = sum(point.key in known for point in sweep.points)

    def watched(point: Point | None = None, outcome: Outcome | None = None) -> None:
        if watch:
            watch(tally, point, outcome)

    def stored(points: Iterable[Point]) -> Iterator[Finished]:
        for point, outcome in runner(points):
            results.put(point, outcome)
            tally.done += outcome.status == "done"
            tally.failed += outcome.status == "failed"
            watched(point, outcome)
            yield point, outcome

    watched()
    for _ in stored(point for point in sweep.points if point.key not in known):
        pass
    if sweep.search:
        from accelsim.sweep.search import searched  # Optuna is optional

        searched(sweep, results, stored, tally)
    return tally


def runner_for(
    jobs: int | None = None, scheduler: str | None = None, timeout_s: float | None = None
) -> Runner:
    """The runner of `jobs` processes here (None: all cores), or of a Dask scheduler's workers.

    Raises InputError if both are asked for, or the scheduler cannot be reached.
    """
    if scheduler is None:
        workers = jobs or available_cores()
        return lambda points: local_outcomes(points, workers, timeout_s)
    if jobs is not None:
        message = "is for this machine, --scheduler for a cluster; give one of them"
        raise InputError(Problem(message, "--jobs"))
    from accelsim.sweep.cluster import cluster_runner  # Dask is optional

    return cluster_runner(scheduler, timeout_s)


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
