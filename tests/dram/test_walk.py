"""What runs ask of banks, walked: against the address map, the replay's bursts and counting."""

import random

import numpy as np
import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.dram_sheets import SHEETS, STANDARDS, changed

from accelsim.dram.pattern import place_of
from accelsim.dram.transfer import _sampled
from accelsim.dram.walk import _bursts, _in_queue, _opened, _places, sample_of, walk

ROW = 65_536  # bytes after which DDR3's row changes in the same bank


@pytest.mark.parametrize("name", STANDARDS)
def test_places_are_those_of_the_address_map(name: str) -> None:
    """Banks by number: as many different ones, alike for the same, and in the same rows."""
    sheet, rng = SHEETS[name], random.Random(1)
    turns = np.array([rng.randrange(2**24) for _ in range(500)])
    bank, row = _places(sheet, turns)
    places = [place_of(sheet, int(turn) * sheet.burst_bytes) for turn in turns]
    assert [*row] == [place.row for place in places]
    assert [*bank % sheet.data_buses] == [place.bus for place in places]
    assert len({*zip(bank, (place.bank for place in places), strict=True)}) == sheet.channel_banks


@given(
    name=st.sampled_from(STANDARDS),
    size=st.integers(1, 5_000),
    gap=st.one_of(st.just(0), st.integers(0, 100), st.integers(0, 100_000)),
    channels=st.sampled_from((1, 2)),
)
@drawn(60)
def test_bursts_are_those_that_are_replayed(name: str, size: int, gap: int, channels: int) -> None:
    sheet = changed(name, channels=channels)
    found, runs = _bursts(sheet, size, size + gap)
    replayed, parts = _sampled(sheet, size, size + gap, write=False)
    if channels == 1:
        assert [int(each) * sheet.burst_bytes for each in found] == [at for at, _ in replayed[0]]
        assert runs == pytest.approx(float(parts))
    assert len(found) == sample_of(sheet) * channels


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 12))
def test_units_in_a_queue_are_those_of_all_queues(units: list[int], queue: int) -> None:
    starts = range(max(len(units) - queue, 0) + 1)
    shares = [1 / len({*units[start : start + queue]}) for start in starts]
    assert _in_queue(np.array(units), queue) == pytest.approx(len(shares) / sum(shares))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1), st.integers(1, 12))
def test_rows_that_are_opened_by_counting(places: list[tuple[int, int]], turn: int) -> None:
    """Of all ways to part the bursts, each row once in a part, but where it goes on."""
    opened = 0
    for phase in range(turn):
        before: dict[int, int] = {}
        met: set[tuple[int, int]] = set()
        for at, (bank, row) in enumerate(places):
            if (at + phase) % turn == 0:
                met = set()
            opened += (bank, row) not in met and before.get(bank) != row
            met.add((bank, row))
            before[bank] = row
    bank, row = (np.array(each) for each in zip(*places, strict=True))
    assert _opened(bank, row, turn) == pytest.approx(opened / turn)


def test_ddr3_by_hand() -> None:
    """256 B a row apart: 4 bursts in 4 rows of as many banks, always the same four."""
    need = walk(SHEETS["DDR3-2133"], 256, ROW)
    assert (need.bursts, need.visits, need.rows) == (4, pytest.approx(4), pytest.approx(4))
    assert (need.banks, need.groups, need.buses) == (pytest.approx(4), 1, 1)


def test_runs_a_byte_short_of_a_power_of_two_stay_in_a_bank() -> None:
    """64 bursts of 64 B before the one that follows, where 2 queues of 32 fit."""
    near, far = (walk(SHEETS["DDR3-2133"], 1, ROW - less).banks for less in (1, 64 * 4))
    assert near < 1.5
    assert far == pytest.approx(8)


def test_one_of_two_channels() -> None:
    """Bursts two apart lie in the first of two channels: it has as many as one alone would."""
    alone, two = SHEETS["DDR4-2400"], changed("DDR4-2400", channels=2)
    assert walk(two, 64, 128).bursts == walk(alone, 64, 64).bursts == 1
    assert walk(two, 128, 128).bursts == 1
