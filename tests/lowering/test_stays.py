"""The line of addresses, held against a list of bytes."""

from hypothesis import given
from hypothesis import strategies as st

from accelsim.lowering.stays import Line, bits, highest, indices

SIZE = 12


@st.composite
def stretches(draw: st.DrawFn) -> tuple[int, int]:
    start = draw(st.integers(0, SIZE - 1))
    return start, draw(st.integers(start + 1, SIZE))


@given(st.lists(st.tuples(st.booleans(), stretches(), st.integers(0, 5))), stretches())
def test_a_line_is_a_list_of_bytes(
    changes: list[tuple[bool, tuple[int, int], int]], asked: tuple[int, int]
) -> None:
    """`put` gives bytes to one layer alone; `add` lets it follow the odd ones and join the rest."""
    line, owners = Line(SIZE), [set[int]() for _ in range(SIZE)]
    odd = {1, 3, 5}
    for alone, (start, end), layer in changes:
        if alone:
            line.put(start, end, 1 << layer)
            owners[start:end] = [{layer} for _ in range(start, end)]
        else:
            line.add(end, layer, bits(odd))
            owners[:end] = [(each - odd) | {layer} for each in owners[:end]]
    painted = [indices(layers) for start, end, layers in line for _ in range(start, end)]
    assert painted == [sorted(each) for each in owners]
    start, end = asked
    assert indices(line.of(start, end)) == sorted(set().union(*owners[start:end]))
    others = {address for address in range(end) if owners[address] - {0, 2}}
    held = line.held(end, bits([0, 2]))
    assert others.issuperset(held)
    assert min(held, default=None) == min(others, default=None)


@given(st.lists(stretches(), max_size=4), st.integers(1, SIZE))
def test_the_highest_place_is_the_last_that_is_free(
    taken: list[tuple[int, int]], needed: int
) -> None:
    used = {address for start, end in taken for address in range(start, end)}
    free = [
        address
        for address in range(SIZE - needed + 1)
        if used.isdisjoint(range(address, address + needed))
    ]
    assert highest(needed, taken, SIZE) == max(free, default=None)


@given(st.sets(st.integers(0, 200)))
def test_sets_of_layers_are_bits(layers: set[int]) -> None:
    assert indices(bits(layers)) == sorted(layers)
