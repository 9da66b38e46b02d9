"""Who waits for whom: as much as addresses need, and no more."""

from collections.abc import Iterator, Sequence

from drawing import drawn
from hypothesis import assume, event, given
from hypothesis import strategies as st
from machines import (
    chain,
    conv,
    machine,
    max_pool,
    networks,
    separate_psums,
    split,
    tangled_networks,
    unified,
)

from accelsim.errors import DoesNotFitError
from accelsim.hardware import Hardware
from accelsim.lowering.gates import order_of
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.lowering.recall import Memory
from accelsim.lowering.residency import Plan, plan_residency
from accelsim.lowering.search import search
from accelsim.lowering.stays import Stay
from accelsim.network.graph import LayerSpec, Network, build_network

ROOMY = st.builds(
    lambda make, size, rate: machine(
        make(f"{size} B"), dram={"bandwidth": rate, "latency": "0 cycles"}, residency="on"
    ),
    st.sampled_from([lambda size: split(size, "300 B", "300 B"), unified, separate_psums]),
    st.integers(60, 2000),
    st.sampled_from(["1 B/cycle", "16 B/cycle"]),
)
NETWORKS = st.one_of(networks(), tangled_networks())


def planned(network: Network, hardware: Hardware) -> tuple[Program, Plan]:
    memory = Memory()
    try:
        program = lower(network, hardware, memory=memory)
    except DoesNotFitError:
        assume(False)
        raise
    kernels = [layer.kernel for layer in program.layers]
    needs = [layer.needs for layer in program.layers]
    return program, plan_residency(network, kernels, needs, search(program.target, memory), 1)


def waited_for(program: Program, without: tuple[int, int] | None = None) -> list[set[int]]:
    """For each layer all that are done before its tiles begin; `without` one (layer, gate)."""
    found: list[set[int]] = []
    for index, layer in enumerate(program.layers):
        gates = [each for each in layer.placement.follows if (index, each) != without]
        direct = {*layer.needs, *gates}
        found.append(direct.union(*(found[each] for each in direct)))
    return found


def tiles_of(program: Program, layer: int) -> range:
    """The addresses of its tiles."""
    return range(program.layers[layer].placement.space if program.layers[layer].unit else 0)


def place(stay: Stay) -> range:
    return range(stay.address, stay.end)


def meet(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


def comes_before(before: Sequence[set[int]], first: Sequence[int], then: Sequence[int]) -> bool:
    """Whether all of `first` are done when any of `then` begins."""
    return all(before[layer].issuperset(first) for layer in then)


@given(NETWORKS, ROOMY)
@drawn(200, percent=2)
def test_who_shares_addresses_comes_one_after_the_other(
    network: Network, hardware: Hardware
) -> None:
    """A feature map, from its writers to its users, and the tiles or the next one there."""
    program, plan = planned(network, hardware)
    before = waited_for(program)
    share = program.target.buffer_index("filter") == program.target.buffer_index("ifmap")
    for stay in plan.stays:
        writers = stay.feature_map.writers
        for layer in range(len(program.layers)):
            if meet(tiles_of(program, layer), place(stay)):
                event("tiles where a feature map was, or will be")
                gates = program.layers[layer].placement.filters_follow
                ahead = set(gates).union(*(before[each] for each in gates))
                after = comes_before(before, stay.users, [layer])
                after &= not share or ahead.issuperset(stay.users)
                assert after or comes_before(before, [layer], writers)
        for other in plan.stays:
            if other is not stay and meet(place(other), place(stay)):
                assert comes_before(before, stay.users, other.feature_map.writers) or comes_before(
                    before, other.users, writers
                )


def owned(program: Program, plan: Plan, layer: int, *, as_user: bool) -> Iterator[range]:
    """Addresses that a layer takes: its tiles', and of feature maps that it writes, or uses."""
    yield tiles_of(program, layer)
    for stay in plan.stays:
        if layer in (stay.users if as_user else stay.feature_map.writers):
            yield place(stay)


@given(NETWORKS, ROOMY)
@drawn(60, percent=10)
def test_every_gate_is_needed(network: Network, hardware: Hardware) -> None:
    """Without it two that are in no order would have the same addresses."""
    program, plan = planned(network, hardware)
    for index, layer in enumerate(program.layers):
        for gate in layer.placement.follows:
            event("a gate")
            assert gate not in waited_for(program, without=(index, gate))[index]
            mine = list(owned(program, plan, index, as_user=False))
            theirs = list(owned(program, plan, gate, as_user=True))
            assert any(meet(one, other) for one in mine for other in theirs)
        for gate in layer.placement.filters_follow:
            theirs = [place(stay) for stay in plan.stays if gate in stay.users]
            assert any(meet(tiles_of(program, index), each) for each in theirs)


def two_branches() -> Network:
    """One on the array, and one that a pool begins."""
    return build_network(
        "branches",
        {"x": (3, 23, 22)},
        [
            LayerSpec("one", conv(16, 3, padding=1), ("x",)),
            LayerSpec("two", conv(4), ("one",)),
            LayerSpec("pool", max_pool(3, 2, 1), ("x",)),
            LayerSpec("proj", conv(8), ("pool",)),
        ],
    )


def test_nobody_waits_where_there_is_room() -> None:
    """The pool's ofmap has a place of its own, though the first branch is done in the course."""
    for buffers in (split(ifmap="1 MiB"), unified("1 MiB"), separate_psums("1 MiB")):
        program, plan = planned(two_branches(), machine(buffers, residency="on"))
        one, pool = plan.stays
        assert not meet(place(one), place(pool))
        assert not any(layer.placement.follows for layer in program.layers)
        assert not any(layer.placement.filters_follow for layer in program.layers)


def test_the_order_of_a_chain_with_a_branch() -> None:
    """0 - 1 - 3 and 2 beside them, all read by 4."""
    order = order_of([(), (0,), (), (1,), (3, 2)])
    assert order.before == [0b0, 0b1, 0b0, 0b11, 0b1111]
    assert order.after == [0b11010, 0b11000, 0b10000, 0b10000, 0b0]
    assert order.before_all([1, 3]) == 0b1
    assert order.after_all([0, 2]) == 0b10000


def test_a_long_chain_needs_no_gates() -> None:
    program, plan = planned(
        chain((2, 5, 5), *[conv(3) for _ in range(9)]), machine(unified("1 KiB"), residency="on")
    )
    assert len(plan.stays) == 8
    assert not any(layer.placement.follows for layer in program.layers)
