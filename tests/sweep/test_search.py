"""Sampled sweeps, the points evaluated here by a stand-in for the workers."""

from collections.abc import Iterable, Iterator

import pytest
from sweeps import Kept, small_sweep

from accelsim.sweep.execute import execute
from accelsim.sweep.quantities import hardware_quantities, result_quantities
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.work import evaluate

pytest.importorskip("optuna")

MATRIX = {
    "dataflow": ["os", "ws", "is"],
    "array.rows": {"pow2": [8, 64]},
    "array.cols": {"pow2": [8, 64]},
    "dram.bandwidth": {"pow2": ["2 GB/s", "16 GB/s"]},
}
WANTED = {"cycles": "min", "pes": "min"}


def sweep(method: str, trials: int = 30, seed: int = 3, **more: object):  # type: ignore[no-untyped-def]
    search = {"method": method, "trials": trials, "seed": seed}
    return small_sweep(matrix=MATRIX, objectives=WANTED, search=search, **more)


class Recorded(Kept):
    """Results with the records that a search asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.points: dict[str, Point] = {}

    def put(self, point: Point, outcome: Outcome) -> None:
        super().put(point, outcome)
        self.points[point.key] = point

    def records(self) -> Iterable[dict[str, object]]:
        for key, outcome in self.outcomes.items():
            point = self.points[key]
            yield {
                "key": key,
                "status": outcome.status,
                **hardware_quantities(point.hardware),
                **result_quantities(outcome.totals, point.batch),
            }


def here(points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
    for point in points:
        yield point, evaluate(point)


def two_at_a_time(points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
    """As two workers would: the second point is proposed before the first is answered."""
    held: list[Point] = []
    for point in points:
        held.append(point)
        if len(held) == 2:
            yield held[0], evaluate(held.pop(0))
    for point in held:
        yield point, evaluate(point)


class StopError(Exception):
    """The sweep is interrupted."""


def after(count: int):  # type: ignore[no-untyped-def]
    def run(points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
        for number, point in enumerate(points):
            if number == count:
                raise StopError
            yield point, evaluate(point)

    return run


@pytest.mark.parametrize("method", ["random", "nsga2", "tpe"])
def test_the_same_seed_gives_the_same_trials(method: str) -> None:
    first, second, other = Recorded(), Recorded(), Recorded()
    execute(sweep(method), first, here)
    execute(sweep(method), second, here)
    execute(sweep(method, seed=4), other, here)
    assert first.order == second.order
    assert first.order != other.order


@pytest.mark.parametrize("method", ["random", "nsga2", "tpe"])
def test_interrupted_and_resumed_is_as_if_never_stopped(method: str) -> None:
    whole, parts = Recorded(), Recorded()
    execute(sweep(method), whole, here)
    with pytest.raises(StopError):
        execute(sweep(method), parts, after(7))
    assert len(parts.order) == 7
    tally = execute(sweep(method), parts, here)
    assert parts.order == whole.order
    assert tally.stored == 7
    assert tally.finished == tally.total == 30


def test_a_repeated_choice_costs_nothing() -> None:
    """Five choices, fifty trials."""
    small = small_sweep(
        matrix={"array.rows": [4, 8, 16, 32, 64]},
        search={"method": "random", "trials": 50, "seed": 0},
    )
    kept = Recorded()
    tally = execute(small, kept, two_at_a_time)
    assert (tally.done, tally.repeated) == (5, 45)


def test_proposals_ahead_of_answers_are_told_later() -> None:
    kept = Recorded()
    tally = execute(sweep("nsga2"), kept, two_at_a_time)
    assert tally.finished == 30
    assert len(set(kept.order)) == len(kept.order) == tally.done


def test_what_the_sweep_leaves_out_is_never_run() -> None:
    kept = Recorded()
    execute(sweep("random", exclude=[{"dataflow": "is"}], constraints={"pes": {"max": 512}}), kept, here)
    assert kept.points
    for point in kept.points.values():
        assert point.hardware.array.dataflow != "is"
        assert point.hardware.pes <= 512


def test_constraints_lead_the_search() -> None:
    """NSGA-II proposes feasible points more often than chance does, once it has learnt."""

    def share(method: str) -> float:
        kept = Recorded()
        bound = {"utilization": {"min": 0.3}}
        execute(sweep(method, trials=150, constraints=bound), kept, here)
        late = [kept.outcomes[key].totals["utilization"] >= 0.3 for key in kept.order[50:]]
        return sum(late) / len(late)

    assert share("tpe") > share("random")
