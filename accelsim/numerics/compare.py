"""The tiled executor held against the reference, layer by layer, and times against tiles."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import chain, islice
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from accelsim.hardware import Precision
from accelsim.lowering.kernels import VectorKernel, kernel_of
from accelsim.lowering.program import Program
from accelsim.lowering.spec import layer_problems
from accelsim.numerics.arithmetic import Arithmetic, arithmetic_of
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference
from accelsim.numerics.spread import spread_of
from accelsim.numerics.tiled import execute_parts
from accelsim.numerics.tolerance import tolerance
from accelsim.results import LayerCheck

Item = TypeVar("Item")

MOST_PROBLEMS = 5
"""Problems of a layer's schedule that are told; there may be one for every tile."""


def checks(
    program: Program, parameters: Parameters, later: Sequence[Program] = ()
) -> Iterator[LayerCheck]:
    """Compute every layer of `program` both ways, from the reference's ifmaps, and compare.

    What is timed is held against what is computed, too. Where the batch runs in parts, programs of
    `later` ones compute the images behind.

    The reference runs in a thread beside the tiles. The BLAS gets one thread for each of them:
    more would wait for each other, by the minute on a busy machine, and help small tiles little.
    """
    exact = program.hardware.precision.is_integer
    programs = [program, *later]
    images = [each.batch for each in programs]
    layers = reference(program.network, parameters.arithmetic, parameters, sum(images))
    turns = zip(*(each.layers for each in programs), strict=True)
    with loaded_blas().limit(limits=1, user_api="blas"):
        for lowered, (work, golden) in zip(turns, one_ahead(layers), strict=True):
            ofmap = execute_parts([*zip(lowered, images, strict=True)], work)
            check = compare(work, golden, ofmap, exact)
            different = dict(zip(images, lowered, strict=True)).values()
            every = (layer_problems(each, program.target) for each in different)
            found = islice(chain.from_iterable(every), MOST_PROBLEMS)
            yield replace(check, problems=tuple(map(str, found)))


@cache
def loaded_blas() -> ThreadpoolController:
    """What sets the threads of NumPy's BLAS; it takes as long to find as a small layer."""
    return ThreadpoolController()


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next one computed in a thread while one is used."""
    with ThreadPoolExecutor(1) as thread:
        pending = thread.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = thread.submit(next, items, None)
            yield item


def precision_arithmetic(precision: Precision) -> Arithmetic:
    """The arithmetic of a hardware's number formats."""
    return arithmetic_of(
        precision.ifmap,
        precision.filter,
        precision.psum,
        precision.ofmap,
        precision.psum_overflow,
    )


def compare(work: Computation, golden: Ofmap, tiled: Ofmap, exact: bool) -> LayerCheck:
    """Count the elements of `tiled` that are not what `golden` says.

    Integers must be equal. Floats may differ by what the order of a sum explains.
    """
    wrong, largest = (_unequal if exact else _too_far)(work, golden.values, tiled.values)
    arithmetic, kernel = work.arithmetic, kernel_of(work.layer, work.batch)
    filled = isinstance(kernel, VectorKernel) and not kernel.inputs
    return LayerCheck(
        name=work.layer.name,
        op=work.layer.op.name,
        elements=golden.values.size,
        mismatches=wrong,
        largest_difference=largest,
        overflows=tiled.overflowed,
        spread=None if filled else spread_of(golden.values, arithmetic.activation, work.output),
    )


def _unequal(work: Computation, golden: Array, tiled: Array) -> tuple[int, float]:
    """How many integers differ, and by how much at most."""
    wrong = int(np.count_nonzero(golden != tiled))
    if not wrong:
        return 0, 0.0
    return wrong, float(np.abs(golden.astype(np.int64) - tiled).max())


def _too_far(work: Computation, golden: Array, tiled: Array) -> tuple[int, float]:
    """How many floats differ by more than their tolerance, and the largest difference."""
    difference = np.abs(golden.astype(np.float64) - tiled)
    if not difference.any():
        return 0, 0.0
    beyond = ~(difference <= tolerance(work, golden))  # also where either is not a number
    return int(np.count_nonzero(beyond)), float(difference.max())
