"""What a play bounds: with a faster DRAM and larger buffers the same tiles take no longer."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from cut_by_hand import lowered, played
from numpy.random import Generator
from search_cases import large_case

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.lower import lower
from accelsim.lowering.plays import MARGIN, Conditions, Plays
from accelsim.lowering.program import Program
from accelsim.lowering.ranking import SURE, Tiling
from accelsim.lowering.recall import Memory


def better(program: Program, rng: Generator) -> Program:
    """The same tasks on a machine no part of which is slower or smaller."""
    (layer,), target = program.layers, program.target
    rate = target.dram_bytes_per_cycle * int(rng.integers(8, 33)) / 8
    latency = int(target.dram_latency * rng.choice([0, 0.5, 1]))
    grown = [each.size * int(rng.integers(8, 25)) // 8 for each in target.buffers]
    buffers = tuple(map(lambda each, size: replace(each, size=size), target.buffers, grown))
    target = replace(target, dram_bytes_per_cycle=rate, dram_latency=latency, buffers=buffers)
    return replace(program, target=target, layers=(replace(layer, spaces=tuple(grown)),))


def bounded(case: int) -> float:
    """The most that a play takes of one on a worse machine; 0 where plays bound nothing."""
    rng = np.random.default_rng(case)
    drawn = large_case(61, case)
    one = drawn.hardware.array.model_copy(update={"count": 1})
    hardware = drawn.hardware.model_copy(update={"array": one})
    if hardware.dram.timing is not None:
        return 0.0
    program = lowered(drawn.layer, hardware)
    times = [(each, played(each)) for each in (program, *(better(program, rng) for _ in range(3)))]
    return max(time / times[0][1] for _, time in times[1:])


def test_nothing_takes_longer_where_all_is_better() -> None:
    assert max(map(bounded, range(12))) <= 1 + MARGIN * SURE


@pytest.mark.slow
def test_nothing_takes_longer_where_all_is_better_often() -> None:
    assert max(map(bounded, range(12, 212))) <= 1 + MARGIN * SURE


def test_only_what_is_as_good_is_bounded() -> None:
    here = Conditions(Fraction(8), 100, (4096, 2048))
    plays = Plays([(here, 70.0), (replace(here, rate=Fraction(4)), 90.0)])
    assert plays.most(here) == 70
    assert plays.most(replace(here, rate=Fraction(6))) == 90
    assert plays.most(replace(here, latency=50, rooms=(4096, 4096))) == 70
    for worse in (
        replace(here, rate=Fraction(3)),
        replace(here, latency=101),
        replace(here, rooms=(4095, 9999)),
    ):
        assert plays.most(worse) == float("inf")


def test_what_earlier_plays_bound_is_not_played_again() -> None:
    layer, memory = large_case(61, 1).layer, Memory()
    counts: dict[bool, list[int]] = {True: [], False: []}
    found: dict[bool, list[Tiling | None]] = {True: [], False: []}
    for size in (128, 256, 512):
        machine = load_hardware("edge_ws", [f"buffers.ifmap_sram.size={size} KiB"])
        for shared, own in ((True, memory), (False, Memory())):

            def counted(program: Program, into: list[int] = counts[shared]) -> int:
                into.append(played(program))
                return into[-1]

            program = lower(layer.network, machine, layer.batch, own, counted)
            found[shared].append(program.layers[0].tiling)
    assert found[True] == found[False]
    assert len(counts[True]) < len(counts[False])
