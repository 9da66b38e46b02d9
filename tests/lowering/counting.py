"""Kernels held against layers that are computed value by value."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from cases import LAYOUTS, target
from hypothesis import strategies as st
from machines import chain
from oracles.counted import Lanes, Operand, Program, Terms, Work, summed

from accelsim.hardware import Operand as Name
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel, Kernel, VectorKernel, kernel_of
from accelsim.lowering.task import Task
from accelsim.lowering.tiling import GemmTiling, LoopOrder, VectorTiling, whole_sizes
from accelsim.lowering.vector_tasks import vector_schedules
from accelsim.network.backward import training_step
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Conv, Dense, Flatten, Op, ScaleShift, Shape
from accelsim.network.ops.gradients import Loss
from accelsim.numerics.computation import Computation
from accelsim.numerics.floats import FloatArithmetic
from accelsim.numerics.formats import FLOAT64, Array
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference

BATCH = 2
DOUBLE = FloatArithmetic(FLOAT64, FLOAT64, FLOAT64)
ROOMY = target(LAYOUTS[3], sizes=(1 << 30,) * 4, words=(1, 1, 1, 1))
"""A word is a byte, and all of a layer is one tile."""

Read = Literal["touched", "box", "each"]
"""What counts as read of an input: each word that is, the block around these, or (where values are
taken several times) a word for each value of the ofmap."""


def alone(op: Op, *shapes: Shape) -> Network:
    """A network of one layer."""
    names = tuple(f"x{place}" for place in range(len(shapes)))
    return build_network(
        "alone", dict(zip(names, shapes, strict=True)), [LayerSpec("y", op, names)]
    )


def computed(network: Network) -> Iterator[tuple[Computation, Array]]:
    """Every layer with what it reads, and its ofmap as the reference has it, in float64."""
    drawn = np.random.default_rng(0)
    learned = {
        f"{layer.name}.{name}": drawn.standard_normal(shape)
        for layer in network.layers
        for name, shape in layer.parameter_shapes.items()
    }
    inputs: dict[str, Array] = {
        name: drawn.standard_normal((BATCH, *shape)) for name, shape in network.inputs.items()
    }
    inputs |= {
        name: drawn.integers(0, entries, inputs[name].shape) * 1.0
        for name, entries in network.entries.items()
    }
    parameters = Parameters.of(network, DOUBLE, given={**learned, **inputs})
    for work, ofmap in reference(network, DOUBLE, parameters, BATCH):
        yield work, ofmap.values


# --- What a kernel says ---------------------------------------------------------------------------


def whole(kernel: VectorKernel) -> VectorTiling:
    """One tile."""
    sizes = (kernel.rows.outputs, kernel.cols.outputs, kernel.rows.kernel, kernel.cols.kernel)
    return VectorTiling(kernel.batch, kernel.channels, *sizes)


def only_task(kernel: Kernel) -> Task:
    """A kernel in one tile."""
    if isinstance(kernel, GemmKernel):
        tiling = GemmTiling(*whole_sizes(kernel), LoopOrder.OFMAP_STAYS, "pixels")
        (schedule,) = gemm_schedules(kernel, ROOMY, tiling)
    else:
        assert isinstance(kernel, VectorKernel)
        (schedule,) = vector_schedules(kernel, ROOMY, whole(kernel))
    (task,) = schedule.tasks
    return task


def loaded(task: Task, operand: Name) -> int:
    """Words of an operand that a task brings."""
    return sum(load.size for load in task.step.loads if load.operand == operand)


def stored(task: Task) -> int:
    """Words of the ofmap that a task takes away."""
    assert task.step.store is not None
    return task.step.store.size


# --- Vector kernels -------------------------------------------------------------------------------


def check_vector(
    step: Computation,
    ofmap: Array,
    program: Program,
    read: Read = "touched",
    fetched: tuple[str, ...] = (),
) -> None:
    """Operations, words and values of a layer; of what is learned, `fetched` is read as inputs."""
    work, words = run(step, ofmap, program, read, fetched)
    task = only_task(kernel_of(step.layer, BATCH))
    assert task.step.work.operations == work.operations
    assert loaded(task, "ifmap") == words
    assert loaded(task, "filter") == 0
    assert stored(task) == ofmap.size


def run(
    step: Computation,
    ofmap: Array,
    program: Program,
    read: Read = "touched",
    fetched: tuple[str, ...] = (),
) -> tuple[Lanes, int]:
    """Run a program for every image: what its lanes did, and the words that it read."""
    lane, words = Lanes(), 0
    for image in range(len(ofmap)):
        work = work_of(step, image, lane)
        made = program(work)
        np.testing.assert_allclose(made, ofmap[image], rtol=1e-6, atol=1e-6)
        operands = (*work.inputs, *(work.learned[name] for name in fetched))
        words += sum(words_of(each, made.size, read) for each in operands)
    return lane, words


def work_of(step: Computation, image: int, lane: Lanes) -> Work:
    """A layer of one image; of all images, if they have one result together."""
    values = [x.values for x in step.inputs]
    if step.layer.op.batched:
        values = [each[image % len(each)] for each in values]
    learned = {name: Operand(array) for name, array in step.parameters.arrays.items()}
    return Work(step.layer.op, tuple(map(Operand, values)), learned, step.layer.output_shape, lane)


def words_of(operand: Operand, places: int, read: Read) -> int:
    """What counts as read of an operand."""
    if not operand.touched:
        return 0
    if read == "box":
        return operand.box
    return places if read == "each" else len(operand.touched)


# --- GEMM kernels ---------------------------------------------------------------------------------


def check_gemm(
    step: Computation, ofmap: Array, terms: Terms, operands: tuple[Array, Array], factor: float = 1
) -> None:
    """MACs, words and values of a layer whose `operands` have as many images, or one for all."""
    kernel, layer = kernel_of(step.layer, BATCH), step.layer
    assert isinstance(kernel, GemmKernel)
    macs = ifmap = filters = 0
    for image in range(len(ofmap)):
        first, second = (
            Operand(each[image % len(each)] if layer.op.batched else each) for each in operands
        )
        found = [*terms(layer.op, (first.shape, second.shape), layer.output_shape)]
        made = summed(found, first, second, layer.output_shape) * factor
        np.testing.assert_allclose(made, ofmap[image], rtol=1e-6, atol=1e-6)
        macs += len(found)
        ifmap += words_of(first, 0, "box")
        filters += len(second.touched) if kernel.filter_is_input or image == 0 else 0
    task = only_task(kernel)
    assert kernel.macs == task.step.work.operations == macs
    assert (loaded(task, "ifmap"), loaded(task, "filter")) == (ifmap, filters)
    assert stored(task) == kernel.written_words == ofmap.size
    if "conv" in layer.op.name and layer.op.batched:
        assert kernel.written_sides == ofmap.shape[2:]


# --- Steps of training ----------------------------------------------------------------------------


UNEVEN = Conv(
    out_channels=6,
    kernel=(3, 2),
    stride=(1, 3),
    padding=(1, 0, 0, 2),
    dilation=(2, 1),
    groups=2,
    bias=False,
)
"""Nothing of it is the same down and across."""


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, Shape]:
    """Small ones of every stride, dilation, padding and number of groups."""
    numbers = st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    op = Conv(
        out_channels=groups * draw(st.integers(1, 2)),
        kernel=draw(numbers),
        stride=draw(numbers),
        dilation=draw(numbers),
        padding=draw(st.tuples(*[st.integers(0, 2)] * 4)),
        groups=groups,
        bias=False,
    )
    shape = (groups * draw(st.integers(1, 2)), *draw(st.tuples(*[st.integers(3, 7)] * 2)))
    extents = ((taps - 1) * gap + 1 for taps, gap in zip(op.kernel, op.dilation, strict=True))
    fits = (size >= extent for size, extent in zip(shape[1:], extents, strict=True))
    return (op, shape) if all(fits) else (replace(op, kernel=(1, 1)), shape)


Steps = list[tuple[Computation, Array]]


def trained(shape: Shape, *ops: Op, loss: Loss = "squared_error") -> Steps:
    """All layers of a step of training, in which something before and behind `ops` is learned."""
    first, head = ScaleShift(shape=(1,) * len(shape)), Dense(out_features=3, bias=False)
    network = chain(shape, first, *ops, Flatten(), head)
    return [*computed(training_step(network, loss))]


def of_kind(steps: Steps, kind: type[Op]) -> Steps:
    """Those of one type, of which there are some."""
    found = [(step, ofmap) for step, ofmap in steps if type(step.layer.op) is kind]
    assert found
    return found
