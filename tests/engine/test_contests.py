"""Contests: the least lead since any time, and periods that end before one is turned round."""

from dataclasses import dataclass, replace
from itertools import count

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import chain, dense, machine, split

from accelsim.engine.contests import NO_LIMIT, Contests, Lead
from accelsim.engine.core import Loaded
from accelsim.engine.machine import play
from accelsim.engine.unit import Unit
from accelsim.lowering.lower import lower
from accelsim.lowering.tiling import GemmTiling
from accelsim.lowering.work import by_itself


@dataclass(eq=False)
class Array:
    """Somebody with work left."""

    left: int


@given(st.lists(st.integers(-5, 50), min_size=1, max_size=30), st.data())
@drawn(100)
def test_the_least_lead_since_any_time(leads: list[int], data: st.DataObject) -> None:
    contests, first, other = Contests(), Array(0), Array(0)
    for lead in leads:
        first.left = lead
        contests.note(first, [other, first])
    since = data.draw(st.integers(0, len(leads)))
    rest = leads[since:]
    assert contests.since(since) == ({(first, other): min(rest)} if rest else {})


@given(st.integers(0, 40), st.integers(-40, 40), st.integers(-9, 9), st.integers(0, 60))
@drawn(200)
def test_a_period_passes_as_often_as_all_of_its_contests_come_out_alike(
    gap: int, least: int, change: int, now: int
) -> None:
    """Counted by hand: a lead of nothing wins only where all is as it was."""
    lead = Lead(gap=gap, least=least, change=change)
    sure = (now + least + turn * change > 0 or (now == gap and not turn) for turn in count())
    by_hand = next((turn for turn, wins in zip(range(1_000), sure, strict=False) if not wins), None)
    same = now == gap and change >= 0
    assert lead.times(now) == (NO_LIMIT if by_hand is None or same else by_hand)


def test_shares_that_are_not_alike_are_leapt_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven blocks of filters for three arrays behind a slow DRAM: these drift apart."""
    one = machine(split("400 B", "3 KiB", "400 B"), dram={"bandwidth": "2.5 B/cycle"})
    hardware = one.model_copy(update={"array": one.array.model_copy(update={"count": 3})})
    found = lower(chain((3_000, 1, 1), dense(340)), hardware)
    (layer,) = found.layers
    assert isinstance(layer.tiling, GemmTiling)
    tiling = replace(layer.tiling, filters=50, channels=20, split="filters", arrays=3)
    program = by_itself(found, layer, tiling)
    tiles = 0
    hand_over = Unit.hand_over

    def counted(self: Unit, item: Loaded) -> None:
        nonlocal tiles
        tiles += 1
        hand_over(self, item)

    every = play(program, leaps=False)
    monkeypatch.setattr(Unit, "hand_over", counted)
    assert play(program) == every
    assert tiles < sum(layer.tiles for layer in program.layers) / 8
