"""Which records of a sweep are best: the Pareto front and the best per objective."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from accelsim.sweep.quantities import Constraint, Objectives, feasible

AnyRecord = TypeVar("AnyRecord", bound=Mapping[str, object])


def candidates(
    records: Iterable[AnyRecord], objectives: Objectives, constraints: Sequence[Constraint] = ()
) -> list[AnyRecord]:
    """Records that have every objective and meet every constraint."""
    return [
        record
        for record in records
        if all(isinstance(record.get(name), (int, float)) for name in objectives)
        and feasible(record, constraints)
    ]


def pareto_front(
    records: Iterable[AnyRecord], objectives: Objectives, constraints: Sequence[Constraint] = ()
) -> list[AnyRecord]:
    """Candidates that no other beats: as good in every objective and better in one.

    They come by the first objective, best first, then by the next; equal ones are all kept.
    Each member of the front is held against all that are left at once.
    """
    chosen = candidates(records, objectives, constraints)
    order = sorted((cost_of(record, objectives), index) for index, record in enumerate(chosen))
    costs = np.array([cost for cost, _ in order])
    left = np.array([index for _, index in order])
    members: list[AnyRecord] = []
    while len(left):  # whoever beats a record comes before it
        members.append(chosen[left[0]])
        beaten = (costs[0] <= costs).all(axis=1) & (costs[0] < costs).any(axis=1)
        beaten[0] = True
        costs, left = costs[~beaten], left[~beaten]
    return members


def cost_of(record: Mapping[str, object], objectives: Objectives) -> tuple[float, ...]:
    """A candidate's objectives as costs, the less the better."""
    values = ((record[name], direction) for name, direction in objectives.items())
    return tuple(-_number(value) if goal == "max" else _number(value) for value, goal in values)


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return value


def best_per_objective(
    records: Iterable[AnyRecord], objectives: Objectives, constraints: Sequence[Constraint] = ()
) -> dict[str, AnyRecord]:
    """The best candidate of each objective, ties by the others; empty without candidates."""
    chosen = candidates(records, objectives, constraints)
    best = {}
    for name, direction in objectives.items() if chosen else ():
        first = {name: direction} | dict(objectives)
        best[name] = min(chosen, key=lambda record, order=first: cost_of(record, order))  # type: ignore[misc]
    return best


def by_network(records: Iterable[AnyRecord]) -> dict[object, list[AnyRecord]]:
    """Records of each network: cycles of different networks do not compare."""
    groups: dict[object, list[AnyRecord]] = {}
    for record in records:
        groups.setdefault(record["network"], []).append(record)
    return groups
