"""Mappings of ONNXim and Timeloop, as tiles of the layers that have their shapes."""

from pathlib import Path

import pytest
from machines import chain, conv, dense, max_pool

from accelsim.errors import InputError
from accelsim.facade import simulate, verify

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


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
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
