"""What tiles take of buffers and of the DRAM channel, against a loop nest walked turn by turn."""

from collections import Counter
from dataclasses import replace

import numpy as np
from cases import KERNELS, MORE_TAPS, TARGETS, as_arrays, sizes_of, tilings
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from oracles.walked_nest import Nest, touched

from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.dataflow import ArrayModel
from accelsim.lowering.demand import buffer_demand, demands, kinds, legal
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import GemmTiling, LoopOrder

ORDER = LoopOrder.OFMAP_STAYS.value


def folds_along_k(model: ArrayModel, channels: int, taps: int) -> int:
    """Folds that hand their sums on, of a tile of so many channels and taps."""
    if not model.psums_move:
        return 1
    if model.by_tap:
        return taps * len(range(0, channels, model.rows))
    return len(range(0, channels * taps, model.rows))


def walked_bytes(kernel: GemmKernel, to: Target, tiling: GemmTiling) -> dict[Operand, int]:
    """The most that any turn's tile of an operand takes; of psums only those that are to go on."""
    nest, most = Nest(kernel, sizes_of(tiling)), Counter[Operand]()
    whole = {axis: nest.total(axis) for axis in ("channels", "tap_rows", "tap_cols")}
    for turn in nest.turns(ORDER):
        size = {axis: len(nest.indices(axis, turn)) for axis in whole}
        folds = folds_along_k(to.array, size["channels"], size["tap_rows"] * size["tap_cols"])
        goes_on = size != whole or folds > 1
        for item in OPERANDS:
            words = nest.words("ofmap" if item == "psum" else item, turn)
            if item != "psum" or goes_on:
                most[item] = max(most[item], words * to.bytes_of(item))
    return {item: most[item] for item in OPERANDS}


@given(st.data(), KERNELS | MORE_TAPS, TARGETS)
@drawn(300)
def test_a_tile_takes_what_the_largest_one_walks(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    """And fits where that is half of a buffer, and not where there is a byte less."""
    tiling = data.draw(tilings(kernel))
    some = as_arrays(kernel, tiling)
    walked = walked_bytes(kernel, to, tiling)
    found = demands(kernel, to, some)
    assert {item: int(np.max(size)) for item, size in found.items()} == walked
    needed = []
    for space in to.buffers:
        results = [walked[item] for item in ("psum", "ofmap") if item in space.holds]
        operands = [walked[item] for item in ("ifmap", "filter") if item in space.holds]
        needed.append(sum(operands) + max(results, default=0))
        assert np.max(buffer_demand(space, found)) == needed[-1]
    spaces = zip(to.buffers, needed, strict=True)
    tight = replace(to, buffers=tuple(replace(each, size=2 * size) for each, size in spaces))
    assert legal(kernel, tight, some).all()
    place = data.draw(st.sampled_from([at for at, size in enumerate(needed) if size]))
    less = [replace(each, size=each.size - (at == place)) for at, each in enumerate(tight.buffers)]
    assert not legal(kernel, replace(tight, buffers=tuple(less)), some).any()


@given(st.data(), KERNELS, TARGETS)
@drawn(100)
def test_what_lies_on_chip_takes_no_tiles(
    data: st.DataObject, kernel: GemmKernel, to: Target
) -> None:
    """A resident ifmap; an ofmap that is only kept, where it comes out in the buffer of ifmaps."""
    some = as_arrays(kernel, data.draw(tilings(kernel)))
    apart = demands(kernel, to, some)
    there = Residence(ifmaps=(True,), kept=True, stored=data.draw(st.booleans()))
    found = demands(kernel, replace(to, residence=there), some)
    together = any({"ifmap", "ofmap"} <= {*space.holds} for space in to.buffers)
    gone = {"ifmap"} | ({"ofmap"} if together and not there.stored else set())
    for item in OPERANDS:
        assert np.array_equal(found[item], 0 * apart[item] if item in gone else apart[item])


@given(st.data(), KERNELS | MORE_TAPS)
@drawn(200)
def test_kinds_are_all_tiles(data: st.DataObject, kernel: GemmKernel) -> None:
    """Rows and columns of all tiles, each as often; what they read is no less, and clipped."""
    tiling = data.draw(tilings(kernel))
    nest, walked, most = Nest(kernel, sizes_of(tiling)), Counter[tuple[int, int]](), {}
    for turn in nest.turns(ORDER):
        if any(turn[axis] for axis in ("batch", "groups", "filters", "channels")):
            continue
        pixels = nest.indices("rows", turn), nest.indices("cols", turn)
        key = len(pixels[0]), len(pixels[1])
        taps = nest.indices("tap_rows", turn), nest.indices("tap_cols", turn)
        walked[key] += taps[0].start == taps[1].start == 0
        read = (
            touched(kernel.rows, pixels[0], taps[0]),
            touched(kernel.cols, pixels[1], taps[1]),
        )
        most[key] = [max(pair) for pair in zip(most.get(key, (0, 0)), read, strict=True)]
    tiles, counts = kinds(kernel, as_arrays(kernel, tiling))
    found = Counter[tuple[int, int]]()
    for at, count in enumerate(counts[:, 0].tolist()):
        key = int(tiles.rows[at, 0]), int(tiles.cols[at, 0])
        found[key] += count
        if count:
            spans = int(tiles.row_span[at, 0]), int(tiles.col_span[at, 0])
            assert all(own >= read for own, read in zip(spans, most[key], strict=True))
    assert +found == walked
