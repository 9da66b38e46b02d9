"""Sampled sweeps, whose points become what a formula says: it is proposals that are tested."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from sweeps import small_sweep

from accelsim.sweep.execute import Runner, Tally, execute
from accelsim.sweep.local import Finished
from accelsim.sweep.quantities import Constraint, Record, feasible
from accelsim.sweep.records import Outcome, Point, packed
from accelsim.sweep.search import _violation
from accelsim.sweep.space import Sweep
from accelsim.sweep.store import Store

pytest.importorskip("optuna")

MATRIX = {
    "dataflow": ["os", "ws", "is"],
    "array.rows": {"pow2": [8, 64]},
    "array.cols": {"pow2": [8, 64]},
    "dram.bandwidth": {"pow2": ["2 GB/s", "16 GB/s"]},
}
WANTED = {"cycles": "min", "pes": "min"}


def sweep(method: str, trials: int = 30, seed: int = 3, **more: object) -> Sweep:
    search = {"method": method, "trials": trials, "seed": seed}
    return small_sweep(matrix=MATRIX, objectives=WANTED, search=search, **more)


def imagined(point: Point) -> Outcome:
    """Fewer cycles for more PEs and for a faster DRAM, a few more under some dataflows."""
    hardware = point.hardware
    under = {"os": 0, "ws": 10, "is": 20}[hardware.array.dataflow]
    cycles = under + 100_000 // hardware.pes + int(4_000 / hardware.dram_bytes_per_cycle)
    moved = {"dram_read_bytes": 3_000, "dram_write_bytes": 1_000}
    totals = {"cycles": cycles, "seconds": cycles / hardware.clock, "macs": 9_000, **moved}
    return Outcome(point.key, "done", totals, packed(totals, []), 0.0)


def finished(point: Point) -> Finished:
    return point, imagined(point)


class Ran:
    """A sweep that ran, its store beside the test."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "results.sqlite"
        self.order: list[str] = []
        self.points: dict[str, Point] = {}
        self.records: list[Record] = []

    def run(self, sweep: Sweep, runner: Runner | None = None) -> Tally:
        def watch(tally: Tally, point: Point | None, outcome: Outcome | None) -> None:
            if point is not None:
                self.order.append(point.key)
                self.points[point.key] = point

        with Store.open(self.path, sweep) as store:
            try:
                return execute(sweep, store, runner or self.here, watch)
            finally:
                self.records = store.records()

    def here(self, points: Iterable[Point]) -> Iterator[Finished]:
        yield from map(finished, points)

    def two_at_a_time(self, points: Iterable[Point]) -> Iterator[Finished]:
        """As two workers would: the second point is proposed before the first is answered."""
        held: list[Point] = []
        for point in points:
            held.append(point)
            if len(held) == 2:
                yield finished(held.pop(0))
        yield from map(finished, held)

    def stopped_after(self, count: int) -> Runner:
        def run(points: Iterable[Point]) -> Iterator[Finished]:
            for number, point in enumerate(points):
                if number == count:
                    raise StopError
                yield finished(point)

        return run


class StopError(Exception):
    """The sweep is interrupted."""


@pytest.fixture
def new(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Ran]:
    """A run with a results file of its own."""
    return lambda: Ran(tmp_path_factory.mktemp("run"))


New = Callable[[], Ran]


@pytest.mark.parametrize("method", ["random", "nsga2", "tpe"])
def test_the_same_seed_gives_the_same_trials(method: str, new: New) -> None:
    first, second, other = new(), new(), new()
    first.run(sweep(method))
    second.run(sweep(method))
    other.run(sweep(method, seed=4))
    assert first.order == second.order
    assert first.order != other.order


@pytest.mark.parametrize("method", ["random", "nsga2", "tpe"])
def test_interrupted_and_resumed_is_as_if_never_stopped(method: str, new: New) -> None:
    whole, parts = new(), new()
    whole.run(sweep(method))
    with pytest.raises(StopError):
        parts.run(sweep(method), parts.stopped_after(7))
    assert len(parts.order) == 7
    tally = parts.run(sweep(method))
    assert parts.order == whole.order
    assert tally.stored == 7
    assert tally.finished == tally.total == 30
    again = parts.run(sweep(method))
    assert (again.done, again.stored) == (0, len(whole.order))
    assert {record["key"] for record in parts.records} == set(whole.order)


def test_a_repeated_choice_costs_nothing(new: New) -> None:
    """Five choices, fifty trials."""
    small = small_sweep(
        matrix={"array.rows": [4, 8, 16, 32, 64]},
        search={"method": "random", "trials": 50, "seed": 0},
    )
    ran = new()
    tally = ran.run(small, ran.two_at_a_time)
    assert (tally.done, tally.repeated) == (5, 45)


def test_proposals_ahead_of_answers_are_told_later(new: New) -> None:
    ran = new()
    tally = ran.run(sweep("nsga2"), ran.two_at_a_time)
    assert tally.finished == 30
    assert len(set(ran.order)) == len(ran.order) == tally.done


def test_what_the_sweep_leaves_out_is_never_run(new: New) -> None:
    ran = new()
    bound = {"pes": {"max": 512}}
    ran.run(sweep("random", exclude=[{"dataflow": "is"}], constraints=bound))
    assert ran.points
    for point in ran.points.values():
        assert point.hardware.array.dataflow != "is"
        assert point.hardware.pes <= 512


def test_a_violation_is_the_share_of_the_bound_by_which_it_is_missed() -> None:
    bound = Constraint("utilization", 0.5, 0.8)
    found = [_violation(bound, {"utilization": value}) for value in (0.25, 0.5, 0.6, 1.0, None)]
    assert found == pytest.approx([0.5, 0.0, -0.2, 0.25, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_constraints_lead_the_search(method: str, new: New) -> None:
    """Few PEs are wanted but many cycles forbidden: later trials meet the bound more often."""

    def share(method: str) -> float:
        ran = new()
        bound = {"cycles": {"max": 1_100}}
        ran.run(sweep(method, trials=120, constraints=bound))
        met = {str(record["key"]): feasible(record, ran_bounds) for record in ran.records}
        late = [met[key] for key in ran.order[len(ran.order) // 2 :]]
        return sum(late) / len(late)

    ran_bounds = [Constraint("cycles", None, 1_100)]
    assert share(method) > share("random")
