"""Leaps: leaping over turns that go as before changes no time of any layer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import pytest
from drawing import any_tilings, drawn
from hypothesis import assume, event, given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, max_pool, split

from accelsim.engine.clock import Clock, Component
from accelsim.engine.core import Loaded
from accelsim.engine.leap import Leaper
from accelsim.engine.machine import LayerTimes, play
from accelsim.engine.unit import Unit
from accelsim.errors import DoesNotFitError
from accelsim.facade import compile_program
from accelsim.hardware import Hardware
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.lowering.tiling import GemmTiling, LoopOrder
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Add, Concat


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[[Program], tuple[list[LayerTimes], int]]:
    """Plays a program with leaps, and counts the tiles that were played."""
    hand_over = Unit.hand_over
    tiles = 0

    def counted(self: Unit, item: Loaded) -> None:
        nonlocal tiles
        tiles += 1
        hand_over(self, item)

    def play_and_count(program: Program) -> tuple[list[LayerTimes], int]:
        nonlocal tiles
        tiles = 0
        return play(program), tiles

    monkeypatch.setattr(Unit, "hand_over", counted)
    return play_and_count


@dataclass(frozen=True)
class Name:
    """What a call is about."""

    number: int

    @property
    def place(self) -> tuple[int, ...]:
        return (self.number,)


def with_arrays(hardware: Hardware, count: int) -> Hardware:
    array = hardware.array.model_copy(update={"count": count})
    return hardware.model_copy(update={"array": array})


def tiles_of(program: Program) -> int:
    return sum(layer.tiles for layer in program.layers)


@st.composite
def long_networks(draw: st.DrawFn) -> Network:
    """A chain with a branch in it, of sizes that tiny buffers cut into very many tiles."""
    side = draw(st.integers(6, 24))
    specs = [
        LayerSpec("a", conv(draw(st.integers(1, 24)), 3, 1, 1), ("x",)),
        LayerSpec("b", conv(draw(st.integers(1, 24))), ("a",)),
        LayerSpec("c", max_pool(3, 1, 1), ("a",)),
        LayerSpec("d", Concat(), ("b", "c")),
        LayerSpec("e", conv(draw(st.integers(1, 24)), 2, 2), ("d",)),
        LayerSpec("f", conv(draw(st.integers(1, 8))), ("e",)),
        LayerSpec("g", Add(), ("f", "f")),
        LayerSpec("h", dense(draw(st.integers(1, 40))), ("g",)),
    ]
    keep = draw(st.sampled_from([1, 2, 4, 5, 7, 8]))
    return build_network("long", {"x": (draw(st.integers(1, 24)), side, side)}, specs[:keep])


lowered_somehow = any_tilings(lower)


@given(long_networks(), MACHINES, st.integers(1, 4))
@drawn(40, percent=8)
def test_leaps_change_nothing(network: Network, drawn: Hardware, arrays: int) -> None:
    hardware = with_arrays(drawn, arrays)
    try:
        program = lowered_somehow(network, hardware)
    except DoesNotFitError:
        assume(False)
        raise
    assume(tiles_of(program) < 4_000)
    event(f"10^{len(str(tiles_of(program))) - 1} tiles")
    assert play(program) == play(program, leaps=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "hardware", "dataflow"),
    [
        *product(("alexnet", "vgg16"), ("edge_ws",), ("os", "ws", "is")),
        *product(("alexnet", "vgg16"), ("tpu_v1", "gemmini_16x16"), ("ws",)),
        *product(("alexnet", "vgg16", "googlenet"), ("eyeriss",), ("rs",)),
        ("googlenet", "edge_ws", "ws"),
    ],
)
def test_leaps_change_nothing_of_the_shipped_networks(
    network: str, hardware: str, dataflow: str
) -> None:
    program = compile_program(network, hardware, dataflow)
    assert play(program) == play(program, leaps=False)


def test_most_of_vgg16_is_leapt_over(
    played: Callable[[Program], tuple[list[LayerTimes], int]],
) -> None:
    program = compile_program("vgg16", "edge_ws")
    times, tiles = played(program)
    assert tiles < tiles_of(program) / 8
    assert times == play(program, leaps=False)


@pytest.mark.parametrize("arrays", [1, 2])
def test_most_is_leapt_over_with_two_arrays_at_work(
    arrays: int, played: Callable[[Program], tuple[list[LayerTimes], int]]
) -> None:
    """Rows of pixels shared out, so that both arrays run the same loops beside each other."""
    hardware = machine(split("200 B", "200 B", "400 B"), dram={"bandwidth": "2.5 B/cycle"})
    program = lower(chain((8, 60, 60), conv(16, 3, 1, 1)), with_arrays(hardware, arrays))
    times, tiles = played(program)
    assert tiles < tiles_of(program) / 10
    assert times == play(program, leaps=False)


def test_a_pool_beside_a_convolution_is_leapt_over(
    played: Callable[[Program], tuple[list[LayerTimes], int]],
) -> None:
    layers = [LayerSpec("conv", conv(32), ("x",)), LayerSpec("pool", max_pool(3, 1, 1), ("x",))]
    network = build_network("fork", {"x": (16, 48, 48)}, layers)
    program = lower(network, machine(split("400 B", "400 B", "400 B")))
    times, tiles = played(program)
    assert times[1].start < times[0].end
    assert tiles < tiles_of(program) / 2
    assert times == play(program, leaps=False)


@pytest.mark.parametrize("side", [2_000, 20_000])
def test_what_is_played_does_not_grow_with_the_loops(
    side: int, played: Callable[[Program], tuple[list[LayerTimes], int]]
) -> None:
    """Millions of tiles in nested loops, with buffers of some hundred bytes and a far DRAM."""
    hardware = machine(split("200 B", "200 B", "400 B"), dram={"latency": "100 cycles"})
    program = lower(chain((40, side, side), conv(40)), hardware)
    _, tiles = played(program)
    assert tiles_of(program) > 1_000_000
    assert tiles < 1_000


def test_a_new_component_cannot_be_forgotten() -> None:
    """To be made is to be known to the clock; who has state but cannot shift it cannot be made."""

    class Link(Component):
        free_at = 7

        def state(self, now: int) -> tuple[int, ...]:
            return (self.free_at - now,)

    class Shifted(Link):
        def shift(self, cycles: int) -> None:
            self.free_at += cycles

    clock = Clock()
    with pytest.raises(TypeError, match="shift"):
        Link(clock)  # type: ignore[abstract]
    link = Shifted(clock)
    assert Leaper(clock).state(None) == (None, ((), ()), (7,))  # type: ignore[arg-type]
    clock.shift(5)
    assert (clock.now, link.free_at) == (5, 12)
    assert Leaper(clock).state(None) == (None, ((), ()), (7,))  # type: ignore[arg-type]


def test_psums_that_come_back_are_leapt_over(
    played: Callable[[Program], tuple[list[LayerTimes], int]],
) -> None:
    """Channels outside of the pixels: the psums of every output tile go to DRAM and come back."""
    program = lower(chain((64, 16, 16), conv(48)), machine())
    layer = program.layers[0]
    assert isinstance(layer.kernel, GemmKernel)
    taps = (layer.kernel.rows.kernel, layer.kernel.cols.kernel)
    tiling = GemmTiling(1, 1, 2, 8, 12, 16, *taps, LoopOrder.FILTER_STAYS, "pixels")
    schedules = gemm_schedules(layer.kernel, program.target, tiling)
    assert schedules[0].dram.psum_read_bytes
    program = replace(program, layers=(replace(layer, schedules=schedules, tiling=tiling),))
    times, tiles = played(program)
    assert tiles < tiles_of(program)
    assert times == play(program, leaps=False)


def test_a_leap_of_the_clock_delays_all_that_is_to_come() -> None:
    clock, seen = Clock(), []
    for cycles in (3, 5, 3):
        clock.after(cycles, lambda what: seen.append((clock.now, what)), Name(cycles))
    clock.after(0, lambda what: seen.append((clock.now, what)), Name(0))
    clock.run(until=2)
    state = clock.state
    assert state is not None
    assert [(cycles, place) for cycles, _, _, place in state[0]] == [
        (1, (3,)),
        (1, (3,)),
        (3, (5,)),
    ]
    clock.shift(100)
    clock.run()
    assert [(at, what.number) for at, what in seen] == [(0, 0), (103, 3), (103, 3), (105, 5)]
