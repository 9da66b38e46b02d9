"""The replayed channel: no command too early, none too late, and hand-counted patterns."""

from itertools import islice

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.dram_protocol import Issued, Logged, violations
from oracles.dram_sheets import SHEETS, STANDARDS, changed, sheets

from accelsim.dram.pattern import Access, place_of, sequential, strided
from accelsim.dram.replay import Channel, achieved_fraction
from accelsim.dram.sheet import DramTiming

BURSTS = st.integers(0, 4000)
ACCESSES = st.lists(st.tuples(BURSTS, st.booleans()), min_size=1, max_size=60)


@given(st.sampled_from(STANDARDS), ACCESSES, st.sampled_from([1, 4, 32]))
@drawn(150)
def test_every_command_is_legal(name: str, bursts: list[Access], queue: int) -> None:
    sheet = SHEETS[name]
    channel = Logged(sheet, queue)
    channel.play([(burst * sheet.burst_bytes, write) for burst, write in bursts])
    assert not violations(sheet, channel.log)
    assert len(channel.dones) == len(bursts)
    columns = [each for each in channel.log if each.name in ("RD", "WR")]
    assert len(columns) == len(bursts)


@given(sheets(), ACCESSES, st.sampled_from([1, 4, 32]))
@drawn(100)
def test_every_command_of_any_sheet_is_legal(
    sheet: DramTiming, bursts: list[Access], queue: int
) -> None:
    """One's own, too, and no bus moves more than a burst at a time."""
    channel = Logged(sheet, queue)
    clocks = channel.play([(burst * sheet.burst_bytes, write) for burst, write in bursts])
    assert not violations(sheet, channel.log)
    assert len(channel.dones) == len(bursts)
    assert clocks + sheet.nCWL + sheet.nBL >= len(bursts) * sheet.nBL / sheet.data_buses


def test_the_oracle_finds_what_is_too_early() -> None:
    sheet = SHEETS["DDR4-2400"]
    log = [
        Issued(0, "ACT", 0, 0, 0, 7),
        Issued(15, "RD", 0, 0, 0, 7),
        Issued(39, "PRE", 0, 0, 0, 7),
    ]
    assert len(violations(sheet, log)) == 1  # the read, one clock before tRCD
    assert "not open" in violations(sheet, [log[0], Issued(16, "RD", 0, 0, 0, 8)])[0]


def test_the_oracle_finds_bursts_that_meet_on_the_data_bus() -> None:
    sheet = SHEETS["DDR4-2400"]  # nCL 16, nCWL 12, nBL 4
    log = [Issued(0, "RD", 0, 0, 0, 7), Issued(7, "WR", 0, 1, 4, 7)]
    assert "data bus 0: bursts at 16 and 19" in violations(sheet, log)


def clocks(name: str, *accesses: Access) -> int:
    return Channel(SHEETS[name], refresh=False).play(accesses)


ROW = 8 * 128 * 64  # bytes after which DDR3's row changes in the same bank


@pytest.mark.parametrize(
    ("accesses", "expected"),
    [
        # activate at 0, read nRCD 12 later, data after nCL 12, nBL 4 long
        ([(0, False)], 12 + 12 + 4),
        # one more in the row, column 1 of bank field 1: nCCD
        ([(0, False), (5 * 64, False)], 12 + 4 + 12 + 4),
        # another row of the same bank: tRC 48 later
        ([(0, False), (ROW, False)], 48 + 12 + 12 + 4),
        # other banks: an activate each nRRD 6, but at 12 the first read has the command bus
        ([(0, False), (64, False), (128, False)], 13 + 12 + 12 + 4),
        # a write is done when it is commanded
        ([(0, True)], 12),
        # writes wait until no read is left; read to write nCL + nBL + 2 - nCWL = 8
        ([(0, False), (5 * 64, True)], 12 + 8),
    ],
)
def test_ddr3_by_hand(accesses: list[Access], expected: int) -> None:
    assert clocks("DDR3-2133", *accesses) == expected


def test_the_fifth_activate_waits_for_the_first() -> None:
    """DDR3-2133: nFAW 27 is more than 4 nRRD, 24. Bank groups of 4 bursts; 5 banks."""
    accesses = [(bank * 64, False) for bank in range(4)] + [(16 * 64, False)]
    assert clocks("DDR3-2133", *accesses) == 27 + 12 + 12 + 4


def test_reads_come_between_the_halves_of_an_activate() -> None:
    """LPDDR5: where rows are opened while others are read. With nAAD 1 nothing may."""

    def between(sheet: DramTiming) -> int:
        channel = Logged(sheet)
        channel.play(islice(strided(sheet, 64, 4096), 400))
        assert not violations(sheet, channel.log)
        names = [each.name for each in channel.log]
        halves = [at for at, name in enumerate(names) if name == "ACT2"]
        return sum(names[at - 1] != "ACT" for at in halves)

    assert between(SHEETS["LPDDR5-6400"]) > 10
    assert between(changed("LPDDR5-6400", nAAD=1)) == 0


def test_the_oracle_finds_halves_that_are_late() -> None:
    sheet = SHEETS["LPDDR5-6400"]
    first = Issued(0, "ACT", 0, 0, 0, 7)
    assert len(violations(sheet, [first, Issued(9, "ACT2", 0, 0, 0, 7)])) == 1
    assert violations(sheet, [first, Issued(8, "ACT2", 0, 0, 0, 7)]) == []
    assert "half" in violations(sheet, [first, Issued(15, "RD", 0, 0, 0, 7)])[0]


def test_ddr5_by_hand() -> None:
    """Commands of two clocks; writes of a bank group twice as far apart as reads.

    Two in a row: activate, nRCD 24, the second nCCDL later: 8 after a read, whose data come 24 + 8
    clocks later; 16 after a write, which is done when it is commanded.
    """
    sheet = SHEETS["DDR5-3200"]
    here = place_of(sheet, 0)
    next_one = next(at for at in range(64, 1 << 20, 64) if place_of(sheet, at) == here)
    assert clocks("DDR5-3200", (0, False), (next_one, False)) == 24 + 8 + 24 + 8
    assert clocks("DDR5-3200", (0, True), (next_one, True)) == 24 + 16
    log = [Issued(0, "ACT", 0, 0, 0, 7), Issued(1, "ACT", 0, 1, 4, 7)]
    assert any("bus is not free" in each for each in violations(sheet, log))


def test_a_split_bus_commands_rows_while_a_read_has_the_columns() -> None:
    """Of HBM2, whose activate takes two clocks, with reads of eight: they delay reads alone.

    Activates are nRRDS 4 apart, the fifth at 16, as nFAW is 15. The first read is nRCD 14 after an
    activate's second clock, at 15, and has the columns until 23.
    """
    sheet = changed("HBM2", data_buses=1, column_slots=8)
    channel = Logged(sheet)
    channel.play([(bank * 4 * sheet.burst_bytes, False) for bank in range(5)])
    assert not violations(sheet, channel.log)
    activates = [each.clock for each in channel.log if each.name == "ACT"]
    reads = [each.clock for each in channel.log if each.name == "RD"]
    assert activates == [0, 4, 8, 12, 16]
    assert reads == [15, 23, 31, 39, 47]


def test_a_bank_that_always_conflicts_takes_its_cycle() -> None:
    """One burst in each of 64 rows of a bank: nRC apart."""
    sheet = SHEETS["DDR3-2133"]
    reads = [(index * ROW, False) for index in range(64)]
    assert Channel(sheet, refresh=False).play(reads) == 63 * sheet.nRC + 12 + 12 + 4


def test_refresh_takes_its_share() -> None:
    sheet = SHEETS["DDR4-2400"]
    reads = list(islice(sequential(sheet), 12_000))
    with_refresh = Channel(sheet).play(reads)
    without = Channel(sheet, refresh=False).play(reads)
    refreshes = with_refresh // sheet.nREFI
    closing = sheet.nRP + sheet.nRCD + sheet.nRTP + 32 * sheet.nBL  # at most, to close and refill
    assert refreshes == 5
    assert 0 <= with_refresh - without - refreshes * sheet.nRFC <= refreshes * closing


@pytest.mark.parametrize("name", STANDARDS)
def test_a_fraction_is_one(name: str) -> None:
    sheet = SHEETS[name]
    for pattern in (sequential(sheet), strided(sheet, 256, 8192)):
        reached = achieved_fraction(sheet, islice(pattern, 500))
        assert 0 < reached <= sheet.refresh_factor


def test_a_longer_queue_reaches_more_on_scattered_rows() -> None:
    sheet = SHEETS["DDR4-3200"]
    shares = [
        achieved_fraction(sheet, islice(strided(sheet, 64, 12_544), 800), queue=queue)
        for queue in (1, 8, 32)
    ]
    assert shares == sorted(shares)
    assert shares[2] > 2 * shares[0]


def test_pseudo_channels_have_buses_of_their_own() -> None:
    """HBM2 with one of its two data buses moves half as much."""
    both, one = SHEETS["HBM2"], changed("HBM2", data_buses=1)
    seconds = [
        Channel(sheet, refresh=False).play(list(islice(sequential(sheet), 2000)))
        for sheet in (both, one)
    ]
    assert seconds[1] == pytest.approx(2 * seconds[0], rel=0.03)
