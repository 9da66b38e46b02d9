"""Mappings of ONNXim, Timeloop, PyTorchSim and ZigZag, as tiles of layers of their shapes."""

from pathlib import Path

import pytest
from machines import chain, conv, dense, max_pool

from accelsim.errors import InputError
from accelsim.facade import simulate, verify
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.network.ops import Conv

NETWORK = chain((3, 8, 8), conv(8, 3, padding=1), max_pool(2), conv(16, 3), dense(10))
ONNXIM = """\
[T] N1 C3 M8 P8 Q8 S3 R3 - [O] N1 C1 M2 P2 Q1 S1 R1 - [I] N1 C3 M4 P4 Q8 S3 R3
[T] N1 C64 M10 - [O] N1 C2 M1 - [I] N1 C32 M16
"""
TIMELOOP = """\
mapping:
  - {target: DRAM, type: temporal, factors: R=1 S=1 P=2 Q=1 C=1 M=2 N=1, permutation: RSCMQPN}
  - {target: weights, type: bypass, keep: [Weights], bypass: [Inputs]}
  - {target: buffer, type: temporal, factors: [R=3, S=3, P=1, Q=4, C=2, M=1, N=1]}
  - {target: buffer, type: spatial, factors: R=1 S=1 P=1 Q=1 C=4 M=8 N=1, permutation: CM}
"""


PYTORCHSIM = """{
    "1_10_64" : {
        "TILE_M" : 1,
        "TILE_K" : 32,
        "TILE_N" : 16
    }
}"""
ZIGZAG = """\
- name: /conv1/Conv
  core_allocation: [1]
  spatial_mapping:
    D1:
      - K, 4
    D2:
      - [C, 3]
  temporal_ordering:
    - [FX, 3]  # innermost
    - [FY, 3]
    - [OX, 8]
    - [OY, 8]
    - [K, 2]
  memory_operand_links: {O: O, W: I2, I: I1}
- name: default
  spatial_mapping: {D1: ["K, 32"]}
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_onnxims_inner_loops_are_the_tiles(tmp_path: Path) -> None:
    """A tile is never larger than its layer: ONNXim pads filters to the array."""
    path = written(tmp_path, "m.mapping", ONNXIM)
    result = simulate(NETWORK, "edge_ws", mapping=path)
    first, last = result.layers[0].tiling, result.layers[3].tiling
    assert (first.channels, first.filters, first.rows, first.cols) == (3, 4, 4, 8)
    assert (first.tap_rows, first.tap_cols, first.batch) == (3, 3, 1)
    assert (last.channels, last.filters) == (32, 10)
    assert verify(NETWORK, "edge_ws", mapping=path).passed


def test_timeloops_inner_levels_are_the_tile_and_its_outer_loops_the_order(tmp_path: Path) -> None:
    """DRAM's loops are M inside P: the innermost, over filters, leaves the ifmap where it is."""
    path = written(tmp_path, "m.yaml", TIMELOOP.replace("Q=4", "Q=2"))
    network = chain((8, 4, 4), conv(16, 3))  # its ofmap is 2 x 2
    tiling = simulate(network, "edge_ws", mapping=path).layers[0].tiling
    assert (tiling.rows, tiling.cols, tiling.channels, tiling.filters) == (1, 2, 8, 8)
    assert tiling.order.name == "IFMAP_STAYS"
    assert verify(network, "edge_ws", mapping=path).passed


MAPPED = """
mapping:
  - {target: ifmap_spad, type: datatype, keep: [Inputs], bypass: [Weights, Outputs]}
  - {target: DRAM, type: datatype, keep: [Weights, Inputs, Outputs], bypass: []}
  - {target: weights_spad, type: temporal, factors: C1 M2 R3 S1 N1 P1 Q1, permutation: RCMSNPQ}
  - {target: PE_columns, type: spatial, factors: C4 M1 R1 S3 N1 P1 Q1, split: 0}
  - {target: shared_glb, type: temporal, factors: C1 M4 R1 S1 N1 P1 Q2, permutation: MQCRSNP}
  - {target: DRAM, type: spatial, factors: C1 M1 R1 S1 N1 P2 Q1, permutation: PCMRSNQ}
  - {target: DRAM, type: temporal, factors: C2 M2 R1 S1 N1 P1 Q1, permutation: CMPQRSN}
"""
"""As the mapper of Timeloop writes it: the innermost memory first, loops of 1 too."""


def test_timeloops_mapper_lists_dram_last(tmp_path: Path) -> None:
    """Tiles of 8 filters, 4 channels, and 2 x 2 pixels: copies side by side are in one tile."""
    network = chain((8, 4, 4), conv(16, 3))
    path = written(tmp_path, "m.map.yaml", MAPPED)
    tiling = simulate(network, "edge_ws", mapping=path).layers[0].tiling
    assert (tiling.rows, tiling.cols, tiling.channels, tiling.filters) == (2, 2, 4, 8)
    assert (tiling.tap_rows, tiling.tap_cols, tiling.order.name) == (3, 3, "OFMAP_STAYS")
    assert verify(network, "edge_ws", mapping=path).passed


def test_a_mapping_of_one_memory_has_one_tile(tmp_path: Path) -> None:
    """Timeloop's first exercise: a convolution along one axis, in one buffer."""
    text = "mapping: [{target: Buffer, type: temporal, factors: R3 P16, permutation: RP}]"
    network = chain((1, 18, 1), Conv(out_channels=1, kernel=(3, 1)))
    path = written(tmp_path, "m.map.yaml", text)
    tiling = simulate(network, "edge_ws", mapping=path).layers[0].tiling
    assert (tiling.rows, tiling.tap_rows) == (16, 3)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            *("m.yaml", '- {name: default, temporal_ordering: [[C, "*"], [K, 8]]}\n'),
            "default: 'C, *' leaves its count to ZigZag; write the counts that it found",
        ),
        ("m.mapping", "hello\n", "m.mapping:1: expected [T] N1 C64"),
        ("m.mapping", "", "has no mapping"),
        (
            *("m.mapping", ONNXIM + "[T] N1 C9 M9 - [O] N1 - [I] N1 C9 M9\n"),
            "m.mapping:3: no layer has the shape N1 C9 M9 P1 Q1 R1 S1",
        ),
        ("m.yaml", "mapping: [3]\n", "expected target, type, and factors"),
        ("m.yaml", "mapping: []\n", "has no factors"),
        ("m.yaml", TIMELOOP, "no layer has the shape N1 C8 M16 P2 Q4 R3 S3"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        simulate(NETWORK, "edge_ws", mapping=written(tmp_path, name, text))
    assert said in str(caught.value)


def test_pytorchsims_tiles_are_of_the_gemms_that_have_their_extents(tmp_path: Path) -> None:
    """By name, in whatever order; a tile is never larger than its layer, and psums stay."""
    path = written(tmp_path, "m.json", PYTORCHSIM)
    tiling = simulate(NETWORK, "edge_ws", mapping=path).layers[3].tiling
    assert (tiling.batch, tiling.filters, tiling.channels) == (1, 10, 32)
    assert tiling.order.name == "OFMAP_STAYS"
    assert verify(NETWORK, "edge_ws", mapping=path).passed
    several = written(tmp_path, "n.json", PYTORCHSIM.replace("1_10_64", "6_10_64"))
    assert simulate(NETWORK, "edge_ws", batch=6, mapping=several).layers[3].tiling.batch == 1


@pytest.mark.parametrize(
    ("room", "rows", "cols", "filters", "order"),
    [
        ("64 KiB", 8, 8, 8, None),
        ("1000 B", 8, 8, 4, "IFMAP_STAYS"),  # outside: K alone
        ("500 B", 1, 8, 4, "FILTER_STAYS"),  # outside: OY, and K outside of that
    ],
)
def test_as_many_of_zigzags_inner_loops_are_a_tile_as_fit(
    tmp_path: Path, room: str, rows: int, cols: int, filters: int, order: str | None
) -> None:
    """Ofmaps of 8 bits: 64 pixels of 8 filters are 512 bytes, and tiles have half."""
    path = written(tmp_path, "m.yaml", ZIGZAG)
    result = simulate(NETWORK, zigzags(room), mapping=path)
    tiling = result.layers[0].tiling
    assert (tiling.rows, tiling.cols, tiling.filters) == (rows, cols, filters)
    assert (tiling.channels, tiling.tap_rows, tiling.tap_cols) == (3, 3, 3)
    assert order is None or tiling.order.name == order
    assert verify(NETWORK, zigzags(room), mapping=path).passed


def zigzags(room: str) -> Hardware:
    return load_hardware("edge_ws", [f"buffers.ofmap_sram.size={room}"])


def test_zigzags_gemm_has_its_rows_where_the_layer_has_them(tmp_path: Path) -> None:
    text = "- {name: Gemm, temporal_ordering: [[C, 64], [K, 5], [D, 3], [K, 2]]}"
    path = written(tmp_path, "m.yaml", text)
    tiling = simulate(NETWORK, "edge_ws", batch=3, mapping=path).layers[3].tiling
    assert (tiling.batch, tiling.filters, tiling.channels) == (3, 10, 64)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("- [OX, 8]", "- [QX, 8]"), "/conv1/Conv: expected a loop such as [OX, 112] over one of"),
        (("- [OX, 8]", "- [G, 8]"), "loops over groups (G) cannot be expressed"),
        (("- [OX, 8]", "- [OX, 9]"), "no layer has the shape N1 C3 M8 P8 Q9 R3 S3"),
        (("temporal_ordering", "spatial_order"), "has no entry with a temporal_ordering"),
        (("    - [FX, 3]  # innermost\n    - [FY, 3]", "    - [FX, 3]"), "no layer has the shape"),
    ],
)
def test_what_zigzags_orders_cannot_be(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = written(tmp_path, "m.yaml", ZIGZAG.replace(*change))
    with pytest.raises(InputError) as caught:
        simulate(NETWORK, "edge_ws", mapping=path)
    assert said in str(caught.value)


def test_loops_in_pieces_are_named(tmp_path: Path) -> None:
    """Rows, filters, rows again outside of the tile: ours cut an axis once."""
    pieces = "- [OY, 2]\n    - [K, 2]\n    - [OY, 4]"
    text = ZIGZAG.replace("- [OY, 8]\n    - [K, 2]", pieces)
    path = written(tmp_path, "m.yaml", text)
    with pytest.raises(InputError, match="these are pixels inside filters inside pixels"):
        simulate(NETWORK, zigzags("100 B"), mapping=path)
    assert simulate(NETWORK, "edge_ws", mapping=path).layers[0].tiling.rows == 8


@pytest.mark.parametrize("tile", ["3", "{TILE_M: 1}", "{TILE_M: 0, TILE_N: 1, TILE_K: 1}"])
def test_what_is_no_tile_of_pytorchsims(tmp_path: Path, tile: str) -> None:
    path = written(tmp_path, "m.json", f"{{1_10_64: {tile}}}")
    with pytest.raises(InputError, match="expected TILE_M, TILE_N and TILE_K"):
        simulate(NETWORK, "edge_ws", mapping=path)
