"""The run of a sweep: what is not yet stored is simulated, and stored point by point."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from accelsim.arguments import checked
from accelsim.errors import InputError, Problem
from accelsim.frontend.sweep_file import sweep_from
from accelsim.sweep.local import Finished, local_outcomes
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.space import Sweep, resolve, resolve_file
from accelsim.sweep.store import Store
from accelsim.sweep.summary import Summary, summary_of

_log = logging.getLogger(__name__)

Runner = Callable[[Iterable[Point]], Iterator[Finished]]
"""Simulates points, taken as there is room for them, and yields each with its outcome."""


@dataclass(slots=True)
class Tally:
    """How far a sweep is, in points (with a search, in trials).

    `stored` were there before, `stored_failed` of them without a result; `done` and `failed` have
    been simulated since, `repeated` are trials of a point that an earlier one had already.
    """

    total: int
    stored: int = 0
    stored_failed: int = 0
    done: int = 0
    failed: int = 0
    repeated: int = 0

    @property
    def finished(self) -> int:
        """Those that need no more work."""
        return self.stored + self.done + self.failed + self.repeated


class Waiting(Iterator[Point]):
    """Points whose keys are not `known`, each made when it is asked for; `stored` of them are."""

    def __init__(self, points: Sequence[Point], known: Set[str], stored: int) -> None:
        self._left = len(points) - stored
        self._points: Iterator[Point] = (point for point in points if point.key not in known)

    def __next__(self) -> Point:
        point = next(self._points)
        self._left -= 1
        return point

    def __length_hint__(self) -> int:
        return max(self._left, 0)

    def __bool__(self) -> bool:
        """Whether there is another, which is made then."""
        first = next(self._points, None)
        if first is not None:
            self._points = chain((first,), self._points)
        return first is not None


Watcher = Callable[[Tally, Point | None, Outcome | None], None]


def execute(
    sweep: Sweep,
    store: Store,
    runner: Runner,
    watch: Watcher | None = None,
    retry_failed: bool = False,
) -> Tally:
    """Simulate what `store` lacks and put each outcome into it as it comes.

    Points that failed before are not tried again but with `retry_failed`. `watch` is called at
    the start and after each point. Whatever interrupts this loses no stored point: called again,
    it goes on from there.
    """
    given_up = set() if retry_failed else store.failed_keys()
    known = store.done_keys() | given_up
    trials = sweep.search.trials if sweep.search else 0
    tally = Tally(total=len(sweep.points) + trials)
    tally.stored, tally.stored_failed = store.stored(len(sweep.points), retry_failed)

    def watched(point: Point | None = None, outcome: Outcome | None = None) -> None:
        if watch:
            watch(tally, point, outcome)

    def stored(points: Iterable[Point]) -> Iterator[Finished]:
        for point, outcome in runner(points):
            store.put(point, outcome)
            tally.done += outcome.status == "done"
            tally.failed += outcome.status == "failed"
            watched(point, outcome)
            yield point, outcome

    watched()
    waiting = Waiting(sweep.points, known, tally.stored)
    if waiting:  # no process starts for nothing
        for _ in stored(waiting):
            pass
    if sweep.search:
        from accelsim.sweep.search import searched  # Optuna is optional

        searched(sweep, store, known, stored, tally)
    store.check_in_place()
    return tally


def runner_for(
    jobs: int | None = None, scheduler: str | None = None, timeout_s: float | None = None
) -> Runner:
    """The runner of `jobs` processes here, or of a Dask scheduler's workers.

    None stands for all cores; more processes than cores never start. Raises InputError if both are
    asked for, or the scheduler cannot be reached.
    """
    if scheduler is None:
        workers = _processes(jobs)
        return lambda points: local_outcomes(points, workers, timeout_s)
    if jobs is not None:
        message = "is for this machine, --scheduler for a cluster; give one of them"
        raise InputError(Problem(message=message, source="--jobs"))
    from accelsim.sweep.cluster import cluster_runner  # Dask is optional

    return cluster_runner(scheduler, timeout_s)


def _processes(jobs: int | None) -> int:
    """Processes for so many `jobs`: more of them than cores would only share these."""
    cores = available_cores()
    if jobs is not None and jobs < 1:
        raise InputError(
            Problem(message=f"expected 1 or more processes, found {jobs}", source="--jobs")
        )
    if jobs is not None and jobs > cores:
        _log.warning(
            "%s processes start, not %s: there are no more cores", f"{cores:,}", f"{jobs:,}"
        )
        return cores
    return jobs or cores


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@checked
def sweep(
    source: str | Path | Mapping[str, Any],
    results: str | Path | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Run a sweep, or go on with it, and return what was found; `records` suits pandas.DataFrame.

    `source` is a built-in name, a path, or what a sweep file would hold. `results` is a SQLite
    file, `<name>.sqlite` if None. Scripts call this under `if __name__ == "__main__":`. Raises
    InputError for bad input and ClusterLostError when a `scheduler` goes; a point that fails is a
    record with its error.
    """
    resolved = resolve(sweep_from(source)) if isinstance(source, Mapping) else resolve_file(source)
    runner = runner_for(jobs, scheduler, resolved.timeout_s)
    with Store.open(results or default_path(resolved), resolved) as store:
        execute(resolved, store, runner, retry_failed=retry_failed)
        return summary_of(store)


_LONGEST_NAME = 60


def default_path(sweep: Sweep) -> Path:
    """Where the results go if nobody says: a file of the sweep's name, here."""
    name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in sweep.name)
    name = name[:_LONGEST_NAME]
    return Path(f"{name}.sqlite")
