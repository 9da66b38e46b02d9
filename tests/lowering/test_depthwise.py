"""Depthwise convolutions on the lanes of the vector unit."""

from pathlib import Path

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, machine, split
from oracles.dram_sheets import SHEETS

from accelsim.errors import DoesNotFitError, InputError
from accelsim.facade import simulate, verify
from accelsim.frontend.hardware_file import load_hardware, with_settings
from accelsim.hardware import Hardware
from accelsim.lowering.lower import lower
from accelsim.lowering.search import search
from accelsim.lowering.target import Residence
from accelsim.lowering.vector_search import VectorRanks
from accelsim.network.graph import Network
from accelsim.network.ops import Conv, Op


def depthwise(channels: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> Conv:
    return Conv(
        out_channels=channels,
        groups=channels,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        dilation=(dilation, dilation),
        padding=(kernel // 2,) * 4,
    )


def computed_by(where: str, hardware: Hardware | None = None, *settings: str) -> Hardware:
    return with_settings(hardware or machine(), [f"depthwise={where}", *settings])


LAYERS = st.tuples(st.integers(1, 6), *[st.integers(1, 3)] * 3)
SETTINGS = st.sampled_from(
    [
        (),
        ("precision={ifmap: int8, filter: int8, psum: int12, ofmap: int8}",),
        ("precision.psum_overflow=saturate", "precision.psum=int12"),
        ("precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}",),
    ]
)


def test_cycles_and_bytes_by_hand() -> None:
    """4 channels of 6x6 in one tile: 9 MACs and one more for each of 144 outputs, on 4 lanes."""
    whole = {"a": {"channels": 4, "rows": 6, "cols": 6}}
    result = simulate(chain((4, 6, 6), depthwise(4)), computed_by("vector"), mapping=whole)
    (layer,) = result.layers
    assert (layer.vector_cycles, layer.array_cycles) == (144 * 10 // 4, 0)
    assert (layer.dram.ifmap_read_bytes, layer.dram.filter_read_bytes) == (4 * 36, 4 * 9)
    assert layer.dram.ofmap_write_bytes == 4 * 36
    assert (layer.sram.filter_reads, layer.sram.ifmap_reads) == (4 * 9, 4 * 36)
    assert (layer.macs, layer.array_macs) == (4 * 36 * 9, 0)
    assert (result.macs, result.utilization) == (4 * 36 * 9, 0.0)
    assert layer.bound == "vector"


@given(LAYERS, MACHINES, SETTINGS, st.integers(1, 2))
@drawn(40, percent=8)
def test_values_and_tiles_are_as_they_should_be(
    sizes: tuple[int, ...], hardware: Hardware, settings: tuple[str, ...], batch: int
) -> None:
    network = chain((sizes[0], 9, 7), depthwise(*sizes), conv(2), depthwise(2))
    try:
        found = verify(network, computed_by("vector", hardware, *settings), batch=batch)
    except DoesNotFitError:
        return
    assert found.passed, found


@given(LAYERS, MACHINES, st.sampled_from([None, *SHEETS]), st.integers(1, 2))
@drawn(40, percent=8)
def test_the_search_knows_what_a_layer_moves(
    sizes: tuple[int, ...], hardware: Hardware, sheet: str | None, batch: int
) -> None:
    """DRAM bytes to the byte; and a tile of what it says fits, as the spec found above."""
    settings = ["residency=off"] + ([f"dram.timing={sheet}"] if sheet else [])
    network = chain((sizes[0], 9, 7), depthwise(*sizes))
    try:
        program = lower(network, computed_by("vector", hardware, *settings), batch)
    except DoesNotFitError:
        return
    (layer,) = program.layers
    ranks = search(program.target)(layer.kernel, Residence())
    assert isinstance(ranks, VectorRanks)
    assert ranks.best is not None
    assert ranks.best.tiling == layer.tiling
    assert ranks.best.dram_bytes == layer.dram.total_bytes


def test_saturating_sums_keep_their_windows_whole() -> None:
    small = machine(split("16 B", "64 B", "64 B"))
    network = chain((2, 9, 7), depthwise(2))
    cut = lower(network, computed_by("vector", small)).layers[0]
    assert cut.tiling.tap_rows < 3 or cut.tiling.tap_cols < 3  # type: ignore[union-attr]
    with pytest.raises(DoesNotFitError, match="layer a"):
        lower(network, computed_by("vector", small, "precision.psum_overflow=saturate"))


@pytest.mark.parametrize(
    "op",
    [conv(4, 3), Conv(out_channels=8, kernel=(3, 3), groups=4),
     Conv(out_channels=4, kernel=(3, 3), groups=2)],
)  # fmt: skip
def test_other_convolutions_stay_on_the_array(op: Op) -> None:
    (layer,) = simulate(chain((4, 6, 6), op), computed_by("vector")).layers
    assert layer.gemm is not None
    assert layer.vector_cycles == 0


NETWORK = chain((8, 14, 14), conv(16), depthwise(16), conv(8), depthwise(8, 3, 2), conv(4))


@pytest.mark.parametrize(("dataflow", "lanes"), [("ws", 1), ("os", 64), ("rs", 4), ("best", 4)])
def test_best_is_no_slower_than_either(dataflow: str, lanes: int) -> None:
    small = machine(array={"dataflow": dataflow}, lanes=lanes)
    best, *others = (
        simulate(NETWORK, computed_by(where, small)).cycles for where in ("best", "array", "vector")
    )
    assert best <= min(others)


def test_best_takes_what_fits() -> None:
    """A window too large for a tile is cut by taps, or fits nowhere where sums saturate."""
    small = machine(split("16 B", "64 B", "64 B"))
    settings = ["precision.psum_overflow=saturate"]
    network: Network = chain((2, 9, 7), depthwise(2))
    with pytest.raises(DoesNotFitError):
        simulate(network, computed_by("best", small, *settings))
    assert simulate(network, computed_by("best", small)).cycles > 0


def test_a_mapping_is_of_one_unit() -> None:
    network = chain((4, 6, 6), depthwise(4))
    forced = {"a": {"channels": 2, "rows": 3, "cols": 6, "tap_rows": 3, "tap_cols": 3}}
    (layer,) = simulate(network, computed_by("vector"), mapping=forced).layers
    assert layer.tiles == 4
    assert verify(network, computed_by("vector"), mapping=forced).passed
    with pytest.raises(InputError, match="a mapping is of one unit"):
        simulate(network, computed_by("best"), mapping=forced)


def test_macs_of_lanes_take_energy() -> None:
    """As those of the array do, and each output takes an operation more."""
    table = ["energy=horowitz_45nm"]
    network = chain((4, 6, 6), depthwise(4))
    array, lanes = (
        simulate(network, computed_by(where, None, *table)) for where in ("array", "vector")
    )
    assert array.energy is not None
    assert lanes.energy is not None
    assert array.energy.mac == lanes.energy.mac > 0
    assert (array.energy.vector, lanes.energy.vector > 0) == (0, True)


def test_the_trace_has_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "port.csv"
    hardware = computed_by("vector", machine(split("200 B", "64 B", "200 B")))
    result = simulate(chain((4, 9, 9), depthwise(4)), hardware, trace_dram=path)
    header, *rows = path.read_text().splitlines()
    place = header.split(",").index("bytes")
    assert sum(int(row.split(",")[place]) for row in rows) == result.dram.total_bytes


def test_a_shipped_machine_knows_the_key() -> None:
    assert load_hardware("edge_ws").depthwise == "array"
    with pytest.raises(InputError, match="depthwise"):
        load_hardware("edge_ws", ["depthwise=lanes"])
