"""One point judged over all networks of a sweep: its objectives added up, or their mean."""

import math
from collections.abc import Iterable, Mapping, Sequence

from accelsim.frontend.sweep_file import Over
from accelsim.sweep.pareto import candidates
from accelsim.sweep.quantities import Constraint, Objectives, Record


def over_networks(
    records: Iterable[Record],
    parameters: Sequence[str],
    over: Over,
    objectives: Objectives,
    constraints: Sequence[Constraint] = (),
) -> list[Record]:
    """A record for each choice of `parameters` that every network has, and where all are feasible.

    It has the parameters, the objectives over all networks, and as its key the keys of its points.
    """
    every = [*records]
    networks = {str(record["network"]) for record in every}
    same = [name for name in parameters if name != "network"]
    choices: dict[tuple[object, ...], dict[str, Record]] = {}
    for record in candidates(every, objectives, constraints):
        choice = (record["batch"], *(record[name] for name in same))
        choices.setdefault(choice, {})[str(record["network"])] = record
    return [
        _combined(found, same, over, objectives)
        for found in choices.values()
        if found.keys() == networks
    ]


def _combined(
    found: Mapping[str, Record], same: Sequence[str], over: Over, objectives: Objectives
) -> Record:
    first = next(iter(found.values()))
    return {
        "key": "+".join(str(record["key"]) for record in found.values()),
        "batch": first["batch"],
        **{name: first[name] for name in same},
        **{
            name: _over({each: _number(record[name]) for each, record in found.items()}, over)
            for name in objectives
        },
    }


def _over(values: Mapping[str, float], over: Over) -> float:
    """Values of networks as one; a network without a weight counts nothing."""
    if isinstance(over, Mapping):
        return math.fsum(over.get(name, 0.0) * value for name, value in values.items())
    if over == "sum":
        return sum(values.values())
    if min(values.values()) <= 0:
        return 0.0
    return math.exp(math.fsum(map(math.log, values.values())) / len(values))


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return value


def said(over: Over) -> str:
    """In words: `geometric mean over all networks`, `0.7 vgg16 + 0.3 googlenet`."""
    if isinstance(over, Mapping):
        return " + ".join(f"{weight:g} {name}" for name, weight in over.items())
    return f"{over.replace('_', ' ')} over all networks"
