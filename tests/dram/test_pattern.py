"""The address map, and patterns by hand."""

from collections import Counter
from itertools import islice

import pytest
from oracles.dram_sheets import SHEETS, STANDARDS

from accelsim.dram.pattern import Stream, interleaved, place_of, sequential, strided


@pytest.mark.parametrize("name", STANDARDS)
def test_every_bank_and_row_holds_a_row(name: str) -> None:
    """16 rows of all banks, address by address: each (bank, row) takes its bursts, no more.

    The map adds up to 4 bits to the row: 16 rows are as many as it exchanges.
    """
    sheet = SHEETS[name]
    bursts = 16 * sheet.channel_banks * sheet.row_bursts
    places = Counter(place_of(sheet, index * sheet.burst_bytes) for index in range(bursts))
    assert set(places.values()) == {sheet.row_bursts}
    assert len(places) == 16 * sheet.channel_banks
    assert all(0 <= place.bank < sheet.channel_banks for place in places)
    assert all(place.bus == place.bank // sheet.bus_banks for place in places)


def test_ddr3_by_hand() -> None:
    """8 banks of 128 bursts: column bits 0-2 are added to the bank, 3-6 to the row."""
    sheet = SHEETS["DDR3-2133"]

    def place(burst: int) -> tuple[int, int]:
        found = place_of(sheet, 64 * burst)
        return found.bank, found.row

    assert [place(burst) for burst in range(4)] == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert [place(burst) for burst in range(4, 8)] == [(1, 0), (0, 0), (3, 0), (2, 0)]
    assert place(32) == (4, 0)  # column 4 of bank field 0
    assert place(64) == (0, 1)  # column 8: another row
    assert place(1024) == (0, 1)  # the next row, column 0


def test_patterns_by_hand() -> None:
    sheet = SHEETS["HBM2"]  # bursts of 32 B
    assert list(islice(sequential(sheet, write=True), 3)) == [(0, True), (32, True), (64, True)]
    assert [a for a, _ in islice(strided(sheet, 64, 256), 5)] == [0, 32, 256, 288, 512]
    assert [a for a, _ in islice(strided(sheet, 64, 2**27), 6)][4:] == [64, 96]  # wrapped
    both = interleaved(sheet, [Stream(0, 64, False), Stream(1024, 32, True)])
    assert list(islice(both, 5)) == [
        (0, False),
        (32, False),
        (1024, True),
        (64, False),
        (96, False),
    ]
