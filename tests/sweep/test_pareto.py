"""Pareto fronts against the definition, checked pair by pair."""

from hypothesis import given
from hypothesis import strategies as st

from accelsim.sweep.pareto import best_per_objective, candidates, pareto_front
from accelsim.sweep.quantities import Constraint

OBJECTIVES = {"a": "min", "b": "max", "c": "min"}
small = st.one_of(st.integers(0, 4), st.none())
tables = st.lists(
    st.fixed_dictionaries({"a": small, "b": small, "c": small, "bound": st.integers(0, 3)}),
    max_size=25,
)


def beats(one: dict, other: dict) -> bool:
    costs = [
        (one[name], other[name]) if goal == "min" else (other[name], one[name])
        for name, goal in OBJECTIVES.items()
    ]
    return all(x <= y for x, y in costs) and any(x < y for x, y in costs)


@given(tables)
def test_the_front_is_what_nothing_beats(records: list[dict]) -> None:
    bound = Constraint("bound", least=1, most=2)
    complete = [
        each
        for each in records
        if None not in (each["a"], each["b"], each["c"]) and 1 <= each["bound"] <= 2
    ]
    front = pareto_front(records, OBJECTIVES, [bound])
    expected = [one for one in complete if not any(beats(other, one) for other in complete)]
    assert sorted(map(id, front)) == sorted(map(id, expected))
    assert [each["a"] for each in front] == sorted(each["a"] for each in front)
    assert candidates(records, OBJECTIVES, [bound]) == complete


@given(tables)
def test_the_best_of_each_objective(records: list[dict]) -> None:
    best = best_per_objective(records, OBJECTIVES)
    chosen = candidates(records, OBJECTIVES)
    assert bool(best) == bool(chosen)
    if chosen:
        assert best["a"]["a"] == min(each["a"] for each in chosen)
        assert best["b"]["b"] == max(each["b"] for each in chosen)
        assert best["b"] in pareto_front(records, OBJECTIVES)


def test_a_constraint_in_words() -> None:
    assert str(Constraint("pes", most=4096)) == "pes <= 4,096"
    assert str(Constraint("utilization", 0.3, 0.9)) == "utilization >= 0.3 and <= 0.9"
    assert not Constraint("energy_pj", least=0).holds({"energy_pj": None})
