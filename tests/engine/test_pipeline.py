"""One layer on one array: hand-computed logs, and a pipeline stepped cycle by cycle."""

from dataclasses import replace

from drawing import drawn
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, max_pool, split
from oracles.pipeline import Pipeline

from accelsim.engine.machine import LayerTimes, play
from accelsim.errors import DoesNotFitError
from accelsim.hardware import Hardware
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.lowering.tiling import GemmTiling, LoopOrder
from accelsim.network.graph import Network

CONVS = st.builds(
    lambda channels, side, filters, kernel, stride: chain(
        (channels, side, side), conv(filters, kernel, stride, 1)
    ),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 2),
)


def lowered(network: Network, hardware: Hardware) -> Program:
    try:
        return lower(network, hardware)
    except DoesNotFitError:
        assume(False)
        raise


def tiled(program: Program, tiling: GemmTiling) -> Program:
    """The program with its only layer tiled otherwise."""
    layer = program.layers[0]
    assert isinstance(layer.kernel, GemmKernel)
    schedules = gemm_schedules(layer.kernel, program.target, tiling)
    return replace(program, layers=(replace(layer, schedules=schedules, tiling=tiling),))


@given(CONVS, MACHINES)
@drawn(120)
def test_the_chosen_schedule_is_played_as_stepped(network: Network, drawn: Hardware) -> None:
    array = drawn.array.model_copy(update={"count": 1})
    program = lowered(network, drawn.model_copy(update={"array": array}))
    stepped = Pipeline(program.layers[0].schedules[0], program.target).play()
    assert play(program)[0].end == stepped


@given(st.data(), CONVS, st.sampled_from(["serial", "pipelined"]), st.sampled_from(LoopOrder))
@drawn(120)
def test_any_schedule_is_played_as_stepped(
    data: st.DataObject, network: Network, overlap: str, order: LoopOrder
) -> None:
    """Channels in tiles of one, so that psums leave and come back unless the ofmap stays."""
    hardware = machine(array={"fold_overlap": overlap}, dram={"latency": "23 cycles"})
    program = lower(network, hardware)
    kernel = program.layers[0].kernel
    assert isinstance(kernel, GemmKernel)
    rows = data.draw(st.integers(1, kernel.rows.outputs))
    taps = (kernel.rows.kernel, kernel.cols.kernel)
    tiling = GemmTiling(1, 1, rows, kernel.cols.outputs, 1, 1, *taps, order, "pixels")
    program = tiled(program, tiling)
    spills = order is not LoopOrder.OFMAP_STAYS and kernel.channels > 1
    turns = -(-kernel.rows.outputs // rows), kernel.filters
    again = turns[1] if order is LoopOrder.IFMAP_STAYS else turns[0]
    assert bool(program.layers[0].dram.psum_read_bytes) == (spills and again > 1)
    stepped = Pipeline(program.layers[0].schedules[0], program.target).play()
    assert play(program)[0].end == stepped


# --- By hand --------------------------------------------------------------------------------------


def test_one_tile() -> None:
    """1x1 convolution, 4 pixels, on 4x3 ws: a fold of 4 + 2*4 + 3 - 2 = 13 cycles.

    Filter (1 B) on the channel in cycle 0, ifmap (4 B) in cycle 1, arriving at 2 + 10 = 12.
    12..25 compute, 25..26 the ofmap's 4 B on the channel, 36 arrived.
    """
    program = lower(chain((1, 2, 2), conv(1)), machine())
    assert play(program) == [LayerTimes(0, 36, 0, 0, read_wait=12, write_wait=11, tail=0)]


def test_two_tiles_overlap() -> None:
    """Tiles of 2 pixels: folds of 2 + 2*4 + 3 - 2 = 11 cycles.

    Filter in cycle 0, ifmaps (2 B each) in 1 and 2, arriving at 12 and 13. 12..23 and 23..34
    compute; the first ofmap goes 23..24, the second 34..35, arriving at 45.
    """
    program = lower(chain((1, 2, 2), conv(1)), machine())
    tiling = GemmTiling(1, 1, 1, 2, 1, 1, 1, 1, LoopOrder.OFMAP_STAYS, "pixels")
    times = play(tiled(program, tiling))
    assert times == [LayerTimes(0, 45, 0, 0, read_wait=12, write_wait=11, tail=0)]


def test_a_full_buffer_delays_the_load() -> None:
    """As above, but the ifmap buffer holds two tiles of 1 pixel (1 B) only; four tiles.

    Folds of 10. Filter in 0, ifmaps in 1 and 2 at 12 and 13. Compute 12..22, 22..32. Room for
    the third at 22, on the channel 22..23 (after the first store, 22..23: so 23..24), there at
    34: two cycles late. Room for the fourth at 32; the second store goes 32..33, the load
    33..34, there at 44, when the third ends. 44..54; store 54..55, arriving at 65.
    """
    program = lower(chain((1, 2, 2), conv(1)), machine(split(ifmap="2 B")))
    tiling = GemmTiling(1, 1, 1, 1, 1, 1, 1, 1, LoopOrder.OFMAP_STAYS, "pixels")
    times = play(tiled(program, tiling))
    assert times == [LayerTimes(0, 65, 0, 0, read_wait=14, write_wait=11, tail=0)]


def test_a_pipelined_tail() -> None:
    """One fold of 4 steps: its turn is max(4, 4) = 4 cycles, 13 - 4 = 9 later it is out.

    12..16 compute, results out at 25, store 25..26, arriving at 36: as serial, for one fold.
    """
    hardware = machine(array={"fold_overlap": "pipelined"})
    times = play(lower(chain((1, 2, 2), conv(1)), hardware))
    assert times == [LayerTimes(0, 36, 0, 0, read_wait=12, write_wait=11, tail=9)]


def test_a_pool() -> None:
    """2x2 maximum of 4 pixels: 4 operations on 4 lanes, 1 cycle.

    ifmap 4 B in cycle 0, arriving at 11; computed at 12; ofmap 1 B 12..13, arriving at 23.
    """
    times = play(lower(chain((1, 2, 2), max_pool(2)), machine()))
    assert times == [LayerTimes(0, 23, 0, 0, read_wait=11, write_wait=11, tail=0)]


def test_the_next_layer_loads_its_filters_meanwhile() -> None:
    """Two dense layers of 1 word: folds of 1 + 2*4 + 3 - 2 = 10.

    a: filter 0..1, ifmap 1..2, there at 12, computed at 22, stored 22..23, arriving at 33.
    b: its filter went 2..3; its ifmap goes 33..34, there at 44, computed at 54, stored at 65.
    """
    network = chain((1,), dense(1), dense(1))
    times = play(lower(network, machine()))
    assert times == [
        LayerTimes(0, 33, 0, 0, read_wait=12, write_wait=11, tail=0),
        LayerTimes(33, 65, 0, 0, read_wait=11, write_wait=11, tail=0),
    ]
