"""A batch in parts: the whole network for some images, then for the next ones.

Layer by layer on all images, feature maps grow with the batch until they do not fit the buffers.
With fewer images at a time they stay on chip, but filters are loaded again for each part. Parts
follow each other without overlap, so the cycles of the whole are their sum.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

from accelsim.errors import DoesNotFitError, InputError, Problem
from accelsim.frontend.mapping_file import Source
from accelsim.hardware import BatchSplit
from accelsim.lowering.kernels import GemmKernel, Kernel
from accelsim.lowering.placed import kernels_of
from accelsim.lowering.program import Program
from accelsim.network.graph import Network
from accelsim.results.blocks import together
from accelsim.results.records import LayerResult, RunResult


def candidates(network: Network, batch: int, split: BatchSplit) -> list[int]:
    """Images of a part, to choose from: the whole batch, half of it, and so on down to one.

    Raises InputError where a step of training is to be split: its gradients are of all images.
    """
    trains = any(layer.op.phase != "forward" for layer in network.layers)
    if split == "whole" or (trains and split == "auto"):
        return [batch]
    if split == "auto":
        return _halves(batch)
    if trains and split < batch:
        message = f"gradients are of the whole batch; give {batch} or more, auto, or whole"
        raise InputError(Problem(message=message, source=network.name, key="batch_split"))
    return [min(split, batch)]


def _halves(batch: int) -> list[int]:
    """The batch, half of it rounded up, and so on down to one."""
    found = [batch]
    while found[-1] > 1:
        found.append(-(-found[-1] // 2))
    return found


def forced_images(mapping: Source, sizes: Sequence[int]) -> int:
    """Images of a part as a mapping forces it; raises InputError for a size that is no choice."""
    assert mapping.images is not None
    images = min(mapping.images, sizes[0])
    if images not in sizes:
        choices = ", ".join(map(str, sizes))
        message = f"expected one of {choices}, as batch_split has it, found {images}"
        raise InputError(mapping.problem(("images",), message))
    return images


def parts_of(batch: int, images: int) -> list[int]:
    """The images of each part, the last one of what is left."""
    whole, rest = divmod(batch, images)
    return [images] * whole + [rest] * bool(rest)


def cheapest(
    sizes: Sequence[int],
    batch: int,
    lowered: Callable[[int], Program],
    cost: Callable[[Sequence[Program]], float],
) -> list[Program]:
    """The programs of all parts, of the size with which they cost least together, as played.

    Ties go to larger parts. Raises DoesNotFitError where no size fits.
    """
    made: dict[int, Program] = {}
    found: list[tuple[float, list[Program]]] = []
    for size in sizes:
        parts = parts_of(batch, size)
        try:
            made |= {images: lowered(images) for images in {*parts} - {*made}}
        except DoesNotFitError:
            if size == sizes[-1] and not found:
                raise
            continue
        programs = [made[images] for images in parts]
        if len(sizes) == 1:
            return programs
        found.append((cost(programs), programs))
    return min(found, key=lambda each: each[0])[1]


def one_batch(runs: Sequence[RunResult], network: Network, batch: int) -> RunResult:
    """The runs of all parts of `network` as one, with each layer once.

    It says the images of each part, and of its layers the GEMMs of the whole batch.
    """
    if len(runs) == 1:
        return runs[0]
    *begins, cycles = accumulate((run.cycles for run in runs), initial=0)
    turns = zip(*(run.layers for run in runs), strict=True)
    layers = (_layer(each, begins[-1], runs[0].pes) for each in turns)
    kernels = kernels_of(network, batch)
    return replace(
        runs[0],
        batch=batch,
        cycles=cycles,
        layers=tuple(_of_batch(*each) for each in zip(layers, kernels, strict=True)),
        sub_batches=tuple(run.batch for run in runs),
    )


def _layer(turns: Sequence[LayerResult], last_begin: int, pes: int) -> LayerResult:
    """A layer in all parts, from its start in the first to its end in the last one.

    The last part begins at cycle `last_begin`. The layer's own cycles are the sum over its parts;
    its tiling and what stays on chip are those of the first part, the largest.
    """
    first = turns[0]
    whole = together(first.name, turns, pes)
    end = last_begin + turns[-1].end_cycle
    return replace(
        whole,
        op=first.op,
        parameters=first.parameters,
        start_cycle=first.start_cycle,
        end_cycle=end,
        between_cycles=end - first.start_cycle - whole.cycles,
        resident=first.resident,
        mapping=first.mapping,
        tiling=first.tiling,
    )


def _of_batch(layer: LayerResult, kernel: Kernel) -> LayerResult:
    """The layer with the GEMM of the whole batch, where it is one."""
    if layer.gemm is None or not isinstance(kernel, GemmKernel):
        return layer
    gemm = kernel.gemm
    return replace(layer, gemm=(gemm.m, gemm.n, gemm.k))
