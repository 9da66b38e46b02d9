"""Tiles that compute for longer than any takes to come never wait: played, they take their cost."""

import numpy as np
import pytest
from cut_by_hand import lowered, played
from search_cases import LayerCase, large_case

from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import SURE, Ranked
from accelsim.lowering.search import Ranks, search
from accelsim.lowering.steady import is_steady
from accelsim.lowering.target import Residence, target_of
from accelsim.lowering.tiling import GemmTiling
from accelsim.lowering.work import by_itself
from accelsim.network.ops import Conv

MANY = 8
"""Tilings of a layer that are looked at, each with another course of its loops."""


def tilings(layer: LayerCase, hardware: Hardware) -> list[tuple[Ranked, bool, float]]:
    """Tilings of a layer, whether they are steady, and what they take, as played, of their cost."""
    kernel, target = layer.kernel, target_of(hardware)
    ranks = search(target)(kernel, Residence())
    if not isinstance(ranks, Ranks) or not isinstance(kernel, GemmKernel):
        return []
    program = lowered(layer, hardware)
    found = []
    for each in ranks.contenders(ranks.whole_space, MANY):
        assert isinstance(each.tiling, GemmTiling)
        time = played(by_itself(program, program.layers[0], each.tiling))
        found.append((each, is_steady(kernel, target, each.tiling), time / each.cost))
    return found


def shares(cases: range) -> list[float]:
    """What steady tilings of drawn layers on one array take of their cost."""
    drawn = [large_case(61, case) for case in cases]
    one = [each.hardware.array.model_copy(update={"count": 1}) for each in drawn]
    machines = [
        each.hardware.model_copy(update={"array": array})
        for each, array in zip(drawn, one, strict=True)
    ]
    pairs = zip(drawn, machines, strict=True)
    every = [one for case, hardware in pairs for one in tilings(case.layer, hardware)]
    return [share for _, steady, share in every if steady]


def test_steady_tilings_take_what_they_cost() -> None:
    found = shares(range(12, 17))
    assert len(found) > MANY
    assert np.abs(np.array(found) - 1).max() <= SURE / 2


@pytest.mark.slow
def test_many_steady_tilings_take_what_they_cost() -> None:
    assert np.abs(np.array(shares(range(20, 50))) - 1).max() <= SURE / 2


def test_tiles_that_wait_are_not_steady() -> None:
    """Small ones behind a slow DRAM, though the array is busy longer than the channel in all."""
    layer = LayerCase(Conv(out_channels=64, kernel=(3, 3), bias=False), ((16, 30, 30),))
    few = [f"buffers.{name}_sram.size=2 KiB" for name in ("ifmap", "filter", "ofmap")]
    slow = load_hardware("edge_ws", [*few, "dram.latency=400 ns"])
    found = tilings(layer, slow)
    assert found
    assert max(share for *_, share in found) > 1 + SURE
    assert not any(steady for _, steady, _ in found)
