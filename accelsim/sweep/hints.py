"""What is said of the points of a sweep as a whole: too many, none, or seldom meant."""

from collections.abc import Iterator, Sequence

from accelsim.errors import Problem
from accelsim.frontend.source import KeyPath
from accelsim.frontend.sweep_file import SweepFile
from accelsim.sweep.axes import BATCH, NETWORK
from accelsim.sweep.points import Points
from accelsim.sweep.quantities import (
    UNLIKE_BATCHES,
    UNLIKE_CLOCKS,
    compare_batches,
    compare_clocks,
)

CLOCK: KeyPath = ("clock",)


def too_many(file: SweepFile, grid: int) -> Problem:
    """At a matrix of more combinations than are allowed."""
    message = (
        f"{grid:,} combinations are more than max_points, {file.max_points:,}; raise it, take "
        "fewer values, or sample them with `search: {method: nsga2, trials: 500}`"
    )
    return file.problem(("matrix",), message, at_key=True)


def none_left(file: SweepFile, counts: Sequence[int], infeasible: int) -> Problem:
    """At what left out most of the points."""
    excluded = sum(counts)
    message = (
        f"no point is left: `exclude` leaves out {excluded:,}, constraints on hardware "
        f"{infeasible:,}; loosen them"
    )
    place = "exclude" if excluded > infeasible else "constraints"
    return file.problem((place,), message, at_key=True)


def hints(file: SweepFile, excluded: Sequence[int], points: Points) -> Iterator[Problem]:
    """What can be meant, but seldom is."""
    for index, count in enumerate(excluded):
        if not count:
            yield file.problem(("exclude", index), "leaves out no point that is left")
    runs = {(point.network, point.batch) for point in points.examples(NETWORK, BATCH)}
    if len(runs) > len(dict(runs)) and not compare_batches(file.objectives):
        yield file.problem(("objectives",), UNLIKE_BATCHES, at_key=True)
    clocks = {(each.network, each.varied.clock) for each in points.examples(NETWORK, CLOCK)}
    if len(clocks) > len(dict(clocks)) and not compare_clocks(file.objectives):
        yield file.problem(("objectives",), UNLIKE_CLOCKS, at_key=True)
