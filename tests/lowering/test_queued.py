"""Loads that wait behind others for room: what is guessed of it, and who is played for it."""

from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import pytest
from search_cases import LayerCase

from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Operand
from accelsim.lowering.cost import Queue
from accelsim.lowering.forced import ForcedSearch
from accelsim.lowering.forced_ranks import ForcedGemm
from accelsim.lowering.gemm_search import flows_of, gemm_ranking, gemm_tiling, sizes_of, ways_of
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.queued import queued
from accelsim.lowering.ranking import Tiling
from accelsim.lowering.recall import Memory
from accelsim.lowering.search import Ranks, search
from accelsim.lowering.target import Residence, Target, target_of
from accelsim.lowering.tiling import tilings_of, whole_sizes
from accelsim.lowering.work import Lowering
from accelsim.network.ops import Conv, Window
from accelsim.results.player import Player

SLOW = (
    *("array.rows=24", "array.cols=24", "array.dataflow=ws", "dram.bandwidth=10 GB/s"),
    *("buffers.unified_buffer.size=1024 KiB", "buffers.weight_fifo.size=4 KiB"),
    *("buffers.accumulators.size=32 KiB", "dram.latency=500 ns", "array.count=1"),
)
"""A DRAM that answers late, and room for few filters."""

TALL = GemmKernel(2, 1, 147, 275, Window(15, 1), Window(20, 7))


def of(cells: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([cells])


def queue_of(tile_bytes: int, work: int, item: Operand, **left: Any) -> Queue:
    """A hundred outputs, each one task, which loads an operand."""
    return Queue(
        tile_bytes=of(tile_bytes) * 1.0,
        beside=of(0),
        busy_cycles=of(100) * float(work),
        moves={item: of(100)},
        latencies=of(100),
        tiles=of(100),
        also=of(1),
        **left,
    )


def test_results_in_two_places_let_three_tasks_be_on_their_way() -> None:
    """As played: room for two outputs, each a task of 112 cycles whose ifmap comes after 566."""
    queue = queue_of(900, 112, "ifmap")
    taken = {"ifmap": of(6) * 1.0, "ofmap": of(4) * 1.0}
    assert queue.cycles(taken, 560, 2048).item() == 100 * 678 / 3
    assert queue.cycles(taken, 560, 1024).item() == 100 * 678 / 2


def test_what_is_left_of_an_output_takes_its_room() -> None:
    """As played: four psums of 448 bytes fit, but not with the ofmaps that are being stored."""
    queue = queue_of(448, 32, "filter", left=of(112) * 1.0, stores=of(100))
    taken = {"filter": of(20) * 1.0, "ofmap": of(13) * 1.0}
    assert queue.cycles(taken, 400, 2048).item() == 100 * 452 / 4


def searched(kernel: GemmKernel, sets: tuple[str, ...]) -> tuple[Ranks, Target]:
    """The search of a kernel on a TPU, as played."""
    hardware = load_hardware("tpu_v1", list(sets))
    target = target_of(hardware)
    op = Conv(out_channels=kernel.filters, kernel=(1, 7), bias=False)
    layer = LayerCase(op, ((kernel.channels, 15, 20),), kernel.batch)
    work = Lowering(
        network=layer.network,
        hardware=hardware,
        batch=kernel.batch,
        target=target,
        memory=search(target).memory,
    )
    ranks = search(target, alone=partial(work.cost_alone, Player().cost))(kernel, Residence())
    assert isinstance(ranks, Ranks)
    return ranks, target


def test_two_images_take_no_longer_than_one_after_the_other() -> None:
    """One took 144,735 cycles, both 323,118, with four of seven taps: two places for filters."""
    ranks, _ = searched(TALL, SLOW)
    one, _ = searched(GemmKernel(1, 1, 147, 275, Window(15, 1), Window(20, 7)), SLOW)
    both, alone = ranks.refined, one.refined
    assert both is not None
    assert alone is not None
    assert both.takes < 1.03 * 2 * alone.takes


@pytest.mark.parametrize(
    "values", [{"channels": 24, "tap_cols": 4}, {"filters": 19}, {"filters": 14}], ids=str
)
def test_what_is_forced_is_not_overtaken(values: dict[str, int]) -> None:
    """Rivals obey, too: those that hide more latency, and tiles one larger in as many turns."""
    ranks, target = searched(TALL, SLOW)
    own = {item.name: getattr(TALL, item.name) for item in fields(TALL)}
    kernel = ForcedGemm(**own, forced=tuple(values.items()))

    def alone(its: GemmKernel, on: Target, space: int, tiling: Tiling) -> float:
        assert ranks.search.alone is not None
        return ranks.search.alone(TALL, on, space, tiling)

    best = ForcedSearch(target, Memory(), alone)(kernel, Residence()).refined
    assert best is not None
    assert {name: getattr(best.tiling, name) for name in values} == values


def test_without_latency_nothing_waits() -> None:
    ranks, _ = searched(TALL, (*SLOW, "dram.latency=0 ns"))
    best = ranks.uncut_within(ranks.whole_space)
    assert best is not None
    assert list(queued(ranks, best, ranks.whole_space)) == []


@pytest.mark.parametrize("tiles", [3, 4])
def test_tiles_for_smaller_buffers_fit_more_often(tiles: int) -> None:
    ranks, target = searched(TALL, SLOW)
    ranking = ranks.search.smaller(TALL, Residence(), ranks.whole_space, tiles)
    times = ranking.at(10.0, target.dram_latency, ranks.whole_space)
    found = [*times.close(8.0, 64)]
    assert len(found) > 3
    for each in found:
        sizes = tilings_of(TALL, [np.array([size]) for size in sizes_of(gemm_tiling(each))])
        cost = gemm_ranking(target, [flows_of(TALL, target, sizes)]).parts[0].cost
        for buffer in cost.buffers:
            assert tiles * buffer.tile_bytes.max() <= buffer.size


def test_a_whole_kernel_in_one_tile_waits_for_nothing() -> None:
    """The guess adds nothing to one tile: none is before it."""
    kernel = GemmKernel(1, 1, 8, 4, Window(6, 3), Window(6, 3))
    target = target_of(load_hardware("edge_ws"))
    whole = tilings_of(kernel, [np.array([size]) for size in whole_sizes(kernel)])
    ranking = gemm_ranking(target, [flows_of(kernel, target, whole, ways_of(kernel, target)[:1])])
    space = target.buffers[target.buffer_index("ifmap")].size
    rate, latency = float(target.dram_bytes_per_cycle), target.dram_latency
    assert ranking.waiting(rate, latency, space).least == ranking.at(rate, latency, space).least
