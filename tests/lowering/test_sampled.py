"""Rows that no tap reads, left out by a DMA with a stride."""

import pytest
from drawing import drawn
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import MACHINES, chain, machine, networks
from oracles.dram_sheets import SHEETS, STANDARDS

from accelsim.errors import DoesNotFitError
from accelsim.facade import simulate, verify
from accelsim.hardware import DramChannel, Hardware, Precision
from accelsim.lowering.lower import lower
from accelsim.lowering.sampled import rows_read, side_by_side
from accelsim.lowering.spec import program_problems
from accelsim.network.backward import training_step
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Conv, Dense, Flatten, Window


def skipping(hardware: Hardware) -> Hardware:
    dram = hardware.dram.model_copy(update={"unread_rows": "skip"})
    return hardware.model_copy(update={"dram": dram})


def strided(kernel: int, stride: int, padding: int = 0) -> Conv:
    return Conv(
        out_channels=8,
        kernel=(kernel,) * 2,
        stride=(stride,) * 2,
        padding=(padding,) * 4,
        bias=False,
    )


GAPS = st.builds(
    Window,
    st.integers(1, 13),
    st.integers(1, 2),
    st.integers(2, 5),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(0, 2),
    st.booleans(),
).filter(lambda window: window.outputs > 0)


@given(GAPS)
@drawn(300)
def test_side_by_side_is_the_window_over_the_rows_that_are_read(window: Window) -> None:
    """Every tap of every output finds the same row, or padding, as before."""
    smaller = side_by_side(window)
    assume(smaller is not None)
    assert smaller
    rows = rows_read(window)
    assert (smaller.outputs, smaller.size) == (window.outputs, len(rows))
    assert len(rows) < window.size
    for output in range(window.outputs):
        for tap in range(window.kernel):
            before = output * window.stride + tap * window.dilation - window.before
            now = output * smaller.stride + tap * smaller.dilation - smaller.before
            assert (0 <= before < window.size) == (0 <= now < smaller.size)
            if 0 <= before < window.size:
                assert rows[now] == before


@pytest.mark.parametrize(
    "window", [Window(9, 3, 3), Window(9, 3, 2), Window(9, 1), Window(3, 1, 3, before=2)]
)
def test_nothing_to_leave_out(window: Window) -> None:
    """Windows that touch, or one that lies in the padding as a whole."""
    assert side_by_side(window) is None


def test_bytes_by_hand() -> None:
    """4 channels of 9 rows of 9: a 1x1 kernel at stride 2 needs five rows, and but one of their
    columns where that lies between two tiles.
    """
    network = chain((4, 9, 9), strided(1, 2))
    read, skipped = (simulate(network, each) for each in (machine(), skipping(machine())))
    assert read.dram.ifmap_read_bytes > 4 * 5 * 9
    assert skipped.dram.ifmap_read_bytes == 4 * 5 * 8
    assert skipped.cycles < read.cycles
    assert skipped.macs == read.macs


def test_rows_lie_apart_in_dram() -> None:
    """As many rows more slowly than those of a map that has only these."""
    dram = DramChannel.model_validate({"timing": SHEETS["DDR4-2400"], "unread_rows": "skip"})
    timed = machine().model_copy(update={"dram": dram})
    apart = simulate(chain((64, 64, 64), strided(1, 2)), timed)
    dense = Conv(out_channels=8, kernel=(1, 1), stride=(1, 2), bias=False)
    together = simulate(chain((64, 32, 64), dense), timed)
    assert apart.dram.ifmap_read_bytes == together.dram.ifmap_read_bytes
    assert apart.layers[0].dram_cycles > together.layers[0].dram_cycles


def timed(hardware: Hardware, standard: str) -> Hardware:
    dram = DramChannel.model_validate({"timing": SHEETS[standard]})
    return hardware.model_copy(update={"dram": dram})


def test_rows_are_read_where_that_is_faster() -> None:
    """Of maps of 225 B, rows of 15 B: each is a burst by itself when the others are left out."""
    network = chain((64, 15, 15), strided(1, 4), strided(3, 2, 1))
    hardware = timed(machine(array={"rows": 16, "cols": 16}), "LPDDR4X-4266")
    assert simulate(network, skipping(hardware)).cycles <= simulate(network, hardware).cycles


@pytest.mark.slow
@given(networks(), MACHINES, st.sampled_from(["plain", *STANDARDS]))
@drawn(40)
def test_to_skip_is_never_slower(network: Network, hardware: Hardware, standard: str) -> None:
    if standard != "plain":
        hardware = timed(hardware, standard)
    try:
        read = simulate(network, hardware).cycles
    except DoesNotFitError:
        return
    assert simulate(network, skipping(hardware)).cycles <= read


@pytest.mark.slow
@given(networks(), MACHINES)
@drawn(60)
def test_programs_are_as_they_should_be(network: Network, hardware: Hardware) -> None:
    try:
        program = lower(network, skipping(hardware))
    except DoesNotFitError:
        return
    assert [*map(str, program_problems(program))] == []


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 2, 0), (2, 3, 1), (3, 5, 2)])
def test_values_are_exact(kernel: int, stride: int, padding: int) -> None:
    network = chain((3, 14, 13), strided(kernel, stride, padding))
    result = verify(network, skipping(machine()), batch=2)
    assert result.passed


def test_gradients_read_as_they_did() -> None:
    """A weight gradient of one output and a dilation has gaps too, of the forward window's taps."""
    op = Conv(out_channels=2, kernel=(2, 2), dilation=(3, 3), bias=False)
    specs = [
        LayerSpec("conv", op, ("input",)),
        LayerSpec("flat", Flatten(), ("conv",)),
        LayerSpec("dense", Dense(out_features=3), ("flat",)),
    ]
    step = training_step(build_network("gaps", {"input": (2, 4, 4)}, specs))
    floats = dict.fromkeys(("ifmap", "filter", "psum", "ofmap"), "float32")
    hardware = machine().model_copy(update={"precision": Precision.model_validate(floats)})
    assert verify(step, skipping(hardware), batch=2).passed


@given(st.sampled_from(["os", "ws", "is"]))
@drawn(3)
def test_in_every_dataflow(dataflow: str) -> None:
    hardware = skipping(machine(array={"dataflow": dataflow}))
    assert verify(chain((3, 9, 9), strided(1, 2)), hardware).passed
