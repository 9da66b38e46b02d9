"""Gemmini's whole layers: the notation of mappings, and rows of each kind as they are played."""

import pytest

from accelsim.units import ceil_div
from accelsim.validation.gemmini_layers import AIM, EXCEPTIONS, hardware, rows

ROWS = {row.number: row for row in rows()}
CHEAP = (2, 10, 12, 20, 21, 24, 34, 62, 83, 103, 110)
"""Matrix, tiles of 2 and of 4 columns, of all channels, one tile alone, and the exceptions."""


def test_a_mapping_is_a_tile_and_the_innermost_loop() -> None:
    """L3[WIO] K2 - L2[WI] N1 K16X - L1[O] K2 C8 P16 C16X - L0[W] P8."""
    mapped = ROWS[2].given()
    assert mapped.tile == {"R": 1, "S": 1, "P": 128, "Q": 1, "C": 128, "K": 32}
    assert mapped.forced() == {"rows": 128, "filters": 32, "channels": 128, "order": "ifmap_stays"}


def test_rows_of_a_tile_are_q_and_columns_p() -> None:
    """L3[WIO] K2 P7 - L2[WI] N1 K16X - L1[O] K4 S3 R3 C8 Q28 P4 C16X - L0[W] N1."""
    assert ROWS[8].given().forced() == {
        "rows": 28,
        "cols": 4,
        "filters": 64,
        "channels": 128,
        "tap_rows": 3,
        "tap_cols": 3,
        "order": "filter_stays",
    }


def test_the_own_tiler_finishes_sums_first() -> None:
    """1_1_14_14_568_32_1 of 1,024 channels."""
    forced = ROWS[12].own().forced()
    assert [forced[axis] for axis in ("rows", "cols", "filters", "channels")] == [14, 14, 32, 568]
    assert forced["order"] == "ofmap_stays"


@pytest.mark.parametrize("number", sorted(ROWS))
def test_every_mapping_covers_its_layer(number: int) -> None:
    """The factors of each dimension, or the tiler's part of it, are of the layer."""
    for mapped in (ROWS[number].given(), ROWS[number].own()):
        assert all(1 <= size <= mapped.layer[name] for name, size in mapped.tile.items())
        network, layer = mapped.network(), mapped.layer
        assert network.layers[0].output_elements == layer["K"] * layer["P"] * layer["Q"]


@pytest.mark.parametrize("number", CHEAP)
def test_rows_as_played(number: int) -> None:
    """Within the aim, or an exception that is one; never quicker than channels on the rows are."""
    row = ROWS[number]
    layer, cycles = row.layer, row.given().cycles(hardware())
    error = cycles / int(row.row["rtl_cycles_given_mapping"]) - 1
    assert (abs(error) > AIM) == (number in EXCEPTIONS)
    folds = layer["R"] * layer["S"] * ceil_div(layer["C"], 16) * ceil_div(layer["K"], 16)
    assert cycles >= folds * layer["P"] * layer["Q"]
