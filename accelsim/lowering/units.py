"""From the tiling of a layer to its schedules, on the unit that the tiling is for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

from accelsim.lowering import gemm_tasks, row_stationary_tasks
from accelsim.lowering.dataflow import fold_count, mapping_efficiency, untiled_cycles
from accelsim.lowering.kernels import GemmKernel, Kernel, VectorKernel
from accelsim.lowering.ranking import Tiling
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.row_stationary_search import pes_holding_work
from accelsim.lowering.schedule import Schedule
from accelsim.lowering.target import Target
from accelsim.lowering.task import GemmTile, Tile, Work
from accelsim.lowering.tiles import TileSizes
from accelsim.lowering.tiling import CutTiling, GemmTiling, VectorTiling
from accelsim.lowering.vector_tasks import vector_schedules, vector_work

Unit = Literal["array", "vector"]


@dataclass(frozen=True, slots=True)
class Lowered:
    """The schedule of each array or vector unit, and what is said of a layer on an array.

    `untiled_array_cycles` are those of its folds uncut, or of its passes; `folds` counts these of
    an array that works in such. `mapping` is a row-stationary one.
    """

    unit: Unit | None
    schedules: tuple[Schedule, ...] = ()
    untiled_array_cycles: int = 0
    mapping_efficiency: float = 0.0
    folds: int | None = None
    mapping: Mapping | None = None


def _nowhere(kernel: Kernel, target: Target, tiling: None) -> Lowered:
    """An alias, which takes nothing."""
    return Lowered(unit=None)


def _systolic(kernel: GemmKernel, target: Target, tiling: GemmTiling | CutTiling) -> Lowered:
    return Lowered(
        unit="array",
        schedules=gemm_tasks.gemm_schedules(kernel, target, tiling),
        untiled_array_cycles=kernel.groups * untiled_cycles(target.array, kernel.gemm),
        mapping_efficiency=mapping_efficiency(target.array, kernel.gemm),
        folds=kernel.groups * fold_count(target.array, kernel.gemm),
    )


def _row_stationary(kernel: GemmKernel, target: Target, mapping: Mapping) -> Lowered:
    schedules = row_stationary_tasks.row_stationary_schedules(kernel, target, mapping)
    return Lowered(
        unit="array",
        schedules=schedules,
        untiled_array_cycles=sum(schedule.cycles for schedule in schedules),
        mapping_efficiency=pes_holding_work(kernel, target, mapping),
        mapping=mapping,
    )


def _vector(kernel: VectorKernel, target: Target, tiling: VectorTiling) -> Lowered:
    return Lowered(unit="vector", schedules=vector_schedules(kernel, target, tiling))


UNITS: dict[type, Callable[[Any, Target, Any], Lowered]] = {
    GemmTiling: _systolic,
    CutTiling: _systolic,
    Mapping: _row_stationary,
    VectorTiling: _vector,
    type(None): _nowhere,
}
"""The unit that each kind of tiling is for."""


def _systolic_work(
    kernel: GemmKernel, target: Target, tiling: GemmTiling | CutTiling
) -> Callable[[GemmTile], Work]:
    made = cache(partial(gemm_tasks.tile_work, kernel, target))
    sizes = TileSizes(kernel)
    return lambda tile: made(sizes.of_tile(tile))


def _row_stationary_work(
    kernel: GemmKernel, target: Target, mapping: Mapping
) -> Callable[[GemmTile], Work]:
    made = cache(partial(row_stationary_tasks.tile_work, kernel, target, mapping))
    sizes = TileSizes(kernel)
    return lambda tile: made(sizes.of_tile(tile))


WORKS: dict[type, Callable[[Any, Target, Any], Callable[[Any], Work]]] = {
    GemmTiling: _systolic_work,
    CutTiling: _systolic_work,
    Mapping: _row_stationary_work,
    VectorTiling: vector_work,
}
"""What tells the work of each kind of tiling's tiles."""


def work_of(kernel: Kernel, target: Target, tiling: Tiling) -> Callable[[Tile], Work]:
    """What tells the work of any tile of a tiling, from its coordinates."""
    return WORKS[type(tiling)](kernel, target, tiling)


def lowered(kernel: Kernel, target: Target, tiling: Tiling | None) -> Lowered:
    """The schedules of a tiling of `kernel`."""
    return UNITS[type(tiling)](kernel, target, tiling)
