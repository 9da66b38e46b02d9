"""Sums over channels around: cut by taps where a buffer holds few windows of channels, or none."""

from dataclasses import replace

import numpy as np
import pytest
from cases import target
from cut_by_hand import played
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import chain, machine, split
from test_spec import layer_of
from test_vector_cost import cut
from test_vector_search import drawn_target, over_the_best

from accelsim.lowering.around import channels_as_rows, in_parts
from accelsim.lowering.kernels import VectorKernel, kernel_of
from accelsim.lowering.lower import lower
from accelsim.lowering.search import search
from accelsim.lowering.spec import layer_problems
from accelsim.lowering.target import Residence
from accelsim.lowering.tiling import VectorTiling
from accelsim.lowering.vector_tasks import vector_schedules
from accelsim.network.graph import Layer
from accelsim.network.ops import Lrn
from accelsim.network.ops.gradients import LrnGradient


def normalisation(channels: int, size: int, rows: int = 1, cols: int = 1) -> VectorKernel:
    kernel = kernel_of(chain((channels, rows, cols), Lrn(size=size)).layers[0], 1)
    assert isinstance(kernel, VectorKernel)
    return kernel


SMALL = st.builds(
    normalisation,
    st.integers(1, 9),
    st.integers(1, 4).map(lambda reach: 2 * reach + 1),
    st.integers(1, 3),
    st.integers(1, 2),
)


@given(SMALL)
def test_the_work_is_the_same(kernel: VectorKernel) -> None:
    turned = channels_as_rows(kernel)
    assert turned.outputs == kernel.outputs
    assert turned.operations_total == kernel.operations_total
    assert turned.taps == 2 * kernel.reach + 1


@given(st.data(), SMALL)
@drawn(60)
def test_any_tiling_of_it_is_as_it_should_be(data: st.DataObject, kernel: VectorKernel) -> None:
    """Each tap once, and room for a sum and an element of each output while they wait."""
    turned, to = channels_as_rows(kernel), target()
    tiling = data.draw(cut(turned))
    layer = layer_of(turned, vector_schedules(turned, to, tiling), Residence(), tiling)
    assert [*map(str, layer_problems(layer, to))] == []


def test_what_is_kept_and_comes_back_by_hand() -> None:
    """Six channels, windows of five in parts of two taps: 0 and 1, 2 and 3, 4; its own is 2.

    The second part puts the sum and the element away, and the last one takes both.
    """
    turned, to = channels_as_rows(normalisation(6, 5)), target()
    tiling = VectorTiling(batch=1, channels=1, rows=6, cols=1, tap_rows=2, tap_cols=1)
    (schedule,) = vector_schedules(turned, to, tiling)
    words = [(step.work.sram.psum_writes, step.work.sram.psum_reads) for step in schedule.steps]
    assert words == [(6, 0), (12, 6), (0, 12)]
    operations = [step.work.operations for step in schedule.steps]
    assert operations == [6 * 2, 6 * 2, 6 * (1 + 2)]


@pytest.mark.parametrize(
    ("size", "bytes_", "turns"),
    [
        (5, 64, False),  # several windows
        (31, 64, True),  # one window is as much as a tile may read
        (33, 64, True),  # one window is more
    ],
)
def test_windows_are_cut_where_a_buffer_holds_few(size: int, bytes_: int, turns: bool) -> None:
    kernel = normalisation(90, size)
    to = target(sizes=(bytes_, 64, 1024))
    assert (in_parts(kernel, search(to)) != kernel) == turns


def test_the_gradient_is_not_cut() -> None:
    """Its sums are over sums, so that a window of it is no window down a map."""
    op = LrnGradient(shape=(90, 1, 1), lrn=Lrn(size=33))
    layer = Layer("back", op, ("g", "x"), ((90, 1, 1), (90, 1, 1)), (90, 1, 1))
    kernel = kernel_of(layer, 1)
    assert in_parts(kernel, search(target(sizes=(64, 64, 1024)))) is kernel


@pytest.mark.parametrize(
    "numbers", [range(12), pytest.param(range(12, 300), marks=pytest.mark.slow)]
)
def test_near_the_best_of_all(numbers: range) -> None:
    """Two in a hundred may be more than 3 % dearer than the cheapest of every tiling."""
    ratios = np.array([drawn_over_the_best(number) for number in numbers])
    assert ratios.max() <= 1.15
    assert (ratios > 1.03).sum() <= 1 + len(numbers) // 50


def drawn_over_the_best(number: int) -> float:
    """`over_the_best` of a drawn kernel on a drawn machine."""
    rng = np.random.default_rng(number)
    channels, reach, rows, cols = rng.integers(1, (30, 13, 4, 4)).tolist()
    kernel = channels_as_rows(normalisation(channels, 2 * reach + 1, rows, cols))
    return over_the_best(kernel, replace(drawn_target(rng), lanes=int(2 ** rng.uniform(0, 6))))


def test_a_window_wider_than_a_buffer_takes_little_more() -> None:
    """On lanes as busy as with all channels in one tile."""
    network = chain((600, 1, 2), Lrn(size=301))
    small, large = (
        played(lower(network, machine(split(size, "512 B", "2 KiB"))))
        for size in ("256 B", "64 KiB")
    )
    assert small <= 1.01 * large
