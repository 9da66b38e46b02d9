"""The tiled executor: computes the values of the very tasks that the engine times.

Each task reads only the part of its operands that its tile names, psums stay with the output tile
between the tasks of a sum, and an ofmap element is written by the task that completes it. So an
ofmap that equals the reference proves the schedule right: every MAC once, every halo there.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accelsim.lowering.depthwise import as_gemm
from accelsim.lowering.kernels import GemmKernel, VectorKernel, kernel_of
from accelsim.lowering.pooling import pooled_tile
from accelsim.lowering.program import LayerProgram
from accelsim.lowering.task import GemmTile
from accelsim.network.ops import Add, Append, Concat, Conv, Elementwise, Phases
from accelsim.network.ops.gradient import Gradient
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array
from accelsim.numerics.gradient_operands import gradient_operands
from accelsim.numerics.gradients import gradient_values
from accelsim.numerics.spatial import placed
from accelsim.numerics.tiled_gemm import GemmExecutor, operands_of
from accelsim.numerics.tiled_gradients import GradientExecutor
from accelsim.numerics.tiled_vector import VectorExecutor
from accelsim.numerics.tokens import token_values


def execute(program: LayerProgram, work: Computation) -> Ofmap:
    """The ofmap of one layer, (N, *output_shape), computed task by task."""
    return work.stored(_executed(program, work))


def _executed(program: LayerProgram, work: Computation) -> Ofmap:
    match program.kernel:
        case GemmKernel() as kernel:
            operands = gradient_operands if isinstance(work.layer.op, Gradient) else operands_of
            return GemmExecutor(kernel, work, operands(kernel, work)).run(program.all_tasks)
        case VectorKernel() if isinstance(work.layer.op, Conv):
            array = kernel_of(work.layer, work.batch)
            assert isinstance(array, GemmKernel)
            executor = GemmExecutor(array, work, operands_of(array, work))
            return executor.run(as_gemm(program.all_tasks))
        case VectorKernel() as kernel:
            run = GradientExecutor if isinstance(work.layer.op, Gradient) else VectorExecutor
            return run(kernel, work).run(program.all_tasks)
        case _ if program.carrier is not None:
            return _pooled(program.carrier, work)
        case _:
            return Ofmap(_alias(work))


def _pooled(carrier: LayerProgram, work: Computation) -> Ofmap:
    """What is pooled on the way out of the array: by that layer's tiles, each by itself."""
    kernel, array = kernel_of(work.layer, work.batch), carrier.kernel
    assert isinstance(kernel, VectorKernel)
    assert isinstance(array, GemmKernel)
    executor = VectorExecutor(kernel, work)
    ofmap = executor.viewed(np.zeros(work.ofmap_shape, work.arithmetic.activation.dtype))
    for task in carrier.all_tasks:
        if isinstance(task.tile, GemmTile) and task.tile.last:
            executor.write(pooled_tile(array, task.tile), ofmap)
    return Ofmap(ofmap.reshape(work.ofmap_shape))


def execute_parts(programs: Sequence[tuple[LayerProgram, int]], work: Computation) -> Ofmap:
    """The ofmap of one layer whose batch is computed in parts: programs with their images."""
    if len(programs) == 1:
        return execute(programs[0][0], work)
    made, first = [], 0
    for program, images in programs:
        own = (replace(x, values=x.values[first : first + images]) for x in work.inputs)
        made.append(execute(program, replace(work, inputs=tuple(own))))
        first += images
    values = np.concatenate([ofmap.values for ofmap in made])
    return Ofmap(values, sum(ofmap.overflowed for ofmap in made))


def _alias(work: Computation) -> Array:
    """A view of the inputs, one after another where there are several, or what rides on a GEMM."""
    shape = (work.batch, *work.layer.output_shape)
    if isinstance(work.layer.op, Gradient):
        return gradient_values(work)
    if isinstance(work.layer.op, Phases):
        return placed(work.layer.op, work)
    if isinstance(work.layer.op, Append):
        return token_values(work)
    if isinstance(work.layer.op, Add):
        return work.arithmetic.add([*work.inputs], work.output, work.layer.op.activation)
    if isinstance(work.layer.op, Elementwise):
        return work.arithmetic.apply(work.layer.op, work.inputs[0], work.output)
    if not isinstance(work.layer.op, Concat):
        return work.inputs[0].values.reshape(shape)
    parts = [work.arithmetic.rescale(x, work.output) for x in work.inputs]
    return np.concatenate(parts, 1 + work.layer.op.along(work.layer.output_shape))
