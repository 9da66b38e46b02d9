"""The tiled executor: equals the reference on every kind of layer, and catches broken schedules."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import pytest
from machines import spads_setting

import accelsim.numerics.windows as tiled_module
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import DATAFLOWS, Hardware
from accelsim.lowering.cut import pieces_of
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.lower import lower
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.row_stationary import row_shape
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.task import GemmTile, Span, Task, VectorTile
from accelsim.lowering.tiling import CutAxis, CutTiling, GemmTiling, LoopOrder
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import (
    ELEMENTWISE,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Flatten,
    LeakyRelu,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Op,
    Relu,
    Reshape,
    Shape,
    Sigmoid,
    Slice,
    Softmax,
    SplitPart,
    Tanh,
    Transpose,
)
from accelsim.numerics.compare import checks, precision_arithmetic
from accelsim.numerics.parameter_file import load_parameters
from accelsim.results import LayerCheck

TINY = (
    "array.rows=4",
    "array.cols=3",
    "buffers={a: {holds: [ifmap], size: 1 KiB}, b: {holds: [filter], size: 512 B},"
    " c: {holds: [psum, ofmap], size: 512 B}}",
)
"""Buffers that cut even small layers along every axis."""

FLOAT = ("precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}",)
UINT8 = ("precision={ifmap: uint8, filter: int8, psum: int32, ofmap: uint8}",)


def hardware(dataflow: str, *settings: str) -> Hardware:
    rows = (spads_setting(),) if dataflow == "rs" else ()
    return load_hardware("edge_ws", (*TINY, *rows, f"array.dataflow={dataflow}", *settings))


def single(op: Op, *shapes: Shape) -> Network:
    names = [f"x{index}" for index in range(len(shapes))]
    spec = LayerSpec("layer", op, tuple(names))
    return build_network("single", dict(zip(names, shapes, strict=True)), [spec])


def verified(program: Program, seed: int = 0) -> list[LayerCheck]:
    """The checks of all layers of a program."""
    arithmetic = precision_arithmetic(program.hardware.precision)
    return list(
        checks(program, load_parameters(program.network, program.network, arithmetic, seed))
    )


def check(network: Network, machine: Hardware, batch: int = 2, seed: int = 0) -> LayerCheck:
    """The check of the network's last layer."""
    return verified(lower(network, machine, batch), seed)[-1]


FMAP = (6, 9, 7)
LAYERS = {
    "conv": single(Conv(out_channels=8, kernel=(3, 3)), FMAP),
    "conv, padded unevenly": single(
        Conv(out_channels=5, kernel=(3, 2), padding=(2, 0, 1, 3), activation="relu"), FMAP
    ),
    "conv, strided": single(Conv(out_channels=8, kernel=(3, 3), stride=(2, 3)), FMAP),
    "conv, stride over kernel": single(Conv(out_channels=4, kernel=(1, 2), stride=(3, 3)), FMAP),
    "conv, dilated": single(
        Conv(out_channels=8, kernel=(3, 2), dilation=(2, 3), padding=(2, 2, 2, 2)), FMAP
    ),
    "conv, same": single(Conv(out_channels=7, kernel=(4, 4), stride=(2, 2), padding="same"), FMAP),
    "conv, grouped": single(Conv(out_channels=8, kernel=(3, 3), groups=2, bias=False), FMAP),
    "conv, depthwise": single(Conv(out_channels=6, kernel=(3, 3), groups=6), FMAP),
    "conv, larger than array and spads": single(
        Conv(out_channels=4, kernel=(6, 5), padding=(1, 0, 2, 2)), FMAP
    ),
    "conv, tanh": single(Conv(out_channels=3, kernel=(2, 2), activation="tanh"), FMAP),
    "dense of a map": single(Dense(out_features=11, activation="sigmoid"), FMAP),
    "dense of a vector": single(Dense(out_features=40), (70,)),
    "dense of a matrix": single(Dense(out_features=9), (13, 20)),
    "matmul": single(MatMul(), (7, 30), (30, 8)),
    "max pool": single(MaxPool(kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1)), FMAP),
    "max pool, ceil": single(MaxPool(kernel=(2, 2), stride=(2, 2), ceil_mode=True), FMAP),
    "avg pool": single(AvgPool(kernel=(3, 2), stride=(1, 2), padding=(1, 1, 1, 0)), FMAP),
    "avg pool, data only": single(
        AvgPool(kernel=(3, 3), padding=(1, 1, 1, 1), count_padding=False, ceil_mode=True), FMAP
    ),
    "avg pool, global": single(AvgPool(kernel="global"), FMAP),
    "add": single(Add(activation="relu"), FMAP, FMAP, FMAP),
    "add per channel": single(Add(), FMAP, (6, 1, 1)),
    "mul": single(Mul(), FMAP, FMAP),
    "mul per channel": single(Mul(activation="leaky_relu"), (6, 1, 1), FMAP),
    "concat that copies": single(Concat(), FMAP, (3, 9, 7), (1, 9, 7)),
    "concat of matrices": single(Concat(), (15, 40), (15, 9)),
    "flatten": single(Flatten(), FMAP),
    "reshape": single(Reshape(shape=(9, 42)), FMAP),
    "transpose of a matrix": single(Transpose(order=(1, 0)), (17, 30)),
    "transpose of a map": single(Transpose(order=(2, 0, 1)), FMAP),
    "slice of a vector": single(Slice(start=(7,), stop=(300,), step=(3,)), (300,)),
    "slice of a map": single(Slice(start=(1, 0, 2), stop=(5, 9, 7), step=(1, 2, 1)), FMAP),
    "part of a split": single(SplitPart(sizes=(1, 3, 2), part=1), FMAP),
    "relu": single(Relu(), FMAP),
    "leaky relu": single(LeakyRelu(slope=0.3), (17, 30)),
    "conv, gelu": single(Conv(out_channels=3, kernel=(2, 2), activation="gelu"), FMAP),
    **{row.name: single(row(), (17, 30)) for row in ELEMENTWISE[4:]},
    "sigmoid": single(Sigmoid(), FMAP),
    "tanh": single(Tanh(), (300,)),
    "softmax of a vector": single(Softmax(), (60,)),
    "softmax of a matrix": single(Softmax(), (12, 30)),
    "softmax of a map": single(Softmax(), FMAP),
    "lrn": single(Lrn(size=5, alpha=0.5), FMAP),
    "lrn, wider than a buffer": single(Lrn(size=901, alpha=90.0), (530, 1, 2)),
    "batch norm": single(BatchNorm(activation="relu"), FMAP),
}


def under_dataflows() -> Iterator[Any]:
    """Every layer under every dataflow, on one array and on three.

    Plainly, what no array computes under one of them, and on three arrays each under one.
    """
    for place, (name, network) in enumerate(LAYERS.items()):
        on_array = isinstance(network.layers[-1].op, Conv | Dense | MatMul)
        three_under = DATAFLOWS[place % len(DATAFLOWS)] if on_array else "ws"
        for flow, arrays in product(DATAFLOWS, (1, 3)):
            plain = flow == three_under if arrays == 3 else on_array or flow == "ws"
            marks = () if plain else pytest.mark.slow
            yield pytest.param(network, flow, arrays, marks=marks, id=f"{name}-{flow}-{arrays}x")


@pytest.mark.parametrize(("network", "dataflow", "arrays"), [*under_dataflows()])
def test_integers_equal_the_reference(network: Network, dataflow: str, arrays: int) -> None:
    equals_the_reference(network, dataflow, f"array.count={arrays}")


@pytest.mark.parametrize(
    "dataflow",
    ["ws", *(pytest.param(each, marks=pytest.mark.slow) for each in ("os", "is", "rs"))],
)
@pytest.mark.parametrize("network", LAYERS.values(), ids=LAYERS.keys())
def test_unsigned_integers_equal_the_reference(network: Network, dataflow: str) -> None:
    """Arrays compute them as the signed ones, whatever lies where."""
    equals_the_reference(network, dataflow, *UINT8)


def equals_the_reference(network: Network, dataflow: str, *settings: str) -> None:
    result = check(network, hardware(dataflow, *settings))
    assert (result.mismatches, result.largest_difference) == (0, 0)
    assert result.elements == 2 * network.layers[-1].output_elements


@pytest.mark.parametrize("network", LAYERS.values(), ids=LAYERS.keys())
def test_floats_lie_within_the_bound_of_their_sums(network: Network) -> None:
    assert check(network, hardware("ws", *FLOAT)).passed


def test_these_layers_are_really_tiled() -> None:
    """Otherwise the equalities above would say little."""
    counts = {
        name: len(lower(network, hardware("ws"), 2).layers[-1].all_tasks)
        for name, network in LAYERS.items()
    }
    untiled = {name for name, count in counts.items() if count < 2}
    assert untiled <= {"flatten", "reshape"}


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_overflowing_accumulators_agree_in_values_and_counts(overflow: str) -> None:
    settings = ("precision.psum=int16", f"precision.psum_overflow={overflow}")
    network = single(Conv(out_channels=8, kernel=(3, 3)), (12, 9, 7))
    results = [check(network, hardware(dataflow, *settings)) for dataflow in DATAFLOWS]
    assert all(result.passed for result in results)
    assert len({result.overflows for result in results}) == 1
    assert results[0].overflows > 0


WINDOWS = {
    "padded": Conv(out_channels=5, kernel=(5, 4), padding=(3, 1, 2, 3)),
    "strided": Conv(out_channels=4, kernel=(4, 5), stride=(2, 3), padding=(2, 2, 0, 1)),
    "dilated": Conv(out_channels=3, kernel=(3, 2), dilation=(2, 3), padding=(4, 4, 5, 5)),
}
CUTS = [(2, 1, 1), (3, 2, 5), (6, 1, 3), (1, 3, 2)]
"""Channels, tap rows and tap columns of a tile."""


@cache
def uncut(window: str, arrays: int) -> Program:
    return lower(single(WINDOWS[window], FMAP), hardware("ws", f"array.count={arrays}"))


def windows_and_cuts() -> Iterator[Any]:
    """All on one and on three arrays; plainly, each cut of some windows on one of both."""
    for place, (window, cut, arrays) in enumerate(product(WINDOWS, CUTS, (1, 3))):
        plain = place // 2 % 5 in ((0, 2, 4) if arrays == 1 else (1, 3))
        marks = () if plain else pytest.mark.slow
        yield pytest.param(window, cut, arrays, marks=marks)


@pytest.mark.parametrize(("window", "cut", "arrays"), [*windows_and_cuts()])
def test_windows_cut_by_taps_equal_the_reference(
    window: str, cut: tuple[int, int, int], arrays: int
) -> None:
    """Every order of the loops, and psums that leave between the taps of one window."""
    program = uncut(window, arrays)
    (layer,) = program.layers
    assert isinstance(layer.kernel, GemmKernel)
    for order, split in product(LoopOrder, ("pixels", "filters")[:arrays]):
        tiling = GemmTiling(1, 1, 4, 5, 2, *cut, order, split, arrays)  # type: ignore[arg-type]
        schedules = gemm_schedules(layer.kernel, program.target, tiling)
        spaces = (1 << 20,) * 3
        layers = (replace(layer, schedules=schedules, tiling=tiling, spaces=spaces),)
        (result,) = verified(replace(program, layers=layers))
        assert (result.mismatches, result.problems) == (0, ())


def holds_cut(tiling: CutTiling, starts: list[dict[str, int]]) -> None:
    """Assert that a layer cut so, on three arrays, equals the reference, and where parts begin."""
    conv = Conv(out_channels=4, kernel=(4, 3), stride=(2, 1), padding=(2, 2, 0, 1), groups=2)
    program = lower(single(conv, FMAP), hardware("ws", "array.count=3"), 2)
    (layer,) = program.layers
    assert isinstance(layer.kernel, GemmKernel)
    found = [piece.starts for piece in pieces_of(layer.kernel, tiling)]
    assert found[: len(starts)] == starts
    schedules = gemm_schedules(layer.kernel, program.target, tiling)
    cut = replace(layer, schedules=schedules, tiling=tiling, spaces=(1 << 20,) * 3)
    (result,) = verified(replace(program, layers=(cut,)))
    assert (result.mismatches, result.problems) == (0, ())


SOME = GemmTiling(1, 1, 2, 3, 1, 2, 1, 3, LoopOrder.FILTER_STAYS, "pixels", 3)
OTHER = GemmTiling(2, 1, 1, 2, 2, 1, 4, 2, LoopOrder.IFMAP_STAYS, "filters", 2)


@pytest.mark.parametrize("axis", ["batch", "groups", "rows", "cols", "filters"])
def test_a_layer_cut_in_two_equals_the_reference(axis: CutAxis) -> None:
    """Tiles of each part its own, psums that leave in both, on three arrays."""
    holds_cut(CutTiling(cut=axis, at=1, first=SOME, rest=OTHER), [{}, {axis: 1}])


@pytest.mark.parametrize("axis", ["batch", "groups", "rows", "cols", "filters"])
def test_a_layer_cut_in_four_equals_the_reference(axis: CutAxis) -> None:
    """Rows, then columns, then an axis, or one of these again: each rest begins where it does."""
    last = CutTiling(cut=axis, at=1, first=OTHER, rest=SOME)
    rest = CutTiling(cut="cols", at=2, first=OTHER, rest=last)
    tiling = CutTiling(cut="rows", at=1, first=SOME, rest=rest)
    holds_cut(tiling, [{}, {"rows": 1}, {"rows": 1, "cols": 2}])


def test_filters_larger_than_array_and_spads_are_cut() -> None:
    """6x5 filters on 4 rows with spads of 4 words: 2 x 2 pieces of 3 x 3."""
    program = lower(LAYERS["conv, larger than array and spads"], hardware("rs"), 2)
    (layer,) = program.layers
    assert isinstance(layer.kernel, GemmKernel)
    shape = row_shape(program.target.row_stationary, layer.kernel.windows, 6, 5)
    assert (shape.pieces, shape.set_rows, shape.taps) == (4, 3, 3)
    assert len(layer.all_tasks) > 4


# --- Broken schedules -----------------------------------------------------------------------------

CONV = single(Conv(out_channels=64, kernel=(3, 3), padding=(1, 1, 1, 1)), (12, 9, 7))


@cache
def whole(*settings: str) -> Program:
    """A program of `CONV` that is right."""
    program = lower(CONV, hardware(*settings), 1)
    assert all(result.passed for result in verified(program))
    return program


def broken(program: Program, change: Callable[[list[Task]], list[Task]]) -> Program:
    """`program` with its only layer's tasks changed."""
    layer: LayerProgram = program.layers[0]
    tasks = change(list(layer.all_tasks))
    schedule = Schedule(tuple(task.step for task in tasks), lambda: [task.tile for task in tasks])
    return replace(program, layers=(replace(layer, schedules=(schedule,)),))


def retiled(task: Task, **changes: object) -> Task:
    return replace(task, tile=replace(task.tile, **changes))


def middle(tasks: list[Task], wanted: Callable[[GemmTile], bool]) -> int:
    """The index of a task whose tile is `wanted`."""
    return next(i for i, task in enumerate(tasks) if wanted(task.tile))  # type: ignore[arg-type]


def lose_psum(tasks: list[Task]) -> list[Task]:
    """A tile that should continue a sum starts it again."""
    at = middle(tasks, lambda tile: not tile.first)
    tasks[at] = retiled(tasks[at], first=True)
    return tasks


def read_channel_twice(tasks: list[Task]) -> list[Task]:
    """A tile's channels begin one too early, so two tiles share a channel."""
    at = middle(tasks, lambda tile: tile.channels.start > 0)
    span = tasks[at].tile.channels  # type: ignore[union-attr]
    tasks[at] = retiled(tasks[at], channels=Span(span.start - 1, span.stop))
    return tasks


def skip_channel(tasks: list[Task]) -> list[Task]:
    at = middle(tasks, lambda tile: tile.channels.start > 0)
    span = tasks[at].tile.channels  # type: ignore[union-attr]
    tasks[at] = retiled(tasks[at], channels=Span(span.start + 1, span.stop))
    return tasks


def drop_sum(tasks: list[Task]) -> list[Task]:
    """The tasks of one output tile are missing."""
    tile = tasks[0].tile
    return [
        task
        for task in tasks
        if (task.tile.pixels, task.tile.filters) != (tile.pixels, tile.filters)  # type: ignore[union-attr]
    ]


def wrong_filters(tasks: list[Task]) -> list[Task]:
    """An output tile is computed with its neighbour's filters, all its channels."""
    tile = tasks[0].tile
    other = next(task.tile.filters for task in tasks if task.tile.filters != tile.filters)  # type: ignore[union-attr]
    return [
        retiled(task, filters=other)
        if (task.tile.pixels, task.tile.filters) == (tile.pixels, tile.filters)  # type: ignore[union-attr]
        else task
        for task in tasks
    ]


FAULTS = [lose_psum, read_channel_twice, skip_channel, drop_sum, wrong_filters]


@pytest.mark.parametrize(("fault", "dataflow"), [*product(FAULTS, DATAFLOWS)])
def test_a_broken_schedule_is_caught(
    fault: Callable[[list[Task]], list[Task]], dataflow: str
) -> None:
    assert not all(result.passed for result in verified(broken(whole(dataflow), fault)))


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_times_of_another_tile_are_caught(dataflow: str) -> None:
    """Values are right, but tiles are timed as if they had one filter: it is said which."""

    def one_filter(task: Task) -> Task:
        assert isinstance(task.tile, GemmTile)
        work = task.step.work
        work = replace(work, operations=work.operations // task.tile.filters.size)
        return replace(task, step=replace(task.step, work=work))

    (check,) = verified(broken(whole(dataflow), lambda tasks: [*map(one_filter, tasks)]))
    assert check.mismatches == 0
    assert not check.passed
    assert "layer layer, array 0, task 0 (images 0:1, rows 0:" in check.problems[0]
    assert "operations are timed for" in check.problems[0]


@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right"])
@pytest.mark.parametrize(
    "network",
    [CONV, single(AvgPool(kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)), FMAP)],
    ids=["conv", "avg_pool"],
)
def test_a_halo_short_by_one_row_is_caught(
    network: Network, edge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row (or column) less of the ifmap is there; what is missing reads as zero."""
    true_region = tiled_module.ifmap_region
    program = lower(network, hardware("ws"), 1)

    def short(*args: object) -> tuple[Span, Span]:
        down, across = true_region(*args)  # type: ignore[arg-type]
        match edge:
            case "top":
                down = Span(down.start + 1, down.stop)
            case "bottom":
                down = Span(down.start, down.stop - 1)
            case "left":
                across = Span(across.start + 1, across.stop)
            case "right":
                across = Span(across.start, across.stop - 1)
        return down, across

    monkeypatch.setattr(tiled_module, "ifmap_region", short)
    assert not all(result.passed for result in verified(program))


def test_a_vector_tile_in_the_wrong_place_is_caught() -> None:
    network = single(MaxPool(kernel=(2, 2)), (8, 12, 12))

    def shift(tasks: list[Task]) -> list[Task]:
        tile = tasks[0].tile
        assert isinstance(tile, VectorTile)
        other = next(task.tile for task in tasks if task.tile != tile)
        return [replace(task, tile=other) if task.tile == tile else task for task in tasks]

    program = lower(network, hardware("ws"), 1)
    assert not all(result.passed for result in verified(broken(program, shift)))


def test_floats_beyond_the_bound_are_counted() -> None:
    """A lost psum is no rounding: floats catch it too."""
    assert not all(result.passed for result in verified(broken(whole("ws", *FLOAT), lose_psum)))


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_lenet_end_to_end(dataflow: str) -> None:
    from accelsim.facade import verify

    machine = "eyeriss" if dataflow == "rs" else "edge_ws"
    result = verify("lenet5", machine, dataflow, batch=3, seed=7)
    assert result.passed
    assert result.elements == 3 * 8094  # the reference table's sum of all ofmaps
