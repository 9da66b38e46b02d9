"""Stretched axes against the places from which layers really take their values."""

import math

import numpy as np
import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import machine, split

from accelsim.facade import simulate, verify
from accelsim.lowering.footprint import reads
from accelsim.lowering.task import Span, spans
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Expand, Op, Pad, Resize, Shape, Stretch, Window
from accelsim.numerics.spatial import shares_of

sizes = st.integers(1, 23)


def single(op: Op, shape: Shape) -> Network:
    return build_network("single", {"x": shape}, [LayerSpec("layer", op, ("x",))])


@st.composite
def resizes(draw: st.DrawFn) -> tuple[Resize, int]:
    """A resize of columns alone, and how many there are."""
    scale = draw(st.none() | st.sampled_from([0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 2.7]))
    size = draw(sizes)
    wanted = draw(sizes) if scale is None else max(int(size * scale), 1)
    op = Resize(
        size=(1, wanted),
        scales=None if scale is None else (1.0, scale),
        mode=draw(st.sampled_from(["nearest", "bilinear"])),
        coordinates=draw(
            st.sampled_from(["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
        ),
        rounding=draw(
            st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
        ),
    )
    return op, size


def widest(axis: Stretch, start: int, piece: int) -> int:
    """What a piece of that size reads at most, walked: of those that begin alike, or of any."""
    alike = start * axis.step % axis.per == 0 and piece * axis.step % axis.per == 0
    starts = [start] if alike else range(start, start + axis.per)
    ends = [((at * axis.step + axis.offset) // axis.per, at + piece - 1) for at in starts]
    spans = [(at * axis.step + axis.offset) // axis.per - first for first, at in ends]
    return min(max(spans) + axis.near, axis.near * piece, axis.size)


def held(axis: Window | Stretch, places: list[set[int]], piece: int) -> None:
    """Pieces of that size find all their places in their block, which is no larger than others."""
    assert axis.outputs == len(places)
    sizes, near = [], axis.near if isinstance(axis, Stretch) else 1
    for outputs in spans(len(places), piece):
        first, last = block(axis, outputs)
        needed = set().union(*places[outputs.slice])
        assert 0 <= first <= last <= axis.size
        assert len(needed) <= last - first
        if isinstance(axis, Stretch):
            assert last - first == widest(axis, outputs.start, outputs.size)
        if near * outputs.size > last - first:  # all of a block, and not each by itself
            assert needed <= set(range(first, last))
        sizes.append(last - first)
    assert (max(sizes), sum(sizes)) == tuple(map(int, reads(axis, piece)))


def block(axis: Window | Stretch, outputs: Span) -> tuple[int, int]:
    """The values that a piece reads."""
    ends = outputs.start, outputs.stop
    return axis.block(*ends) if isinstance(axis, Stretch) else axis.span(*ends)


@given(resizes(), st.integers(1, 25))
@drawn(400)
def test_resizes_find_what_they_read(case: tuple[Resize, int], piece: int) -> None:
    op, size = case
    places = [set(map(int, np.flatnonzero(row))) for row in shares_of(op, 1, size)]
    held(op.axes((1, 1, size))[2], places, min(piece, len(places)))


@st.composite
def pads(draw: st.DrawFn) -> tuple[Pad, int]:
    """A pad of one axis, and its size."""
    size, mode = draw(sizes), draw(st.sampled_from(["constant", "reflect", "edge"]))
    most = size - 1 if mode == "reflect" else 9
    before, after = (draw(st.integers(0, most)) for _ in "ba")
    between = draw(st.integers(0, 3)) if mode == "constant" else 0
    return Pad(before=(before,), after=(after,), between=(between,), mode=mode), size


@given(pads(), st.integers(1, 25))
@drawn(400)
def test_pads_find_what_they_read(case: tuple[Pad, int], piece: int) -> None:
    op, size = case
    (axis,) = op.axes((size,))
    places = np.full(axis.outputs, -1)
    places[op.before[0] : op.ends((size,))[0] : op.step[0]] = np.arange(size)
    if op.mode == "edge":
        places = np.pad(np.arange(size), (op.before[0], op.after[0]), mode="edge")
    read = [{int(place)} - {-1} for place in places]
    held(axis, read, min(piece, len(read)))


NETWORKS = {
    "twice as large": (Resize(size=(28, 28)), (12, 14, 14)),
    "zeros between": (Pad(before=(0, 1, 1), after=(0, 1, 1), between=(0, 1, 1)), (12, 14, 14)),
    "more channels": (Pad(before=(0, 0, 0), after=(12, 0, 0)), (12, 14, 14)),
    "margins": (Pad(before=(0, 3, 3), after=(0, 3, 3)), (12, 14, 14)),
    "rows": (Pad(before=(2, 0), after=(3, 0)), (9, 7)),
    "heads": (Expand(shape=(3, 4, 20, 8)), (3, 1, 20, 8)),
    "rows of a matrix": (Expand(shape=(64, 33)), (1, 33)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_copied_is_read_once(name: str) -> None:
    """By buffers that hold the layer; small ones read hardly more, and verify holds the tiles."""
    op, shape = NETWORKS[name]
    network = single(op, shape)
    whole = math.prod(shape)
    for size, most in (("64 KiB", whole), ("256 B", 2 * whole)):
        hardware = machine(split(size, size, size))
        assert whole <= simulate(network, hardware).layers[0].dram.read_bytes <= most
        assert verify(network, hardware).passed
