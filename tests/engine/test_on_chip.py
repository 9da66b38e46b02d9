"""Feature maps that stay on chip, in time: a buffer painted byte by byte while a program plays."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from drawing import any_tilings, drawn
from hypothesis import assume, event, given
from hypothesis import strategies as st
from machines import (
    MACHINES,
    chain,
    conv,
    dense,
    machine,
    max_pool,
    networks,
    split,
    tangled_networks,
    unified,
)

import accelsim.engine.observed
from accelsim.engine.clock import Clock
from accelsim.engine.core import Loaded
from accelsim.engine.machine import play
from accelsim.engine.memory import Asker, Buffer
from accelsim.engine.scheduler import LayerRun
from accelsim.engine.unit import Unit
from accelsim.errors import DoesNotFitError
from accelsim.facade import simulate
from accelsim.hardware import Hardware
from accelsim.lowering.kernels import Alias
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Played, Program
from accelsim.lowering.residency import Plan, plan_residency
from accelsim.lowering.search import search
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Concat
from accelsim.results.player import timed

NETWORKS = st.one_of(networks(), tangled_networks())
SLOW = {"bandwidth": "1 B/cycle", "latency": "0 cycles"}
"""A DRAM beside which small tiles cost nothing."""

ONE_ARRAY = MACHINES.filter(lambda hardware: hardware.array.dataflow != "rs").map(
    lambda hardware: hardware.model_copy(
        update={
            "array": hardware.array.model_copy(update={"count": 1}),
            "residency": "on",
        }
    )
)


def both(
    network: Network, hardware: Hardware, batch: int = 1, played: Played | None = None
) -> tuple[Program, Program]:
    """The program with feature maps on chip, and layer by layer."""
    off = hardware.model_copy(update={"residency": "off"})
    try:
        layer_by_layer = lower(network, off, batch, played=played)
    except DoesNotFitError:
        assume(False)
        raise
    return lower(network, hardware, batch, played=played), layer_by_layer


any_of_both = any_tilings(both)


def plan_of(program: Program) -> Plan:
    kernels = [layer.kernel for layer in program.layers]
    needs = [layer.needs for layer in program.layers]
    return plan_residency(program.network, kernels, needs, search(program.target), program.batch)


# --- A painted buffer -----------------------------------------------------------------------------


@dataclass
class Painting:
    """The ifmap's buffer: which feature map each byte belongs to, and whose tiles are where.

    A writer paints its feature map's place when its first tile is about to be computed, and a
    reader must find it there whole when its last ofmap tile is done. The tiles of a layer may lie
    anywhere in its space, so nothing that is still needed may lie there.
    """

    program: Program
    plan: Plan
    bytes: list[str | None] = field(init=False)
    spaces: dict[int, int] = field(default_factory=dict)
    reading: dict[str, set[int]] = field(init=False)

    def __post_init__(self) -> None:
        size = self.program.target.buffers[self.index].size
        self.bytes = [None] * size
        self.reading = {stay.feature_map.name: set(stay.readers) for stay in self.plan.stays}

    @property
    def index(self) -> int:
        return self.program.target.buffer_index("ifmap")

    def check_tiles(self) -> None:
        """All tiles are within their spaces together, and none lies on what is needed."""
        within = 0
        for space in sorted(self.spaces):
            within += self.spaces[space]
            assert within <= space
        widest = max((space for space, taken in self.spaces.items() if taken), default=0)
        assert not any(name and self.reading[name] for name in self.bytes[:widest])

    def tile(self, size: int, space: int) -> None:
        self.spaces[space] = self.spaces.get(space, 0) + size
        self.check_tiles()

    def computing(self, layer: int) -> None:
        """A tile of `layer` is handed over to its unit."""
        for stay in self.plan.stays:
            place = slice(stay.address, stay.end)
            if layer in stay.feature_map.writers:
                others = {name for name in self.bytes[place] if name} - {stay.feature_map.name}
                assert not any(self.reading[name] for name in others)
                self.bytes[place] = [stay.feature_map.name] * stay.feature_map.size
            if layer in stay.readers:
                assert set(self.bytes[place]) <= {stay.feature_map.name}
        self.check_tiles()

    def done(self, layer: int) -> None:
        for stay in self.plan.stays:
            if layer in stay.readers:
                assert set(self.bytes[stay.address : stay.end]) <= {stay.feature_map.name}
                self.reading[stay.feature_map.name].discard(layer)


def paint(program: Program) -> None:
    """Play a program and paint; raises what the painting finds wrong."""
    painting = Painting(program, plan_of(program))
    name = program.target.buffers[painting.index].name
    index = {layer.layer.name: i for i, layer in enumerate(program.layers)}
    hand_over, part_finished = Unit.hand_over, LayerRun.part_finished
    finished: set[int] = set()

    class PaintedBuffer(Buffer):
        def take(self, asker: Asker, size: int, space: int) -> None:
            super().take(asker, size, space)
            if self.name == name:
                painting.tile(size, space)

    def painted_hand_over(self: Unit, item: Loaded) -> None:
        layer = index[item.part.run.program.layer.name]
        assert all(before in finished for before in reads(program, layer))
        painting.computing(layer)
        hand_over(self, item)

    def painted_finish(self: LayerRun) -> None:
        part_finished(self)
        if not self.parts:
            layer = index[self.program.layer.name]
            finished.add(layer)
            painting.done(layer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelsim.engine.observed, "Buffer", PaintedBuffer)
        patch.setattr(Unit, "hand_over", painted_hand_over)
        patch.setattr(LayerRun, "part_finished", painted_finish)
        play(program, leaps=False)
    assert not any(painting.reading.values())
    assert not any(painting.spaces.values())


def reads(program: Program, layer: int) -> Iterator[int]:
    """The layers with work whose ofmaps a layer reads, through aliases."""
    for before in program.layers[layer].needs:
        if isinstance(program.layers[before].kernel, Alias):
            yield from reads(program, before)
        else:
            yield before


@pytest.mark.slow
@given(NETWORKS, ONE_ARRAY, st.integers(1, 2))
@drawn(60)
def test_no_byte_has_two_owners(network: Network, hardware: Hardware, batch: int) -> None:
    """Nothing gets stuck, no tile or ofmap lands on what is still read, readers find it whole."""
    program, _ = both(network, hardware, batch)
    stays = plan_of(program).stays
    event(f"{min(len(stays), 4)} stays, {sum(bool(x.placement.follows) for x in program.layers)}")
    paint(program)


def waits_only_for_layers_before(program: Program) -> None:
    for index, layer in enumerate(program.layers):
        assert all(before < index for before in layer.placement.follows)
        assert all(before < index for before in layer.placement.filters_follow)


def without_gates(program: Program) -> Program:
    """A plan whose layers wait for nobody but the layers that they read."""
    return replace(
        program,
        layers=tuple(
            replace(layer, placement=replace(layer.placement, follows=(), filters_follow=()))
            for layer in program.layers
        ),
    )


def test_the_painting_catches_a_plan_without_its_gates() -> None:
    """Two chains on the array, whose feature maps have the same place one after the other.

    The second chain begins while the first one's second layer waits for its ifmap.
    """
    network = build_network(
        "branches",
        {"x": (4, 8, 8)},
        [
            LayerSpec("one", conv(4, 3, padding=1), ("x",)),
            LayerSpec("two", conv(2, 3, padding=1), ("one",)),
            LayerSpec("three", conv(4, 3, padding=1), ("x",)),
            LayerSpec("four", conv(2), ("three",)),
        ],
    )
    program = lower(network, machine(split(ifmap="500 B"), dram=SLOW, residency="on"))
    one, three = plan_of(program).stays
    assert one.address == three.address
    paint(program)
    with pytest.raises(AssertionError):
        paint(without_gates(program))


# --- What it is good for --------------------------------------------------------------------------


@given(NETWORKS, ONE_ARRAY, st.integers(1, 2))
@drawn(100, percent=4)
def test_traffic_is_never_more_and_saved_as_planned(
    network: Network, hardware: Hardware, batch: int
) -> None:
    program, layer_by_layer = any_of_both(network, hardware, batch)
    waits_only_for_layers_before(program)
    planned, before = timed(program), timed(layer_by_layer)
    saved = before.dram.total_bytes - planned.dram.total_bytes
    assert saved == planned.dram_saved_bytes >= 0
    kept = any(layer.resident.ofmap_bytes for layer in planned.layers)
    assert kept == (saved > 0)
    for now, then in zip(planned.layers, before.layers, strict=True):
        assert then.dram.total_bytes - now.dram.total_bytes == now.dram_saved_bytes


def last_cycle(program: Program) -> int:
    return max(time.end for time in play(program))


@given(NETWORKS, ONE_ARRAY, st.integers(1, 2))
@drawn(100, percent=3)
def test_it_is_never_slower(network: Network, hardware: Hardware, batch: int) -> None:
    """By more than 2 %, as played: else everything is layer by layer."""
    program, layer_by_layer = both(network, hardware, batch, last_cycle)
    event("as planned" if program.layers != layer_by_layer.layers else "layer by layer")
    assert last_cycle(program) <= 1.02 * last_cycle(layer_by_layer)


@pytest.mark.parametrize(("slower", "stays"), [(1.01, True), (1.03, False)])
def test_what_is_slower_as_played_does_not_stay(slower: float, stays: bool) -> None:
    def played(program: Program) -> int:
        on = program.layers[0].placement.residence.kept
        return round(1e9 * slower) if on else 10**9

    network = chain((2, 8, 8), conv(3), conv(4))
    program = lower(network, machine(unified("64 KiB"), residency="on"), played=played)
    assert program.layers[0].placement.residence.kept == stays


def test_a_chain_that_fits_moves_filters_input_and_output() -> None:
    """8x8 pixels of 2, 3, 4, 4 and 5 channels; filters of 2*3, 3*4 and 5 of 4*64 words."""
    network = chain((2, 8, 8), conv(3), conv(4), max_pool(2, 1, 1), dense(5))
    hardware = machine(unified("64 KiB"), residency="on")
    result = simulate(network, hardware)
    weights = 2 * 3 + 3 * 4 + 5 * 4 * 81
    assert result.dram.filter_read_bytes == weights
    assert result.dram.ifmap_read_bytes == 2 * 64
    assert result.dram.ofmap_write_bytes == 5
    assert [layer.resident.ifmap_bytes for layer in result.layers] == [0, 3 * 64, 4 * 64, 4 * 81]
    assert [layer.resident.ofmap_bytes for layer in result.layers] == [3 * 64, 4 * 64, 4 * 81, 0]


def inception() -> Network:
    """Three branches of one input, side by side in one output, and a layer that reads it."""
    return build_network(
        "inception",
        {"x": (4, 6, 6)},
        [
            LayerSpec("stem", conv(4), ("x",)),
            LayerSpec("narrow", conv(2), ("stem",)),
            LayerSpec("wide", conv(4, 3, padding=1), ("narrow",)),
            LayerSpec("pool", max_pool(3, 1, 1), ("stem",)),
            LayerSpec("out", Concat(), ("wide", "pool")),
            LayerSpec("next", conv(3), ("out",)),
        ],
    )


def test_branches_share_their_input_and_a_concat_is_one() -> None:
    """With room for all: filters, the input and the last ofmap are what crosses DRAM."""
    result = simulate(inception(), machine(split(ifmap="4 KiB"), residency="on"))
    assert result.dram.ifmap_read_bytes == 4 * 36
    assert result.dram.ofmap_write_bytes == 3 * 36
    assert result.layer("next").resident.ifmap_bytes == 8 * 36


def test_a_far_reader_finds_in_dram_what_has_left_the_chip() -> None:
    """The stem leaves 56 of 200 bytes, and in so few the wide layer would read far more."""
    network = build_network(
        "skip",
        {"x": (4, 6, 6)},
        [
            LayerSpec("stem", conv(4), ("x",)),
            LayerSpec("near", conv(1), ("stem",)),
            LayerSpec("wide", conv(8, 3), ("x",)),
            LayerSpec("far", conv(1), ("stem",)),
        ],
    )
    result = simulate(network, machine(split(ifmap="200 B"), dram=SLOW, residency="on"))
    stem, near, _, far = result.layers
    assert (stem.resident.ofmap_bytes, stem.dram.ofmap_write_bytes) == (144, 144)
    assert (near.resident.ifmap_bytes, near.dram.ifmap_read_bytes) == (144, 0)
    assert (far.resident.ifmap_bytes, far.dram.ifmap_read_bytes) == (0, 144)


def test_a_move_takes_the_slower_buffers_time() -> None:
    """64 bytes leave at 8 B/cycle and arrive at any rate, or at 2 B/cycle."""
    buffers = split("4 KiB", "4 KiB", "4 KiB")
    buffers["ofmap"]["bandwidth"] = "8 B/cycle"
    network = chain((1, 8, 8), conv(1), conv(1))
    swift = lower(network, machine(buffers, residency="on"))
    buffers["ifmap"]["bandwidth"] = "2 B/cycle"
    slow = lower(network, machine(buffers, residency="on"))
    assert sum(step.keep.cycles for step in steps(swift)) == 64 / 8
    assert sum(step.keep.cycles for step in steps(slow)) == 64 / 2
    for program in (swift, slow):
        last = steps(program)[-1]
        layer = timed(program).layers[0]
        assert layer.buckets.dram_write == last.keep.cycles


def test_moves_into_a_buffer_take_turns() -> None:
    """Two of 5 cycles asked for at once, and one of 3 after a pause of 2."""
    clock = Clock()
    buffer = Buffer(clock, "b", 10)
    ends = []
    for pause, cycles in ((0, 5), (0, 5), (12, 3)):
        clock.run(until=clock.now + pause) if pause else None
        ends.append(clock.now + buffer.move(cycles))
    assert ends == [5, 10, 15]


def steps(program: Program):  # type: ignore[no-untyped-def]
    return [task.step for task in program.layers[0].all_tasks]


def test_a_unified_buffer_computes_in_place() -> None:
    """No room of a tile, and no move: the ofmap comes out where it stays."""
    program = lower(chain((1, 8, 8), conv(1), conv(1)), machine(unified("4 KiB"), residency="on"))
    for step in steps(program):
        assert step.store is None
        assert step.keep is not None
        assert (step.keep.cycles, step.keep.room) == (0, None)
        assert not step.opens
