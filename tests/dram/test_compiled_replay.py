"""The compiled replay gives each access the clock that `replay.Channel` gives it."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.dram_sheets import SHEETS, STANDARDS, sheets
from uncompiled import uncompiled

from accelsim.dram.pattern import Access
from accelsim.dram.replay import Channel
from accelsim.dram.sheet import DramTiming

Replay = Callable[[DramTiming, Sequence[Access]], tuple[list[int], int]]


@pytest.fixture(scope="module")
def as_python() -> Iterator[Replay]:
    with uncompiled("accelsim.dram.compiled.replay", "replay_compiled") as function:
        yield function


@pytest.fixture(scope="module")
def by_numba() -> Replay:
    pytest.importorskip("numba")
    from accelsim.dram.compiled.replay import replay_compiled

    return replay_compiled


@st.composite
def accesses(draw: st.DrawFn) -> list[Access]:
    """Reads and writes: one after another, at a pitch, at random, or of a few rows in turn."""
    burst, count = 32, draw(st.integers(0, 120))
    pitch = draw(st.sampled_from([1, 2, 7, 64, 1024, 4097]))
    few = st.integers(0, 40).map(lambda at: at * pitch)
    places = draw(
        st.just([*range(0, count * pitch, pitch)])
        | st.lists(st.integers(0, 2**20), min_size=count, max_size=count)
        | st.lists(few, min_size=count, max_size=count)
    )
    writes = draw(st.lists(st.booleans(), min_size=len(places), max_size=len(places)))
    some = draw(st.sampled_from([None, False, True]))
    pairs = zip(places, writes, strict=True)
    return [(place * burst, write if some is None else some) for place, write in pairs]


def replayed(sheet: DramTiming, given: Sequence[Access]) -> tuple[list[int], int]:
    channel = Channel(sheet, refresh=False)
    channel.play(given)
    return channel.dones, channel.activates


@given(st.sampled_from(STANDARDS).map(SHEETS.__getitem__) | sheets(), accesses())
@drawn(300, percent=10)
def test_any_accesses_are_served_at_the_same_clocks(
    as_python: Replay, sheet: DramTiming, given: list[Access]
) -> None:
    assert as_python(sheet, given) == replayed(sheet, given)


@pytest.mark.slow
@given(st.sampled_from(STANDARDS).map(SHEETS.__getitem__) | sheets(), accesses())
@drawn(400)
def test_numba_changes_nothing(by_numba: Replay, sheet: DramTiming, given: list[Access]) -> None:
    assert by_numba(sheet, given) == replayed(sheet, given)
